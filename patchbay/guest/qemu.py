"""A distribution's kernel under QEMU, as a process of this host: its command line, and its life."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from actors.errors import HostNotCapable
from patchbay.errors import Problems
from patchbay.guest import tools
from patchbay.guest.host import Host
from patchbay.guest.machine import Machine
from patchbay.guest.options import LEAST_MEMORY_OF_QEMU, Accelerator, Guest
from patchbay.guest.request import Request
from patchbay.guest.stock import StockKernel

LINE = "/dev/vport0p1"
"""The device in the guest of the one port of its one serial bus; the 0th of a bus is a console's."""

DISK = "/dev/vda1"
"""The device in the guest of the first partition of its one disk."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are in the root of another system."""

_FIRST_WORD = 20
"""Seconds for a guest to start in a virtual machine of the host's, which takes one or two where it
works: some hosts, themselves virtual machines, offer what does not work."""


def check_fits(guest: Guest) -> None:
    """Make sure that QEMU can do what is asked.

    Raises:
        ConfigError: it cannot; all mistakes at once.
    """
    problems = Problems()
    if guest.memory < LEAST_MEMORY_OF_QEMU:
        problems.add(
            "memory",
            f"{guest.memory >> 20}M are less than the {LEAST_MEMORY_OF_QEMU >> 20}M that a "
            "distribution's kernel needs",
        )
    if guest.time == "virtual":
        problems.add(
            "time",
            "code is never free under QEMU, so that there is no virtual time: virtual-cpu, in which "
            "waits are skipped, is",
        )
    if guest.time == "virtual-cpu" and guest.accelerator not in ("auto", "tcg"):
        problems.add(
            "accelerator",
            f"time is real with {guest.accelerator}: virtual-cpu needs an emulated processor, tcg",
        )
    if guest.seed is not None and guest.time == "real":
        problems.add(
            "seed", "under QEMU it makes virtual-cpu time repeat, and nothing in real time"
        )
    problems.check()


def shares(kernel: StockKernel, guest: Guest, directory: str) -> dict[str, tuple[Path, bool]]:
    """The directories that the guest gets: for each of their names the path, and whether it writes.

    Args:
        kernel: which it is.
        guest: what is asked.
        directory: the current one.
    """
    found = {"modules": (kernel.modules, False)}
    if guest.root is None:
        found["root"] = (Path("/"), False)
    else:
        found["show0"] = (Path(directory), False)
        if guest.root.is_dir():
            found["root"] = (guest.root.resolve(), False)
    for number, each in enumerate(guest.writable):
        found[f"write{number}"] = (each.resolve(), True)
    return found


def adapted(request: Request, kernel: StockKernel, guest: Guest) -> Request:
    """What the first process is asked, when it is to find its files and its line as QEMU has them."""
    environment = dict(request.environment)
    if guest.root is not None:
        environment["PATH"] = ":".join(filter(None, (environment.get("PATH"), SYSTEM_PATH)))
    return replace(
        request,
        environment=environment,
        line=LINE,
        shares="9p",
        disk="" if guest.root is None or guest.root.is_dir() else DISK,
        shown=() if guest.root is None else (request.directory,),
        modules=tuple(f"/{each}" for each in kernel.boot),
    )


def emulator_arguments(
    kernel: StockKernel,
    guest: Guest,
    accelerator: Accelerator,
    *,
    program: str,
    line: int,
    initial: str,
    directory: str,
) -> list[str]:
    """QEMU's command line.

    Args:
        kernel: which it is.
        guest: what is asked.
        accelerator: by which means it runs.
        program: QEMU for the kernel's architecture.
        line: the descriptor of the socket that is the other end of the guest's serial line.
        initial: the path of the initial file system's archive.
        directory: the current one.
    """
    words = [
        program,
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"),
        *("-M", kernel.kind.machine),
        *("-accel", accelerator, "-cpu", "max" if accelerator == "tcg" else "host"),
        *("-m", f"{guest.memory >> 20}M", "-smp", "1"),
        *("-kernel", str(kernel.program), "-initrd", initial, "-append", _append(kernel, guest)),
        *("-chardev", "stdio,id=log,signal=off", "-serial", "chardev:log"),
        *("-chardev", f"socket,id=line,fd={line}"),
        *("-device", "virtio-serial-pci", "-device", "virtserialport,chardev=line"),
    ]
    if guest.time == "virtual-cpu":
        start = guest.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        words += ["-icount", "shift=0,sleep=off", "-rtc", f"base={start},clock=vm"]
    if guest.seed is not None:
        words += ["-seed", str(guest.seed % 2**32)]
    for name, (path, writes) in shares(kernel, guest, directory).items():
        options = f"security_model=none,multidevs=remap{'' if writes else ',readonly=on'}"
        words += ["-fsdev", f"local,id={name},path={_quoted(path)},{options}"]
        words += ["-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}"]
    if guest.root is not None and not guest.root.is_dir():
        words += ["-drive", f"file={_quoted(guest.root.resolve())},if=virtio,snapshot=on"]
    return words


