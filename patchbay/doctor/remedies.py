"""From what a host lacks to the exact command or setting that mends it: a table of causes.

Everything here is a pure function of the facts, and the first cause that fits is the one that is
named: what an administrator forbade comes before what a container forbids, and both before what
the kernel was built without.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from patchbay.doctor.facts import Facts

MODULES = {
    "veth": "veth",
    "bridge": "bridge",
    "ipv6": "ipv6",
    "nftables": "nft_chain_nat",
    "conntrack": "nf_conntrack_netlink",
    "tun": "tun",
    "tbf": "sch_tbf",
    "netem": "sch_netem",
    "ifb": "ifb",
    "clsact": "sch_ingress",
}
"""The kernel module behind each capability that has one."""

_OPTIONS = {
    "userns": "CONFIG_USER_NS",
    "mntns": "CONFIG_NAMESPACES",
    "netns": "CONFIG_NET_NS",
    "pidns": "CONFIG_PID_NS",
    "utsns": "CONFIG_UTS_NS",
    "ipcns": "CONFIG_IPC_NS",
    "proc": "CONFIG_PROC_FS",
    "sysctl": "CONFIG_PROC_SYSCTL",
    "veth": "CONFIG_VETH",
    "bridge": "CONFIG_BRIDGE",
    "ipv6": "CONFIG_IPV6",
    "nftables": "CONFIG_NF_TABLES and CONFIG_NFT_NAT",
    "conntrack": "CONFIG_NF_CT_NETLINK",
    "tun": "CONFIG_TUN",
    "tbf": "CONFIG_NET_SCH_TBF",
    "netem": "CONFIG_NET_SCH_NETEM",
    "ifb": "CONFIG_IFB",
    "clsact": "CONFIG_NET_CLS_ACT and CONFIG_NET_SCH_INGRESS",
}
"""What the kernel's configuration has to say for each capability."""

NAMESPACES = {
    "userns": "user",
    "mntns": "mnt",
    "netns": "net",
    "pidns": "pid",
    "utsns": "uts",
    "ipcns": "ipc",
}
"""The namespace capabilities, with the kernel's word for the kind."""

_FORBIDDEN = (errno.EPERM, errno.EACCES)

_CONTAINERS = {
    "docker": "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined --device /dev/net/tun IMAGE",
    "podman": "podman run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt label=disable --security-opt unmask=ALL --device /dev/net/tun IMAGE",
    "kubernetes": "in the pod's specification, securityContext: {seccompProfile: {type: "
    "Unconfined}, appArmorProfile: {type: Unconfined}, procMount: Unmasked} "
    "and hostUsers: false",
    "lxc": "lxc config set CONTAINER security.nesting=true && lxc restart CONTAINER",
}
"""How each kind of container is started so that a lab can run in it."""


def remedy(name: str, facts: Facts) -> str:
    """What mends the lack of a capability on a host with these facts."""
    if name in NAMESPACES:
        causes = _namespace(name, facts)
    elif name in ("proc", "sysctl"):
        causes = _proc(name, facts)
    elif name == "tun":
        causes = _tun(facts)
    elif name == "guest":
        return facts.guest_remedy or "patchbay kernel build"
    else:
        causes = _module(name, facts)
    return next(causes)


def _namespace(name: str, facts: Facts) -> Iterator[str]:
    outcome = facts.outcome(name)
    settings = facts.settings
    if settings.get("kernel.unprivileged_userns_clone") == "0" and not facts.root:
        yield set_sysctl("kernel.unprivileged_userns_clone", 1, facts)
    for kind in ("user", NAMESPACES[name]):
        key = f"user.max_{kind}_namespaces"
        if settings.get(key) == "0":
            yield set_sysctl(key, 15_000, facts)
    if outcome.number == errno.ENOSPC:
        key = f"user.max_{NAMESPACES[name]}_namespaces"
        full = int(settings.get(key, "0"))
        yield set_sysctl(key, max(15_000, 2 * full), facts)
    if settings.get("kernel.apparmor_restrict_unprivileged_userns") == "1" and not facts.root:
        yield set_sysctl("kernel.apparmor_restrict_unprivileged_userns", 0, facts)
    if facts.container and outcome.number in _FORBIDDEN:
        yield _restart_container(facts)
    if outcome.number in (errno.EINVAL, errno.ENOSYS):
        yield _another_kernel(name, facts)
    if facts.filtered:
        yield (
            "a seccomp filter forbids it: run outside of the sandbox that set the filter "
            "(of a systemd service: RestrictNamespaces=no, and no SystemCallFilter= that leaves "
            "out @mount and unshare)"
        )
    yield (
        "a security module of this host, or a chroot around this process, forbids it: run as "
        "root outside of the chroot, or ask who keeps the host to allow user namespaces "
        "(`sudo dmesg | tail` after another `patchbay doctor` names the module)"
    )


