"""`patchbay doctor`: what this host can do, and how to mend what it lacks."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from patchbay.cli.command import Command
from patchbay.doctor import capabilities


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the report for programs")


def _run(arguments: Namespace) -> int:
    report = capabilities()
    print(report.to_json() if arguments.json else report)
    return 0 if report.can_run else 1


COMMAND = Command(
    name="doctor",
    summary="say what this host can do, and how to mend what it lacks; "
    "exit status 0 only if a lab can run",
    configure=_configure,
    run=_run,
)
