"""What was found out about a host: plain values, with no opinion about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["works", "refused", "untried"]

NAMES = (
    "userns",
    "mntns",
    "netns",
    "pidns",
    "utsns",
    "ipcns",
    "proc",
    "sysctl",
    "veth",
    "bridge",
    "ipv6",
    "nftables",
    "conntrack",
    "tun",
    "tbf",
    "netem",
    "ifb",
    "clsact",
    "guest",
)
"""Every capability that a host can have, in the order in which people read about them."""

SETTINGS = (
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.unprivileged_userns_clone",
    "user.max_user_namespaces",
    "user.max_ipc_namespaces",
    "user.max_mnt_namespaces",
    "user.max_net_namespaces",
    "user.max_pid_namespaces",
    "user.max_uts_namespaces",
)
"""The sysctls that can forbid a namespace."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended."""

    state: State
    number: int = 0
    """The kernel's error number (errno) where it refused."""
    words: str = ""
    """What was asked, and what the kernel said to it."""


UNTRIED = Outcome("untried")
"""Not attempted, because something it rests on was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One host, as seen by the user and the process that asked."""

    outcomes: Mapping[str, Outcome]
    """By the name of the capability; a name that is missing was not tried."""
    python: str
    kernel: str
    """The running kernel's release, as `uname -r` prints it."""
    root: bool
    """Whether the effective user is 0."""
    filtered: bool = False
    """Whether a seccomp filter decides about this process's system calls."""
    container: str = ""
    """What this process is contained by: "docker", "podman", "kubernetes", "lxc" or nothing."""
    wsl: bool = False
    """Whether the kernel is the one of the Windows Subsystem for Linux."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The sysctls among `SETTINGS` that this kernel has, with their values."""
    modules: frozenset[str] | None = None
    """The modules that could be loaded, of those that matter; None where no modules are
    installed for the running kernel."""
    guest_remedy: str = ""
    """What lets `patchbay guest` work here; empty where it does."""
    tun_device: bool = True
    """Whether there is a /dev/net/tun."""
    open_files: int = -1
    """The hard limit of open files (RLIMIT_NOFILE); -1 for none."""
    processes: int = -1
    """How many processes there may be, by the tightest limit (RLIMIT_NPROC, cgroups); -1 for
    no limit."""
    neighbours: int = -1
    """The limit of the neighbour tables of all namespaces together (gc_thresh3); -1 where it
    cannot be seen from here."""

    def outcome(self, name: str) -> Outcome:
        """How the attempt at a capability ended."""
        return self.outcomes.get(name, UNTRIED)

    def to_json(self) -> str:
        """The same as text, for `from_json`."""
        return json.dumps(
            asdict(self) | {"modules": None if self.modules is None else sorted(self.modules)}
        )

    @classmethod
    def from_json(cls, text: str) -> Facts:
        """What `to_json` made a text of."""
        fields: dict[str, Any] = json.loads(text)
        outcomes = {name: Outcome(**outcome) for name, outcome in fields["outcomes"].items()}
        modules = None if fields["modules"] is None else frozenset(fields["modules"])
        return cls(**(fields | {"outcomes": outcomes, "modules": modules}))
