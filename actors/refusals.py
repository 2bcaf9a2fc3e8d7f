"""What to do about a host whose kernel refuses what no lab can do without."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from actors.errors import HostNotCapable

_DOCTOR = (
    "`patchbay doctor` finds out what else this host refuses; `patchbay guest -- COMMAND` runs a "
    "program in a kernel of its own, which refuses nothing"
)


def refusal(error: OSError) -> HostNotCapable:
    """The error for a lab that cannot start: the kernel's words, and the likely way out."""
    remedy = next(_remedies(error.errno))
    return HostNotCapable(f"this host refuses a lab: {error.strerror}", f"{remedy}\n  {_DOCTOR}")


def _remedies(number: int | None) -> Iterator[str]:
    """What mends it, the likeliest cause first."""
    if _setting("kernel/unprivileged_userns_clone") == "0":
        yield "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    for kind in ("user", "mnt", "net"):
        if _setting(f"user/max_{kind}_namespaces") == "0":
            yield f"sudo sysctl -w user.max_{kind}_namespaces=15000"
    if number == errno.ENOSPC:
        yield "sudo sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000"
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        yield "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    if number in (errno.EINVAL, errno.ENOSYS):
        yield "a kernel with user, mount and network namespaces (CONFIG_USER_NS, CONFIG_NET_NS)"
    if number in (errno.EAGAIN, errno.ENOMEM):
        yield "more processes or memory for this user (`ulimit -u`)"
    yield (
        "running outside of the sandbox or container that forbids it, or "
        "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
    )


def _setting(path: str) -> str | None:
    try:
        with open(f"/proc/sys/{path}") as file:
            return file.read().strip()
    except OSError:
        return None  # this kernel does not have it
