"""`patchbay kernel`: the kernels that `patchbay guest` runs; says what there is, or gets one."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import get_args

from patchbay.cli.command import Command
from patchbay.errors import PatchbayError
from patchbay.guest.build import build
from patchbay.guest.cache import Kernel, best_kernel, kernels
from patchbay.guest.check import check
from patchbay.guest.host import this_host
from patchbay.guest.launch import is_qemu
from patchbay.guest.options import Guest, MachineKind
from patchbay.guest.stock import FETCH, IMAGE, StockKernel, best_stock_kernel, fetch, stock_kernels


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=("show", "build", "fetch", "check", "path"),
        default="show",
        help="show (default): version, features and origin of the kernels there are; build: build "
        "one, from the tarball or directory that LINUX_SOURCE names, or else from what this "
        "machine's package manager supplies; it takes minutes, no root, and 2 GB until it is done; "
        "fetch: get a distribution's kernel for QEMU, from the package that LINUX_IMAGE names, or "
        "else with apt; check: start one, and say how long that took; path: its directory, for "
        "PATCHBAY_KERNEL or PATCHBAY_QEMU_KERNEL",
    )
    parser.add_argument(
        "--machine",
        choices=get_args(MachineKind),
        default="auto",
        help="whose kernel `check` starts and `path` names, as for `patchbay guest`; default: "
        "%(default)s",
    )


def _run(arguments: Namespace) -> int:
    machine: MachineKind = arguments.machine
    try:
        if arguments.action == "build":
            _show(build(_progress, os.environ.get("LINUX_SOURCE", "")))
        elif arguments.action == "fetch":
            _show_stock(fetch(_progress, this_host(), os.environ.get(IMAGE, "")))
        elif arguments.action == "path":
            print(_best(machine).directory)
        elif arguments.action == "check":
            version = _best(machine).version
            took = check(machine=machine)
            print(f"Linux {version} started, ran a program and ended in {took:.2f} s")
        else:
            _best(machine)
            for kernel in kernels():
                _show(kernel)
            for stock in stock_kernels():
                _show_stock(stock)
    except PatchbayError as error:
        print(f"patchbay kernel: {error}", file=sys.stderr)
        return 1
    return 0


def _best(machine: MachineKind) -> Kernel | StockKernel:
    """The kernel that a guest gets here if no other is named."""
    host = this_host()
    return best_stock_kernel(host) if is_qemu(Guest(machine=machine), host) else best_kernel()


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(kernel: Kernel) -> None:
    note = "" if kernel.current else "  (of another version of patchbay: `patchbay kernel build`)"
    print(f"Linux {kernel.version}{note}")
    print(f"  features  {', '.join(kernel.features)}")
    print(f"  source    {kernel.origin}")
    print(f"  built     {kernel.built}, {kernel.compiler}")
    print(f"  program   {kernel.program} ({kernel.program.stat().st_size / 1e6:.1f} MB)")


def _show_stock(kernel: StockKernel) -> None:
    note = "" if kernel.init.exists() else f"  (of another version of patchbay: `{FETCH}`)"
    print(f"Linux {kernel.version} for QEMU, {kernel.architecture}{note}")
    print(f"  source    {kernel.origin}")
    print(f"  directory {kernel.directory}")


COMMAND = Command(
    name="kernel",
    summary="say which guest kernel there is, or build or fetch one: exit status 0 only if "
    "`patchbay guest` can use it",
    configure=_configure,
    run=_run,
)
