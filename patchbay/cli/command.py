"""What a command of `patchbay` consists of."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, such as `patchbay doctor`."""

    name: str
    summary: str
    """What it does, in a line for `patchbay --help`."""
    configure: Callable[[ArgumentParser], None]
    """Adds the command's own arguments to its parser."""
    run: Callable[[Namespace], int]
    """Does the work; returns the exit status."""
