"""A guest to run things in; tests that ask for it are skipped where no guest kernel is built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.errors import HostNotCapable
from patchbay.guest import best_kernel

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120
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


@pytest.fixture
def guest():
    if "User Mode Linux" in Path("/proc/cpuinfo").read_text():
        pytest.skip("this is a guest already, and a guest has none of its own")
    try:
        best_kernel()
    except HostNotCapable as error:
        pytest.skip(str(error))
    return Guests()
