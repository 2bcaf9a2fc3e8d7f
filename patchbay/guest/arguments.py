"""The options of a command line that say what guest is wanted."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

from patchbay.guest.options import (
    PATIENCE,
    VIRTUAL_START,
    Accelerator,
    Guest,
    MachineKind,
    TimeKind,
    parse_cpus,
    parse_memory,
    parse_start,
)

T = TypeVar("T")


def add_options(parser: ArgumentParser) -> None:
    """Let a parser know the options of a guest."""
    parser.add_argument(
        "--time",
        choices=get_args(TimeKind),
        default="real",
        help="real (default): as outside; virtual: the clock stands still while code runs and "
        "jumps over every wait; virtual-cpu: it jumps over every wait, and runs while code runs",
    )
    parser.add_argument(
        "--seed",
        type=int,
        help="the number that all randomness in the guest follows from; default: in real time "
        "none, in virtual time one that is printed",
    )
    parser.add_argument(
        "--start",
        type=_parsed(parse_start),
        default=VIRTUAL_START,
        metavar="TIME",
        help="when virtual time begins: ISO 8601, or now; default: 2026-01-01T00:00:00Z",
    )
    parser.add_argument(
        "--memory",
        type=_parsed(parse_memory),
        default=1 << 30,
        metavar="SIZE",
        help="memory of the guest, such as 512M; default: 1G",
    )
    parser.add_argument(
        "--write",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a directory of the host that the command really writes; may be repeated; whatever "
        "it writes elsewhere is forgotten when it ends; default: artifacts here, and the cache and "
        "the temporary directories of pytest",
    )
    parser.add_argument(
        "--cpus",
        type=_parsed(parse_cpus),
        default=frozenset(),
        metavar="LIST",
        help="the processors of which the guest may take one, such as 0,2-3; default: all; guests "
        "side by side take one each",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="how long a program may compute in virtual time without ever waiting, in seconds of "
        "processor time, before it is named and ended; 0: for ever; default: %(default)g",
    )
    parser.add_argument(
        "--machine",
        choices=get_args(MachineKind),
        default="auto",
        help="uml: User-mode Linux, which is fast, and exists for Linux on x86-64; qemu: a "
        "distribution's kernel under QEMU, for other systems; auto (default): the first that exists "
        "here",
    )
    parser.add_argument(
        "--accelerator",
        choices=get_args(Accelerator),
        default="auto",
        help="by which means QEMU runs the guest: hvf of macOS, kvm of Linux, or tcg, an emulated "
        "processor; default: hvf or kvm where there is one and time is real, else tcg",
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="PATH",
        help="under QEMU: a directory with the files of a Linux, or an image of a disk with them in "
        "its first partition, which the guest has instead of the host's; the current directory is "
        "shown besides",
    )
    parser.add_argument("--quiet", action="store_true", help="do not print the seed")


def _parsed(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse say what the parser says, and not only that it failed."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def guest_of(arguments: Namespace) -> Guest:
    """The guest that options ask for.

    Args:
        arguments: the options, as the parser understood them.

    Raises:
        ConfigError: it cannot be what they ask.
    """
    return Guest(
        time=arguments.time,
        seed=arguments.seed,
        start=arguments.start,
        memory=arguments.memory,
        writable=tuple(arguments.write),
        cpus=arguments.cpus,
        patience=arguments.patience,
        machine=arguments.machine,
        accelerator=arguments.accelerator,
        root=arguments.root,
    )
