"""Starting a guest of the kind that is asked for, or else of the kind that exists here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from actors.errors import HostNotCapable
from patchbay.clock import in_guest
from patchbay.errors import ConfigError, Problem
from patchbay.guest import machine
from patchbay.guest.cache import Kernel, best_kernel
from patchbay.guest.host import Host, architecture_of, this_host
from patchbay.guest.initramfs import initramfs
from patchbay.guest.options import Guest
from patchbay.guest.request import Request

_REQUEST = "request"
"""The file in the initial file system that says what the guest is asked to do."""


def is_qemu(guest: Guest, host: Host) -> bool:
    """Whether a guest runs under QEMU: it is User-mode Linux wherever that exists and will do.

    Raises:
        ConfigError: it is asked to be User-mode Linux, and the host has none.
        HostNotCapable: there is neither for this host.
    """
    if guest.needs_qemu:
        return True
    if host.has_uml:
        return False
    if guest.machine == "uml":
        raise ConfigError(
            Problem("machine", "User-mode Linux runs on Linux on x86-64 alone: take qemu")
        )
    if architecture_of(host.architecture) is None:
        raise HostNotCapable(
            f"there is no guest for {host.architecture}: User-mode Linux is for x86-64, and QEMU is "
            "used for x86-64 and arm64",
            "use a lab without a guest, or another machine",
        )
    return True


def check_kernel(host: Host, *, qemu: bool) -> None:
    """Make sure that there is a kernel.

    Raises:
        HostNotCapable: there is none; the remedy gets one.
    """
    if not qemu:
        best_kernel()
        return
    from patchbay.guest import stock

    stock.best_stock_kernel(host)


def launch(
    guest: Guest,
    request: Request,
    files: Mapping[str, bytes] | None = None,
    *,
    kernel: Kernel | None = None,
) -> AbstractContextManager[machine.Machine]:
    """Start a guest; it is dead when the context ends.

    Args:
        guest: what is asked of the machine.
        request: what is asked of its first process.
        files: further files in its initial file system.
        kernel: the kernel of User-mode Linux; default: the best there is.

    Raises:
        ConfigError: the guest cannot be what is asked.
        HostNotCapable: there is no kernel, no QEMU, or no room; or this is a guest already.
    """
    host = this_host()
    if not is_qemu(guest, host):
        if in_guest():  # User-mode Linux starts in itself, and then hangs
            raise HostNotCapable(
                "this is a guest already, and a guest has none of its own",
                "run the command as it is, without patchbay guest",
            )
        kernel = kernel or best_kernel()
        return machine.started(kernel, guest, _initial(kernel.init.read_bytes(), request, files))
    from patchbay.guest import qemu, stock  # not loaded where there is no need

    qemu.check_fits(guest)
    taken = stock.best_stock_kernel(host)
    modules = {each: (taken.modules / each).read_bytes() for each in taken.boot}
    initial = _initial(
        taken.init.read_bytes(),
        qemu.adapted(request, taken, guest),
        {**modules, **(files or {})},
    )
    return qemu.started(taken, guest, initial, host, request.directory)


def _initial(init: bytes, request: Request, files: Mapping[str, bytes] | None) -> bytes:
    return initramfs(init, {**(files or {}), _REQUEST: request.encode()})
