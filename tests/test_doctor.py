"""What is said about hosts of every kind, made up; and what this one says about itself."""

import errno
import json
import os
import subprocess
import sys
import threading

import pytest

from patchbay.doctor import capabilities
from patchbay.doctor.facts import NAMES, Facts, Outcome
from patchbay.doctor.remedies import MODULES
from patchbay.doctor.verdict import diagnose

WORKS = Outcome("works")
NAMESPACES = ("userns", "mntns", "netns", "pidns", "utsns", "ipcns")
UBUNTU = {"kernel.apparmor_restrict_unprivileged_userns": "1"}


def refused(number, words="tried: refused"):
    return Outcome("refused", number, words)


def a_host(lacks=None, **facts):
    """A host that can do everything but what it `lacks`: outcomes by name."""
    outcomes = dict.fromkeys(NAMES, WORKS) | (lacks or {})
    plain = {"python": "3.13.1", "kernel": "6.8.0-31-generic", "root": False}
    return Facts(outcomes=outcomes, **(plain | facts))


def without_namespaces(number=errno.EPERM, **facts):
    """A host where no namespace can be entered, so that nothing else can be tried."""
    outcomes = dict.fromkeys(NAMESPACES, refused(number))
    return Facts(outcomes=outcomes, python="3.13.1", kernel="6.8.0-31-generic", root=False, **facts)


def test_a_host_that_can_do_everything_has_nothing_to_mend():
    report = diagnose(a_host())

    assert report.can_run
    assert report.lacking == ()
    assert all(report.has(name) and not report.remedy(name) for name in NAMES)
    assert all(limit.enough for limit in report.limits)
    assert str(report).endswith("A lab can run here.")


@pytest.mark.parametrize("name", NAMES)
def test_every_lack_has_a_reason_a_consequence_and_a_remedy(name):
    report = diagnose(a_host({name: refused(errno.EPERM, "the kernel's own words")}))

    lack = report.capability(name)
    assert report.lacking == (name,)
    assert lack.reason == "the kernel's own words"
    assert lack.consequence
    assert lack.remedy
    for said in (lack.reason, lack.consequence, lack.remedy):
        assert said in str(report)


@pytest.mark.parametrize("name", NAMES)
def test_a_lab_can_run_unless_something_needed_is_missing(name):
    needed = {"userns", "mntns", "netns", "veth", "bridge"}

    assert diagnose(a_host({name: refused(errno.EPERM)})).can_run == (name not in needed)


def test_root_can_do_without_a_user_namespace():
    assert diagnose(a_host({"userns": refused(errno.EPERM)}, root=True)).can_run
    assert not diagnose(a_host({"netns": refused(errno.EPERM)}, root=True)).can_run


