"""A guest to run things in; a test that asks for it needs the capability of that name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from patchbay.clock import in_guest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600
"""Seconds for one guest: many times what it takes on a busy machine."""


class Guests:
    """Runs commands as `patchbay guest` does."""

    def arguments(self, *command, options=()):
        return [sys.executable, "-m", "patchbay", "guest", *options, "--", *command]

    def environment(self, **more):
        return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}

    def run(self, *command, options=(), environment=None, **arguments):
        arguments = {"stdin": subprocess.DEVNULL, "capture_output": True, **arguments}
        if "input" in arguments:
            del arguments["stdin"]
        return subprocess.run(
            self.arguments(*command, options=options),
            env=self.environment(**(environment or {})),
            timeout=PATIENCE,
            **arguments,
        )

    def start(self, *command, options=(), **arguments):
        return subprocess.Popen(
            self.arguments(*command, options=options), env=self.environment(), **arguments
        )


def pytest_collection_modifyitems(items):
    needed = pytest.mark.patchbay_needs("guest")
    if in_guest():
        needed = pytest.mark.skip("this is a guest already, and a guest has none of its own")
    for item in items:
        if "guest" in getattr(item, "fixturenames", ()):
            item.add_marker(needed)


@pytest.fixture
def guest():
    return Guests()
