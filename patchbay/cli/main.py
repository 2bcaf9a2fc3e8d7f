"""The entry point: finds the command, and does what it says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from patchbay.cli import doctor, guest, kernel
from patchbay.version import __version__

COMMANDS = (doctor.COMMAND, guest.COMMAND, kernel.COMMAND)
"""Every command, in the order of `patchbay --help`; a new one is a module and an entry here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the command line, without the program; default: `sys.argv`'s.

    Returns:
        The exit status of the process: 0 if all went well.

    Raises:
        SystemExit: the arguments make no sense, or ask for help or the version.
    """
    parsed = _parser().parse_args(arguments)
    command = next(command for command in COMMANDS if command.name == parsed.command)
    return command.run(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="patchbay", description="Labs of real Linux network stacks, without root."
    )
    parser.add_argument("--version", action="version", version=f"patchbay {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name, help=command.summary, description=command.summary
        )
        command.configure(subparser)
    return parser
