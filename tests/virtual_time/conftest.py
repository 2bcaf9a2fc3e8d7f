"""A guest to run things in; a test that asks for it needs the capability of that name."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from patchbay import clock

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600
"""Seconds for one guest: many times what it takes on a busy machine."""

CACHE = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
"""Where kernels are, also for a process whose home is another."""


class Guest:
    """Runs commands in a guest, as `patchbay guest` does."""

    def __init__(self) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_CACHE_HOME": CACHE,
        }

    def command(self, *command: str | Path, time: str = "virtual") -> str:
        """Run a command; what it printed."""
        words = (sys.executable, "-m", "patchbay", "guest", f"--time={time}", "--quiet", "--")
        return self.plain(*words, *command)

    def python(self, text: str, *, time: str = "virtual") -> str:
        """Run some Python; what it printed."""
        return self.command(sys.executable, "-c", textwrap.dedent(text), time=time)

    def plain(self, *command: str | Path) -> str:
        """Run a command as it is; what it printed."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self.environment,
            cwd=ROOT,
            timeout=PATIENCE,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needed = pytest.mark.patchbay_needs("guest")
    if clock.in_guest():
        needed = pytest.mark.skip("this is a guest already, and a guest has none of its own")
    for item in items:
        if Path(__file__).parent in item.path.parents and "guest" in getattr(
            item, "fixturenames", ()
        ):
            item.add_marker(needed)


@pytest.fixture
def guest() -> Guest:
    return Guest()
