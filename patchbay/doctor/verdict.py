"""From facts to a report: what labs need, what they can do without, and what that means."""

from __future__ import annotations

from typing import NamedTuple

from patchbay.doctor.facts import NAMES, Facts
from patchbay.doctor.remedies import NAMESPACES, remedy, set_sysctl
from patchbay.doctor.report import Capability, Limit, Report


class _Meaning(NamedTuple):
    title: str
    without: str
    needed: bool = False


_NO_LAB = "no lab can run"

_MEANINGS = {
    "userns": _Meaning("user namespaces", _NO_LAB, needed=True),
    "mntns": _Meaning("mount namespaces, with a tmpfs", _NO_LAB, needed=True),
    "netns": _Meaning("network namespaces", _NO_LAB, needed=True),
    "pidns": _Meaning(
        "process namespaces",
        "a process that detaches itself can outlive a lab that is killed, and nodes see the "
        "host's processes",
    ),
    "utsns": _Meaning("hostnames of their own", "nodes have the host's hostname"),
    "ipcns": _Meaning("shared memory of their own", "labs share the host's System V IPC objects"),
    "proc": _Meaning(
        "a /proc of their own", "nodes see the host's /proc, with the host's process numbers"
    ),
    "sysctl": _Meaning(
        "writable /proc/sys/net",
        "nodes keep the kernel's own settings: routers forward IPv4 only if the host does, and "
        "IPv6 not at all",
    ),
    "veth": _Meaning("veth links", f"nodes cannot be joined, so {_NO_LAB}", needed=True),
    "bridge": _Meaning("bridges", f"nodes cannot share a network, so {_NO_LAB}", needed=True),
    "ipv6": _Meaning("IPv6", "labs are IPv4-only"),
    "nftables": _Meaning("nftables with NAT", "routers have neither NAT nor firewall"),
    "conntrack": _Meaning("connection tracking", "NAT tables cannot be listed or flushed"),
    "tun": _Meaning("TUN and TAP interfaces", "no user-space links, no VPN software on nodes"),
    "tbf": _Meaning("tbf queues", "the kernel cannot limit the rate of a link"),
    "netem": _Meaning(
        "netem queues", "the kernel cannot delay, lose, reorder or corrupt packets on a link"
    ),
    "ifb": _Meaning("ifb interfaces", "incoming packets of a node cannot be queued"),
    "clsact": _Meaning("clsact queues", "packets cannot be redirected or altered by filters"),
    "guest": _Meaning(
        "a kernel of our own (patchbay guest)",
        "what this host's kernel lacks cannot be had, and there is no virtual time",
    ),
}


def diagnose(facts: Facts) -> Report:
    """Judge a host by its facts."""
    return Report(
        host=_host(facts),
        capabilities=tuple(_capability(name, facts) for name in NAMES),
        limits=_limits(facts),
    )


def _host(facts: Facts) -> str:
    user = "root" if facts.root else "an ordinary user"
    parts = [f"Linux {facts.kernel}", f"Python {facts.python}", f"as {user}"]
    if facts.wsl:
        parts.append("in WSL")
    if facts.container:
        parts.append(f"in a container ({facts.container})")
    return ", ".join(parts)


def _capability(name: str, facts: Facts) -> Capability:
    title, without, needed = _MEANINGS[name]
    if name == "userns" and facts.root:
        needed, without = False, "labs run with the full rights of root"
    outcome = facts.outcome(name)
    if outcome.state == "works" and not (name == "userns" and _powerless(facts)):
        return Capability(name=name, title=title, works=True, needed=needed)
    return Capability(
        name=name,
        title=title,
        works=False,
        needed=needed,
        reason=_reason(name, facts),
        consequence=without,
        remedy=remedy(name, facts),
    )


def _reason(name: str, facts: Facts) -> str:
    outcome = facts.outcome(name)
    if outcome.state == "works":
        return "enter a user namespace: it gives no rights, not even to enter other namespaces"
    return outcome.words or "nothing: it rests on what is refused above"


def _powerless(facts: Facts) -> bool:
    """Whether a user namespace gives no capabilities, as under Ubuntu's AppArmor profile."""
    others = NAMESPACES.keys() - {"userns"}
    return all(facts.outcome(name).state == "refused" for name in others)


def _limits(facts: Facts) -> tuple[Limit, ...]:
    """What bounds the size of labs; each number is what a thousand nodes take."""
    sudo = "" if facts.root else "sudo "
    rows = (
        (
            "open files (hard limit of RLIMIT_NOFILE)",
            facts.open_files,
            8_192,
            "a large lab runs out of file descriptors",
            "log in again after: echo '* hard nofile 1048576' | "
            f"{sudo}tee /etc/security/limits.d/patchbay.conf (in a container: "
            "--ulimit nofile=1048576)",
        ),
        (
            "processes (RLIMIT_NPROC and the pids limit of the control groups)",
            facts.processes,
            4_096,
            "every node is a process or more, so a large lab cannot start",
            "ulimit -u unlimited (in a container: --pids-limit -1; in a systemd unit: "
            "TasksMax=infinity)",
        ),
        (
            "neighbours of all namespaces together (net.ipv4.neigh.default.gc_thresh3)",
            facts.neighbours,
            1_024,
            "nodes that talk to many others fail with 'No buffer space available'",
            set_sysctl("net.ipv4.neigh.default.gc_thresh3", 65_536, facts),
        ),
    )
    return tuple(
        Limit(title=title, value=value, enough=True)
        if value < 0 or value >= least
        else Limit(title=title, value=value, enough=False, consequence=hence, remedy=mend)
        for title, value, least, hence, mend in rows
    )