@contextlib.contextmanager
def started(
    kernel: StockKernel, guest: Guest, initial: bytes, host: Host, directory: str
) -> Iterator[Machine]:
    """Run the kernel under QEMU; it is dead when this ends, or soon after this process has died.

    On Linux QEMU dies with this process. Elsewhere its guest finds its serial line closed, and ends.

    Args:
        kernel: which it is.
        guest: what is asked.
        initial: the archive of its initial file system.
        host: what this is.
        directory: the current one.

    Raises:
        HostNotCapable: QEMU is not installed; the remedy installs it.
    """
    *hopeful, last = host.accelerators(guest, kernel.kind)
    for accelerator in hopeful:
        with _running(kernel, guest, accelerator, initial, host, directory) as machine:
            if _speaks(machine.from_guest):
                yield machine
                return
    with _running(kernel, guest, last, initial, host, directory) as machine:
        yield machine


@contextlib.contextmanager
def _running(
    kernel: StockKernel,
    guest: Guest,
    accelerator: Accelerator,
    initial: bytes,
    host: Host,
    directory: str,
) -> Iterator[Machine]:
    program = shutil.which(kernel.kind.emulator)
    if program is None:
        raise HostNotCapable(
            f"{kernel.kind.emulator} is not installed", install_command(kernel.architecture)
        )
    ours, theirs = socket.socketpair()
    with ours, _archive(initial, host) as (path, archive):
        with theirs:
            arguments = emulator_arguments(
                kernel,
                guest,
                accelerator,
                program=program,
                line=theirs.fileno(),
                initial=path,
                directory=directory,
            )
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), *archive),
                process_group=0,  # Ctrl-C is for the command, which is told of it
                preexec_fn=_preparation(guest) if host.system == "Linux" else None,
            )
        try:
            assert process.stdout is not None
            yield Machine(ours.fileno(), ours.fileno(), process.stdout.fileno(), None)
        finally:
            process.kill()
            process.communicate()


def _speaks(line: int) -> bool:
    """Whether a guest says its first word in good time: it is left on the line."""
    poll = select.poll()
    poll.register(line, select.POLLIN)
    if not poll.poll(_FIRST_WORD * 1000):
        return False
    with socket.socket(fileno=os.dup(line)) as ours:
        return bool(ours.recv(1, socket.MSG_PEEK))


def install_command(architecture: str) -> str:
    """The command that installs QEMU for an architecture on this system."""
    manager = tools.package_manager()
    if not manager:
        return "install QEMU with this system's package manager"
    return tools.install_command([f"qemu-system-{architecture}"], manager, root=os.geteuid() == 0)


def _append(kernel: StockKernel, guest: Guest) -> str:
    """The kernel's own command line."""
    words = [
        *(f"console={kernel.kind.console}", "quiet", "loglevel=4", "panic=-1", "rdinit=/init"),
        *("sysctl.kernel.modprobe=/modprobe", "random.trust_cpu=on", "mitigations=off"),
        f"patchbay.time={guest.time}",
    ]
    if guest.seed is not None:
        words += ["norandmaps", "nokaslr"]
    return " ".join(words)


def _preparation(guest: Guest) -> Callable[[], None]:
    """What QEMU's process does before it becomes QEMU."""
    from actors.linux import die_with_parent

    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        if guest.cpus:
            os.sched_setaffinity(0, guest.cpus)

    return prepare


@contextlib.contextmanager
def _archive(data: bytes, host: Host) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A file for QEMU to read: its path, and the descriptors that this takes in QEMU."""
    if host.system == "Linux":
        with open(os.memfd_create("initramfs"), "wb") as memory:
            memory.write(data)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}", (memory.fileno(),)
        return
    with tempfile.NamedTemporaryFile(prefix="patchbay-guest-") as file:
        file.write(data)
        file.flush()
        yield file.name, ()


def _quoted(path: Path) -> str:
    """A path in an option of QEMU's, in which commas divide."""
    return str(path).replace(",", ",,")
