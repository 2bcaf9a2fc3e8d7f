"""The kernel as a process of this host: its command line, its memory, the processor it runs on."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import random
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.errors import HostNotCapable
from actors.linux import close_all, die_with_parent
from patchbay.guest.cache import Kernel, cache_directory
from patchbay.guest.options import Guest
from patchbay.guest.watch import Watch, watch_page

_LOOPS_PER_TICK = 40_000_000
"""How often the kernel spins in 10 ms when it has to wait without sleeping, rather more than the
fastest processor does. It would spend 70 ms of every start in real time on counting them."""

_FIRST_DESCRIPTOR = 200
"""The first of those that the kernel is given. Its command line says their numbers, and its random
numbers begin with that line: they must not depend on what else the process has open."""

_AT_ONCE = 1 << 16

_TIME = {"real": [], "virtual": ["time-travel=inf-cpu"], "virtual-cpu": ["time-travel"]}


def kernel_arguments(
    kernel: Kernel, guest: Guest, *, reads: int, writes: int, initial: int, watch: int
) -> list[str]:
    """The kernel's command line.

    Args:
        kernel: which it is.
        guest: what is asked.
        reads: the descriptor from which the guest's serial line reads.
        writes: the one that it writes to.
        initial: the one of the initial file system's archive.
        watch: the one of the memory by which it is watched.
    """
    arguments = [
        str(kernel.program),
        f"mem={guest.memory >> 20}M",
        f"initrd=/proc/self/fd/{initial}",
        *("con=null", "ssl=null", f"ssl0=fd:{reads},fd:{writes}"),
        "uml_dir=/dev/null",  # no control socket, so no file that could be left
        *("seccomp=auto", "panic=-1", "quiet", "loglevel=4", f"lpj={_LOOPS_PER_TICK}"),
        *("fb_tunnels=none", "dummy.numdummies=0", "ifb.numifbs=0"),  # `lo`, and no more
        *_TIME[guest.time],
    ]
    if guest.is_virtual:
        arguments.append(f"watch={watch}")
        arguments.append(f"time-travel-start={int(guest.start.timestamp() * 1e9)}")
    if guest.seed is not None:
        arguments.append("norandmaps")
    return arguments


@dataclass(frozen=True, slots=True)
class Machine:
    """A kernel that runs.

    Attributes:
        to_guest: the end of a pipe or socket; what is written here comes out of the guest's serial
            line.
        from_guest: one from which comes what the guest writes there.
        log: one from which its kernel's messages come.
        watch: whether it waits; None where waiting or not makes no difference.
    """

    to_guest: int
    from_guest: int
    log: int
    watch: Watch | None

    def read(self) -> bytes:
        """What the guest writes, as soon as there is something; nothing once it has ended."""
        try:
            return os.read(self.from_guest, _AT_ONCE)
        except ConnectionResetError:  # it ended without having read all that was sent
            return b""


@contextlib.contextmanager
def started(kernel: Kernel, guest: Guest, initial: bytes) -> Iterator[Machine]:
    """Run the kernel; it is dead when this ends, or when this process dies in whatever way.

    Args:
        kernel: which it is.
        guest: what is asked.
        initial: the archive of its initial file system.

    Raises:
        HostNotCapable: there is no room for its memory.
    """
    environment = {"PATH": os.defpath, "TMPDIR": str(memory_directory(guest.memory))}
    if guest.seed is not None:
        environment["UML_SEED"] = str(guest.seed)
    ours = os.getpid()
    with own_processor(guest.cpus) as processor, watch_page() as (watched, page):

        def prepare() -> None:
            die_with_parent(signal.SIGKILL)
            if os.getppid() != ours:
                os.kill(os.getpid(), signal.SIGKILL)
            os.sched_setaffinity(0, {processor})

        # Two pipes and not one socket: what the kernel reads must not block, what it writes must.
        reads, to_guest = os.pipe()
        from_guest, writes = os.pipe()
        with os.fdopen(os.memfd_create("initramfs"), "wb") as archive:
            archive.write(initial)
            archive.flush()
            given = (reads, writes, archive.fileno(), watched)
            numbered = [
                fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR) for each in given
            ]
            theirs = dict(zip(("reads", "writes", "initial", "watch"), numbered, strict=True))
            try:
                process = subprocess.Popen(
                    kernel_arguments(kernel, guest, **theirs),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=environment,
                    cwd="/",
                    pass_fds=tuple(theirs.values()),
                    preexec_fn=prepare,
                )
            finally:
                close_all([reads, writes, *numbered])
        try:
            assert process.stderr is not None
            watch = Watch(page, process.pid, guest.patience) if guest.time == "virtual" else None
            yield Machine(to_guest, from_guest, process.stderr.fileno(), watch)
        finally:
            process.kill()
            process.communicate()
            os.close(to_guest)
            os.close(from_guest)


@contextlib.contextmanager
def own_processor(among: frozenset[int] = frozenset()) -> Iterator[int]:
    """A processor that no other guest has, or any if each has one already.

    Args:
        among: those that may be taken; empty: all that this process may use.

    The claim is an abstract socket's name: it ends with the process, however that ends.
    """
    allowed = sorted(
        among or os.sched_getaffinity(0), reverse=True
    )  # devices like to interrupt the first
    with socket.socket(socket.AF_UNIX) as claim:
        for processor in allowed:
            try:
                claim.bind(f"\0patchbay-guest-processor-{processor}")
            except OSError:
                continue
            yield processor
            return
    yield random.choice(allowed)


def memory_directory(size: int) -> Path:
    """Where the guest's memory can be: a file that has no name, in memory or else on a disk.

    Raises:
        HostNotCapable: no directory has room for it and allows programs.
    """
    refused = []
    for each in _candidates():
        reason = _why_not(each, size)
        if not reason:
            return each
        refused.append(f"{each} {reason}")
    raise HostNotCapable(
        f"the guest's memory of {size >> 20}M fits nowhere: {'; '.join(refused)}",
        "TMPDIR=DIRECTORY patchbay guest ..., with a directory that has room and allows programs "
        "(docker run --shm-size 2g --tmpfs /dev/shm:exec), or --memory with less",
    )


def _candidates() -> Sequence[Path]:
    named = ["/dev/shm", os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/var/tmp"]
    return [Path(each) for each in dict.fromkeys(named) if each] + [cache_directory()]


def _why_not(directory: Path, size: int) -> str:
    """Why a directory cannot hold the memory; nothing if it can."""
    try:
        free = os.statvfs(directory)
        if free.f_bavail * free.f_frsize < size:
            return f"has only {free.f_bavail * free.f_frsize >> 20}M free"
        with tempfile.TemporaryFile(dir=directory) as file:
            file.truncate(mmap.PAGESIZE)
            everything = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
            mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_PRIVATE, everything).close()
    except OSError as error:
        return f"does not do: {error.strerror}"
    return ""