@pytest.mark.parametrize(
    ("facts", "command"),
    [
        (
            {"settings": {"kernel.unprivileged_userns_clone": "0"}},
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            {"settings": {"user.max_user_namespaces": "0"}, "number": errno.ENOSPC},
            "sudo sysctl -w user.max_user_namespaces=15000",
        ),
        (
            {"settings": {"user.max_user_namespaces": "20000"}, "number": errno.ENOSPC},
            "sudo sysctl -w user.max_user_namespaces=40000",
        ),
        (
            {"settings": {"user.max_user_namespaces": "0"}, "container": "docker"},
            "on the machine that runs the container: sudo sysctl -w user.max_user_namespaces=15000",
        ),
        (
            {"settings": UBUNTU},
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ({"container": "docker", "filtered": True}, "--security-opt seccomp=unconfined"),
        ({"container": "docker", "filtered": True}, "--security-opt systempaths=unconfined"),
        ({"container": "podman", "filtered": True}, "--security-opt unmask=ALL"),
        ({"container": "kubernetes"}, "procMount: Unmasked"),
        ({"container": "lxc"}, "security.nesting=true"),
        ({"filtered": True}, "RestrictNamespaces=no"),
        ({"number": errno.EINVAL}, "CONFIG_USER_NS"),
        ({}, "security module"),
    ],
)
def test_the_cause_of_missing_user_namespaces_is_found(facts, command):
    report = diagnose(without_namespaces(**facts))

    assert command in report.remedy("userns")
    assert command in str(report)
    assert not report.can_run


@pytest.mark.parametrize(
    "name",
    [name for name in NAMES if name not in (*NAMESPACES, "guest")],  # a guest needs no namespace
)
def test_what_rests_on_namespaces_is_mended_with_them(name):
    report = diagnose(without_namespaces(settings=UBUNTU))

    assert report.remedy(name) == report.remedy("userns")
    assert "rests on" in report.capability(name).reason


def test_a_user_namespace_without_any_rights_is_none():
    """Ubuntu's AppArmor profile lets a process enter one, and takes all its capabilities."""
    lacks = dict.fromkeys(NAMESPACES[1:], refused(errno.EPERM))
    report = diagnose(a_host(lacks, settings=UBUNTU))

    assert not report.has("userns")
    assert "no rights" in report.capability("userns").reason
    assert report.remedy("netns") == (
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    )


@pytest.mark.parametrize(("name", "kind"), [("netns", "net"), ("pidns", "pid"), ("utsns", "uts")])
def test_a_limit_of_zero_is_named_for_the_kind_that_it_forbids(name, kind):
    settings = {f"user.max_{kind}_namespaces": "0"}
    report = diagnose(a_host({name: refused(errno.ENOSPC)}, settings=settings))

    assert report.remedy(name) == f"sudo sysctl -w user.max_{kind}_namespaces=15000"


def test_ubuntus_switch_is_not_blamed_for_what_root_lacks():
    report = diagnose(a_host({"netns": refused(errno.EPERM)}, root=True, settings=UBUNTU))

    assert "apparmor_restrict" not in report.remedy("netns")


def test_a_masked_proc_in_a_container_is_degraded_and_named():
    report = diagnose(a_host({"proc": refused(errno.EPERM)}, container="docker"))

    assert report.can_run
    assert "systempaths=unconfined" in report.remedy("proc")
    assert "host's process numbers" in report.capability("proc").consequence


def test_proc_and_sysctl_that_are_hidden_outside_of_a_container_are_explained():
    report = diagnose(a_host({"proc": refused(errno.EPERM), "sysctl": refused(errno.EROFS)}))

    assert "findmnt" in report.remedy("proc")
    assert "findmnt" in report.remedy("sysctl")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_is_installed_is_to_be_loaded(name):
    facts = {"modules": frozenset(MODULES.values())}
    lack = {name: refused(errno.ENOENT)}

    assert diagnose(a_host(lack, **facts)).remedy(name) == f"sudo modprobe {MODULES[name]}"
    assert diagnose(a_host(lack, root=True, **facts)).remedy(name) == f"modprobe {MODULES[name]}"


@pytest.mark.parametrize(
    ("facts", "remedy"),
    [
        ({"modules": frozenset()}, "linux-modules-extra-6.8.0-31-generic"),
        ({"modules": frozenset()}, "kernel-modules-extra"),
        ({}, "built without CONFIG_NET_SCH_NETEM"),
        ({"wsl": True}, ".wslconfig"),
        (
            {"container": "docker"},
            "on the machine that runs the container: sudo modprobe sch_netem",
        ),
    ],
)
def test_a_missing_module_is_sought_where_it_can_be(facts, remedy):
    report = diagnose(a_host({"netem": refused(errno.ENOENT)}, **facts))

    assert remedy in report.remedy("netem")
    assert report.can_run
    assert str(report).endswith("A lab can run here, without netem.")


@pytest.mark.parametrize(
    ("facts", "number", "remedy"),
    [
        ({}, errno.EACCES, "sudo chmod 0666 /dev/net/tun"),
        ({"container": "docker"}, errno.EPERM, "--device /dev/net/tun"),
        ({"container": "podman", "tun_device": False}, errno.ENOENT, "--device /dev/net/tun"),
        ({"tun_device": False}, errno.ENOENT, "CONFIG_TUN"),
        (
            {"tun_device": False, "modules": frozenset(["tun"])},
            errno.ENOENT,
            "sudo modprobe tun",
        ),
    ],
)
def test_a_missing_or_locked_tun_device_is_told_apart(facts, number, remedy):
    assert remedy in diagnose(a_host({"tun": refused(number)}, **facts)).remedy("tun")


def test_ipv6_that_is_switched_off_is_switched_on_where_it_was_switched_off():
    off_by_sysctl = diagnose(a_host({"ipv6": refused(errno.EADDRNOTAVAIL)}))
    off_at_boot = diagnose(a_host({"ipv6": refused(errno.EAFNOSUPPORT)}))

    assert "disable_ipv6=0" in off_by_sysctl.remedy("ipv6")
    assert "ipv6.disable=1" in off_at_boot.remedy("ipv6")


@pytest.mark.parametrize(
    ("limit", "remedy"),
    [
        ("open_files", "nofile"),
        ("processes", "ulimit -u"),
        ("neighbours", "sudo sysctl -w net.ipv4.neigh.default.gc_thresh3=65536"),
    ],
)
def test_a_low_limit_is_named_with_what_raises_it_and_does_not_forbid_labs(limit, remedy):
    report = diagnose(a_host(**{limit: 100}))

    (low,) = [each for each in report.limits if not each.enough]
    assert low.value == 100
    assert remedy in low.remedy
    assert low.consequence in str(report)
    assert report.can_run


def test_a_capability_that_is_misspelt_is_named_with_the_nearest():
    report = diagnose(a_host())

    with pytest.raises(ValueError, match="'netm'; did you mean 'netem'"):
        report.has("netm")
    with pytest.raises(ValueError, match="there are userns, mntns"):
        report.remedy("quux")


def test_a_remedy_is_printed_once():
    text = str(diagnose(without_namespaces(settings=UBUNTU)))

    assert text.count("apparmor_restrict_unprivileged_userns=0") == 1
    assert "to mend it: as userns" in text


def test_a_guest_that_does_not_start_says_itself_what_mends_it():
    said = Outcome("refused", 0, "start a guest: there is no guest kernel")

    report = diagnose(a_host({"guest": said}, guest_remedy="build one"))

    assert report.can_run
    assert report.capability("guest").reason == said.words
    assert report.remedy("guest") == "build one"


def test_facts_travel_as_text_unchanged():
    facts = a_host(
        {"netem": refused(errno.ENOENT, "words")},
        modules=frozenset(["tun"]),
        settings=UBUNTU,
        neighbours=5,
    )

    assert Facts.from_json(facts.to_json()) == facts
    assert Facts.from_json(a_host().to_json()) == a_host()


def test_the_report_for_programs_holds_the_same():
    report = diagnose(a_host({"netem": refused(errno.ENOENT)}))
    fields = json.loads(report.to_json())

    assert fields["can_run"] is True
    assert fields["lacking"] == ["netem"]
    assert {each["name"]: each["works"] for each in fields["capabilities"]} == {
        name: report.has(name) for name in NAMES
    }


def test_this_host_is_asked_once_and_answers_about_everything():
    report = capabilities()

    assert capabilities() is report
    assert tuple(each.name for each in report.capabilities) == NAMES


def test_asking_leaves_the_asking_process_where_it_is():
    """No namespace is entered by the process, also when it is a thread that asks."""

    def namespaces():
        return {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in os.listdir("/proc/self/ns")}

    before = namespaces()
    asking = threading.Thread(target=capabilities.__wrapped__)
    asking.start()
    asking.join()

    assert namespaces() == before


def test_asking_leaves_the_host_as_it_was():
    """What the attempts write and make is gone with the namespaces that they made it in."""
    with open("/proc/sys/net/ipv4/ip_forward") as setting:
        forwarding = setting.read()
    interfaces = set(os.listdir("/sys/class/net"))
    capabilities.__wrapped__()

    with open("/proc/sys/net/ipv4/ip_forward") as setting:
        assert setting.read() == forwarding
    assert set(os.listdir("/sys/class/net")) == interfaces


def test_a_process_that_may_enter_no_namespace_learns_so():
    """A limit of zero user namespaces, set in a user namespace, holds for those below it."""
    script = """
import os, sys, json
sys.path[:] = json.loads(sys.argv[1])
from actors import linux
from patchbay.doctor import capabilities
user, group = os.geteuid(), os.getegid()
linux.unshare(linux.CLONE_NEWUSER)
for name, text in (
    ("setgroups", "deny"),
    ("uid_map", f"1000 {user} 1"),
    ("gid_map", f"1000 {group} 1"),
):
    open(f"/proc/self/{name}", "w").write(text)
open("/proc/sys/user/max_user_namespaces", "w").write("0")
print(capabilities().to_json())
"""
    answer = subprocess.run(
        [sys.executable, "-c", script, json.dumps(sys.path)], stdout=subprocess.PIPE, check=True
    )
    report = json.loads(answer.stdout)

    assert report["can_run"] is False
    assert "userns" in report["lacking"]
    userns = report["capabilities"][0]
    assert "No space left" in userns["reason"]
    assert "sysctl -w user.max_user_namespaces=15000" in userns["remedy"]
