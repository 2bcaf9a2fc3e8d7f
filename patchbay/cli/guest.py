"""`patchbay guest`: runs a command inside the guest kernel."""

from __future__ import annotations

import argparse
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from patchbay.cli.command import Command
from patchbay.errors import PatchbayError
from patchbay.guest.arguments import add_options, guest_of
from patchbay.guest.errors import GuestFailed
from patchbay.guest.running import run
from patchbay.guest.usual import usual_directories

_FAILED = 125
"""The exit status when it is the guest that failed, and not the command; as of docker and env."""


def _configure(parser: ArgumentParser) -> None:
    add_options(parser)
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="what is run"
    )


def _run(arguments: Namespace) -> int:
    command: list[str] = arguments.words
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        print("patchbay guest: name the command to run, after --", file=sys.stderr)
        return _FAILED
    if arguments.seed is None and arguments.time != "real":
        arguments.seed = int.from_bytes(os.urandom(4), "little") >> 1
    try:
        here = _here()
        arguments.write = arguments.write or usual_directories(command, here)
        guest = guest_of(arguments)
        if guest.seed is not None and not arguments.quiet:
            print(f"patchbay guest: {guest.time} time, --seed {guest.seed}", file=sys.stderr)
        return run(guest, command)
    except PatchbayError as error:
        print(f"patchbay guest: {error}", file=sys.stderr)
        return _FAILED


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise GuestFailed("the current directory does not exist any more") from error


COMMAND = Command(
    name="guest",
    summary="run a command in a kernel of our own, as an ordinary process: with every feature "
    "that labs use, and with virtual time if asked",
    configure=_configure,
    run=_run,
)
