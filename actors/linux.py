"""Small wrappers over system calls that Python does not have: each raises OSError by name."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

_AT_FDCWD = -100
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_CLOSE_RANGE = 428, 429, 436
"""The same on every architecture, as are all since Linux 5.2."""

_SYS_TGKILL = 234 if os.uname().machine == "x86_64" else 131
"""The second is that of arm64, and of all architectures that came after it."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Move this process into new namespaces; with CLONE_NEWUSER it must have one thread."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def setns(descriptor: int, kind: int = 0) -> None:
    """Enter the namespace that a descriptor stands for."""
    _check(_libc.setns(descriptor, kind), f"setns({kind:#x})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount, bind or change a mount; see mount(2)."""
    arguments = [text.encode() or None for text in (source, target, kind)]
    _check(
        _libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None),
        f"mount {kind or 'bind'} on {target}",
    )


def clone_mount(path: str) -> int:
    """A descriptor of a mount that shows what is at a path, and is mounted nowhere yet.

    It can be attached where the path itself leads no more: over it, or in another mount namespace.
    """
    clone, close_on_exec, with_what_is_below = 1, 0o2000000, 0x8000
    flags = clone | close_on_exec | with_what_is_below
    result = _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, path.encode(), flags)
    return _check(result, f"open_tree({path})")


def attach_mount(mount: int, path: str) -> None:
    """Mount what `clone_mount` returned over a path of this process's mount namespace."""
    from_descriptor = 4
    result = _libc.syscall(_SYS_MOVE_MOUNT, mount, b"", _AT_FDCWD, path.encode(), from_descriptor)
    _check(result, f"move_mount({path})")


def keep_descriptors(wanted: Mapping[int, int]) -> None:
    """Have descriptors at the numbers 0 to n, and no others: `{number: descriptor}`.

    Those above 2 are closed on exec.
    """
    above = max(wanted) + 1
    moved = {
        number: fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above)
        for number, descriptor in wanted.items()
    }
    for number, descriptor in moved.items():
        os.dup2(descriptor, number, inheritable=number <= 2)
    if _libc.syscall(_SYS_CLOSE_RANGE, above, ctypes.c_uint(-1), 0) < 0:  # before Linux 5.9
        os.closerange(above, max(map(int, os.listdir("/proc/self/fd"))) + 1)


def sethostname(name: str) -> None:
    """Set the hostname of this UTS namespace."""
    socket.sethostname(name)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when the thread that forked it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def become_subreaper() -> None:
    """Adopt the orphans among this process's descendants."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def share_one_heap() -> None:
    """Have all threads of this process and its forks allocate from one heap, where libc can.

    A heap for each thread is pages to be made, and given back, for threads that hardly allocate.
    """
    arena_max = -8
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(arena_max, 1)


def set_process_name(name: str) -> None:
    """Name this thread as `ps` and `top` show it; the kernel keeps 15 bytes."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl(PR_SET_NAME)")


def peer_user(stream: socket.socket) -> int:
    """The user at the other end of a unix socket, as this user namespace numbers it."""
    credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])


def host_pid(pidfd: int) -> int:
    """The process id that a pidfd stands for, in the pid namespace of this process."""
    with open(f"/proc/self/fdinfo/{pidfd}") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name == "Pid":
                return int(value)
    raise OSError(f"descriptor {pidfd} is no pidfd")


def tgkill(process: int, thread: int, number: int) -> None:
    """Send a signal to one thread of another process."""
    result = _libc.syscall(_SYS_TGKILL, process, thread, int(number))
    _check(result, f"tgkill({process}, {thread}, {number})")


class Timer:
    """A one-shot kernel timer of CLOCK_MONOTONIC with a descriptor that becomes readable when it fires."""

    def __init__(self) -> None:
        clock_monotonic, cloexec_nonblocking = 1, 0o2000000 | 0o4000
        self.descriptor = _check(
            _libc.timerfd_create(clock_monotonic, cloexec_nonblocking), "timerfd_create"
        )
        self._off = ctypes.create_string_buffer(struct.pack("4q", 0, 0, 0, 0))

    def schedule(self, seconds: float) -> ctypes.Array[ctypes.c_char]:
        """The argument for `start` that stands for so many seconds."""
        whole, nanoseconds = divmod(round(seconds * 1e9), 1_000_000_000)
        return ctypes.create_string_buffer(struct.pack("4q", 0, 0, whole, nanoseconds))

    def start(self, schedule: ctypes.Array[ctypes.c_char]) -> None:
        """Let it fire once, after the time that `schedule` made."""
        _libc.timerfd_settime(self.descriptor, 0, schedule, None)

    def start_at(self, time: int) -> None:
        """Let it fire once, at a time in nanoseconds of CLOCK_MONOTONIC; at once if it is past."""
        absolute = 1
        schedule = struct.pack("4q", 0, 0, *divmod(max(1, time), 1_000_000_000))
        _libc.timerfd_settime(self.descriptor, absolute, schedule, None)

    def stop(self) -> None:
        """Let it not fire; a firing that nobody read yet is forgotten."""
        _libc.timerfd_settime(self.descriptor, 0, self._off, None)

    def read(self) -> None:
        """Take note of a firing, so that the descriptor is readable no longer."""
        try:
            os.read(self.descriptor, 8)
        except BlockingIOError:
            return  # stopped in the meantime


def send_with_descriptors(
    channel: socket.socket, data: Sequence[bytes | memoryview], descriptors: Sequence[int]
) -> int:
    """Send data and, with its first byte, descriptors; returns how many bytes went."""
    rights = struct.pack(f"{len(descriptors)}i", *descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    return channel.sendmsg(data, ancillary, socket.MSG_NOSIGNAL)


MOST_DESCRIPTORS = 253
"""The kernel's limit for one message (SCM_MAX_FD)."""

_ROOM = socket.CMSG_SPACE(MOST_DESCRIPTORS * 4)


def receive_with_descriptors(
    channel: socket.socket, size: int, flags: int = 0
) -> tuple[bytes, list[int]]:
    """Receive data and the descriptors that came with it, closed on exec.

    `socket.recv_fds` forgets MSG_CMSG_CLOEXEC: for a moment its descriptors would leak into
    every program that another thread starts.

    Raises:
        OSError: descriptors were lost because this process may not open more.
    """
    descriptors: list[int] = []
    try:
        data, ancillary, answer, _ = channel.recvmsg(size, _ROOM, flags | socket.MSG_CMSG_CLOEXEC)
        for level, kind, rights in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                whole = len(rights) // 4
                descriptors.extend(struct.unpack(f"{whole}i", rights[: whole * 4]))
        if answer & socket.MSG_CTRUNC:
            raise OSError(
                errno.EMFILE,
                "descriptors were lost on the way: this process has reached its limit of open "
                "files; raise it with `ulimit -n`",
            )
    except BaseException:  # also Ctrl-C: nobody else knows of them
        close_all(descriptors)
        raise
    return data, descriptors


def make_pipe(path: str) -> int:
    """Make a named pipe and open it, so that nobody at its other end is ever alone."""
    os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


def wait_readable(*descriptors: int, timeout: float | None = None) -> list[int]:
    """Wait until descriptors are readable, or their other end is gone; return which of them.

    With a timeout, in seconds, the list is empty when it is over.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [ready for ready, _ in poll.poll(None if timeout is None else timeout * 1000)]
