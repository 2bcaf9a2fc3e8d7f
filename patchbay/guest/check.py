"""Whether guests run here, found out by starting one."""

from __future__ import annotations

import os
import time

from actors.errors import HostNotCapable
from patchbay.guest.cache import Kernel
from patchbay.guest.channel import DONE, FAILED, Frames, number
from patchbay.guest.host import this_host
from patchbay.guest.launch import is_qemu, launch
from patchbay.guest.options import LEAST_MEMORY, LEAST_MEMORY_OF_QEMU, Guest, MachineKind
from patchbay.guest.request import Request


def check(kernel: Kernel | None = None, *, machine: MachineKind = "auto") -> float:
    """Start a guest, run a program in it, and end it.

    Args:
        kernel: which it is; default: the best there is.
        machine: what it runs as.

    Returns:
        How many seconds it took.

    Raises:
        HostNotCapable: there is no kernel, no room, or this host does not let it run.
    """
    begun = time.monotonic()
    qemu = is_qemu(Guest(machine=machine), this_host())
    guest = Guest(memory=LEAST_MEMORY_OF_QEMU if qemu else LEAST_MEMORY, machine=machine)
    with launch(guest, _NOTHING, kernel=kernel) as started:
        frames = Frames()
        while data := started.read():
            for kind, content in frames.feed(data):
                if kind == DONE and number(content) == 0:
                    return time.monotonic() - begun
                if kind in (DONE, FAILED):
                    raise _refused(content.decode(errors="replace"), qemu=qemu)
        with open(started.log, "rb", closefd=False) as log:
            raise _refused(log.read().decode(errors="replace").strip(), qemu=qemu)


_NOTHING = Request(
    command=("true",),
    environment={"PATH": os.defpath},
    directory="/",
    writable=(),
    user=os.getuid(),
    group=os.getgid(),
    groups=(),
    mask=0o022,
    files=1024,
    hostname="guest",
    terminals=(),
    virtual_time=False,
    input=os.devnull,
)


def _refused(said: str, *, qemu: bool) -> HostNotCapable:
    lines = said.splitlines()[-3:]
    return HostNotCapable(
        f"this host does not let a guest kernel run: {' | '.join(lines) or 'it said nothing'}",
        "patchbay guest --accelerator tcg -- true, which says more"
        if qemu
        else "allow ptrace, or seccomp filters, to this process (in Docker: --cap-add SYS_PTRACE "
        "--security-opt seccomp=unconfined)",
    )
