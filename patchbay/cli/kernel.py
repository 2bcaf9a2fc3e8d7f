"""`patchbay kernel`: the guest kernel that `patchbay guest` runs; says what there is, or builds it."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace

from patchbay.cli.command import Command
from patchbay.errors import PatchbayError
from patchbay.guest.build import build
from patchbay.guest.cache import Kernel, best_kernel, kernels
from patchbay.guest.check import check


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=("show", "build", "check", "path"),
        default="show",
        help="show (default): version, features and origin of the kernels there are; build: build "
        "one, from the tarball or directory that LINUX_SOURCE names, or else from what this "
        "machine's package manager supplies; it takes minutes, no root, and 2 GB until it is done; "
        "check: start it, and say how long that took; path: its directory, for PATCHBAY_KERNEL",
    )


def _run(arguments: Namespace) -> int:
    try:
        if arguments.action == "build":
            _show(build(_progress, os.environ.get("LINUX_SOURCE", "")))
        elif arguments.action == "path":
            print(best_kernel().directory)
        elif arguments.action == "check":
            kernel = best_kernel()
            print(
                f"Linux {kernel.version} started, ran a program and ended in {check(kernel):.2f} s"
            )
        else:
            best_kernel()
            for kernel in kernels():
                _show(kernel)
    except PatchbayError as error:
        print(f"patchbay kernel: {error}", file=sys.stderr)
        return 1
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _show(kernel: Kernel) -> None:
    note = "" if kernel.current else "  (of another version of patchbay: `patchbay kernel build`)"
    print(f"Linux {kernel.version}{note}")
    print(f"  features  {', '.join(kernel.features)}")
    print(f"  source    {kernel.origin}")
    print(f"  built     {kernel.built}, {kernel.compiler}")
    print(f"  program   {kernel.program} ({kernel.program.stat().st_size / 1e6:.1f} MB)")


COMMAND = Command(
    name="kernel",
    summary="say which guest kernel there is, or build one: exit status 0 only if "
    "`patchbay guest` can use it",
    configure=_configure,
    run=_run,
)
