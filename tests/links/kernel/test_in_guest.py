"""The tests that need netem, in a kernel that has it: in real time, and in virtual time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from patchbay.doctor import capabilities

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 400
"""Seconds: many times what it takes on a busy machine."""


def _environment():
    """That of this process, but for the directory in which tests look for what is left behind."""
    return {name: value for name, value in os.environ.items() if name != "TMPDIR"}


@pytest.mark.patchbay_needs("guest")
@pytest.mark.parametrize(
    ("time", "which"),
    [("real", "takes_its_time or own_time or cut or changes"), ("virtual", "test")],
)
def test_netem_does_what_was_asked_for_in_a_guest(time, which):
    if capabilities().capability("netem").works:
        pytest.skip("this kernel has netem itself: the tests ran already")
    guest = [sys.executable, "-m", "patchbay", "guest", "--time", time, "--seed", "1"]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*guest, "--", *tests, str(ROOT / "tests/links/kernel/test_netem.py"), "-k", which],
        cwd=ROOT,
        env={**_environment(), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert time == "real" or "skipped" not in done.stdout
