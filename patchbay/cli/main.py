"""The entry point: finds the command, and does what it says."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Iterable, Sequence

from patchbay.cli.command import Command
from patchbay.version import __version__

COMMANDS = ("doctor", "guest", "kernel")
"""Every command, in the order of `patchbay --help`: a module of this package with a `COMMAND`.

Only the one that is asked for is loaded: a command starts as fast as it can by itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the command line, without the program; default: `sys.argv`'s.

    Returns:
        The exit status of the process: 0 if all went well, 130 if it was interrupted.

    Raises:
        SystemExit: the arguments make no sense, or ask for help or the version.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    asked = tuple(name for name in words[:1] if name in COMMANDS)
    commands = {name: _load(name) for name in asked or COMMANDS}
    parsed = _parser(commands.values()).parse_args(words)
    try:
        return commands[parsed.command].run(parsed)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _load(name: str) -> Command:
    command = importlib.import_module(f"patchbay.cli.{name}").COMMAND
    assert isinstance(command, Command)
    return command


def _parser(commands: Iterable[Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="patchbay", description="Labs of real Linux network stacks, without root."
    )
    parser.add_argument("--version", action="version", version=f"patchbay {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in commands:
        subparser = subparsers.add_parser(
            command.name, help=command.summary, description=command.summary
        )
        command.configure(subparser)
    return parser
