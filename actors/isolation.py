"""Entering the namespaces of a lab, and what is done without where a host refuses one."""

from __future__ import annotations

import os
from collections.abc import Callable

from actors import linux


def enter_namespaces(ask_for_maps: Callable[[], str | None]) -> tuple[str, ...]:
    """Give this process namespaces of its own; the pid namespace holds for its children.

    A user namespace makes everything else possible without privileges; real root can do without.
    The pid namespace is what makes the kernel kill all that is left of a lab: where a host
    refuses it, a lab still works, and says so.

    Args:
        ask_for_maps: has the parent write this process's id maps; returns what went wrong.

    Returns:
        The names of what this host refused, in the words of `patchbay doctor`.

    Raises:
        OSError: the host refuses what no lab can do without.
    """
    lacks = []
    try:
        linux.unshare(linux.CLONE_NEWUSER)
    except OSError:
        if os.geteuid() != 0:
            raise
        lacks.append("userns")
    else:
        problem = ask_for_maps()
        if problem is not None:
            raise PermissionError(1, f"the ids of a user namespace could not be mapped: {problem}")
    linux.unshare(linux.CLONE_NEWNS)
    linux.unshare(linux.CLONE_NEWNET)
    for name, flag in (
        ("utsns", linux.CLONE_NEWUTS),
        ("ipcns", linux.CLONE_NEWIPC),
        ("pidns", linux.CLONE_NEWPID),
    ):
        try:
            linux.unshare(flag)
        except OSError:
            lacks.append(name)
    return tuple(lacks)


def write_id_maps(pid: int) -> str | None:
    """Map the ids of the user namespace that a child has entered; return what went wrong.

    Real root maps every id to itself, so that a lab's code can read what its user can. Everyone
    else may map one id only, and maps it to root: programs then keep their capabilities over an
    exec, inside the lab.
    """
    single = (f"0 {os.geteuid()} 1", f"0 {os.getegid()} 1")
    attempts = [single]
    if os.geteuid() == 0:
        attempts.insert(0, (_identity("uid"), _identity("gid")))
    problem = None
    for users, groups in attempts:
        try:
            if (users, groups) == single:
                _write(pid, "setgroups", "deny")
            _write(pid, "uid_map", users)
            _write(pid, "gid_map", groups)
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}"
        else:
            return None
    return problem


def _identity(kind: str) -> str:
    with open(f"/proc/self/{kind}_map") as lines:
        extents = [line.split() for line in lines]
    return "\n".join(f"{first} {first} {count}" for first, _, count in extents)


def _write(pid: int, name: str, text: str) -> None:
    with open(f"/proc/{pid}/{name}", "w") as file:
        file.write(text)


class HiddenDirectory:
    """A tmpfs for a lab's sockets and files that only holders of its descriptor can reach.

    It lies in the lab's mount namespace below the mount of /proc, so no path leads to it, and it
    goes when the last process and descriptor of the lab goes: nobody has to clean up.
    """

    def __init__(self) -> None:
        linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        self.lacks: tuple[str, ...] = ()
        covered = linux.clone_mount("/proc")
        linux.mount("patchbay", "/proc", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0700")
        self.descriptor = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        except OSError:
            # masked by a container's runtime: the old one still serves, with outer process ids
            linux.attach_mount(covered, "/proc")
            self.lacks = ("proc",)
        os.close(covered)

    def path(self, name: str) -> str:
        """The path by which this process reaches a file in it."""
        return f"/proc/self/fd/{self.descriptor}/{name}"
