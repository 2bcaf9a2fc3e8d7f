"""Finding out about this host: run in a process of its own, which is thrown away afterwards.

It reads what can be read, and forks a child for what can only be tried (`attempts`).
"""

from __future__ import annotations

import json
import os
import platform
import resource
from pathlib import Path

from actors.errors import HostNotCapable
from patchbay.clock import in_guest
from patchbay.doctor.attempts import attempt_all
from patchbay.doctor.facts import SETTINGS, Facts, Outcome
from patchbay.doctor.remedies import MODULES
from patchbay.guest.check import check


def main() -> None:
    """Print what was found out, as the text that `Facts.from_json` reads."""
    print(gather().to_json())


def gather() -> Facts:
    """Try everything; forks, so only for a process with one thread."""
    status = dict(
        line.split(":\t", 1) for line in _read("/proc/self/status").splitlines() if ":\t" in line
    )
    guest, guest_remedy = _guest()
    return Facts(
        outcomes={**_attempts(), "guest": guest},
        guest_remedy=guest_remedy,
        python=platform.python_version(),
        kernel=os.uname().release,
        root=os.geteuid() == 0,
        filtered=status.get("Seccomp", "0").strip() == "2",
        container=_container(),
        wsl="microsoft" in os.uname().release.lower(),
        settings={
            key: value
            for key in SETTINGS
            if (value := _read(f"/proc/sys/{key.replace('.', '/')}").strip())
        },
        modules=_loadable_modules(),
        tun_device=os.path.exists("/dev/net/tun"),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        processes=_most_processes(),
        neighbours=int(_read("/proc/sys/net/ipv4/neigh/default/gc_thresh3").strip() or -1),
    )


def _read(path: str) -> str:
    """A file's text; empty where there is no such file, or not for us."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _container() -> str:
    if os.path.exists("/run/.containerenv"):
        return "podman"
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if os.path.exists("/.dockerenv"):
        return "docker"
    groups = _read("/proc/1/cgroup")
    hints = {"kubepods": "kubernetes", "libpod": "podman", "docker": "docker", "lxc": "lxc"}
    return next((name for hint, name in hints.items() if hint in groups), "")


def _loadable_modules() -> frozenset[str] | None:
    listed = _read(f"/lib/modules/{os.uname().release}/modules.dep")
    if not listed:
        return None
    return frozenset(module for module in MODULES.values() if f"/{module}.ko" in listed)


def _most_processes() -> int:
    limits = [resource.getrlimit(resource.RLIMIT_NPROC)[0]]
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers in ("", "pids"):
            top = Path("/sys/fs/cgroup", controllers)
            for folder in (Path(group), *Path(group).parents):
                limit = _read(f"{top}{folder}/pids.max").strip()
                limits.append(int(limit) if limit.isdigit() else -1)
    return min((limit for limit in limits if limit >= 0), default=-1)


def _guest() -> tuple[Outcome, str]:
    """Whether a kernel of our own runs here, and what would mend it; in a guest, it does."""
    try:
        if not in_guest():
            check()
    except HostNotCapable as error:
        return Outcome("refused", 0, f"start a guest: {error.missing}"), error.remedy
    return Outcome("works"), ""


def _attempts() -> dict[str, Outcome]:
    """The outcome of every attempt, by the name of the capability."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        attempt_all(tell)
    os.close(tell)
    outcomes = {}
    with os.fdopen(told) as lines:
        for line in lines:
            name, outcome = json.loads(line)
            outcomes[name] = Outcome(**outcome)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) > 0:
        raise ChildProcessError("the attempts failed")  # it has printed why
    return outcomes  # a child that a sandbox has killed leaves the rest untried