def _proc(name: str, facts: Facts) -> Iterator[str]:
    for needed in ("userns", "netns", "mntns", "pidns"):
        if facts.outcome(needed).state == "refused" and not (needed == "userns" and facts.root):
            yield from _namespace(needed, facts)
    if facts.container:
        yield _restart_container(facts)
    if facts.outcome(name).number in (errno.ENODEV, errno.ENOENT):
        yield _another_kernel(name, facts)
    yield (
        "parts of /proc are hidden or read-only here: run where all of /proc is visible and "
        "writable (`findmnt -R /proc` lists what lies above it)"
    )


def _tun(facts: Facts) -> Iterator[str]:
    forbidden = facts.outcome("tun").number
    if forbidden == errno.EACCES:
        yield f"{_sudo(facts)}chmod 0666 /dev/net/tun"
    if facts.container and (forbidden == errno.EPERM or not facts.tun_device):
        yield _restart_container(facts)
    yield from _module("tun", facts)


def _module(name: str, facts: Facts) -> Iterator[str]:
    if facts.outcome("netns").state == "refused":
        yield from _namespace("netns", facts)
    if facts.outcome(name).number in _FORBIDDEN:
        yield from _namespace("userns", facts)
    module = MODULES[name]
    if name == "ipv6" and facts.outcome(name).number == errno.EADDRNOTAVAIL:
        yield set_sysctl("net.ipv6.conf.default.disable_ipv6", 0, facts)
    if name == "ipv6" and facts.outcome(name).number == errno.EAFNOSUPPORT:
        yield "start the kernel without ipv6.disable=1 (see `cat /proc/cmdline`)"
    if facts.modules is not None:
        if module in facts.modules:
            yield f"{_sudo(facts)}modprobe {module}"
        yield (
            f"install the package of further modules for this kernel (Ubuntu: "
            f"{_sudo(facts)}apt install linux-modules-extra-{facts.kernel}; Fedora: "
            f"{_sudo(facts)}dnf install kernel-modules-extra-{facts.kernel}), then "
            f"{_sudo(facts)}modprobe {module}"
        )
    if facts.container:
        yield (
            f"on the machine that runs the container: sudo modprobe {module}; if it knows no such "
            f"module, {_another_kernel(name, facts)}"
        )
    yield _another_kernel(name, facts)


def set_sysctl(key: str, value: int, facts: Facts) -> str:
    """The command that sets a sysctl, where it can be set."""
    command = f"sysctl -w {key}={value}"
    if facts.container:
        return f"on the machine that runs the container: sudo {command}"
    return _sudo(facts) + command


def _restart_container(facts: Facts) -> str:
    return f"start the container so that it may: {_CONTAINERS[facts.container]}"


def _another_kernel(name: str, facts: Facts) -> str:
    option = _OPTIONS[name]
    text = (
        f"this kernel ({facts.kernel}) was built without {option}: run your program in a kernel "
        "that has it, such as patchbay's own: patchbay guest -- COMMAND"
    )
    if facts.wsl:
        return (
            f"{text} (build Microsoft's WSL2 kernel with it, name the file as kernel= under "
            "[wsl2] in %UserProfile%\\.wslconfig, and run `wsl --shutdown`)"
        )
    return text


def _sudo(facts: Facts) -> str:
    return "" if facts.root else "sudo "
