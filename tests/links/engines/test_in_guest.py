"""The suite in a kernel that has netem: in real time, and all of it in virtual time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PATIENCE = 1200
"""Seconds: many times what it takes on a busy machine."""

REAL = (
    "test_delay.py::test_each_direction_has_its_own_time",
    "test_content.py::test_a_stream_over_a_bad_link_arrives_whole",
    "test_changes.py::test_changes_of_everything",
    "test_side_by_side.py::test_a_rate_and_its_queue_are_the_same",
)
"""What real time can show better than virtual time: that being late does no harm."""

VIRTUAL = (
    "test_delay.py",
    "test_loss.py",
    "test_content.py",
    "test_rate.py",
    "test_changes.py",
    "test_reading.py",
    "test_opportunities.py",
    "test_scenarios.py",
    "test_schedules.py",
    "test_side_by_side.py",
)
"""All but `test_places`, which every host can run as a whole."""


def _environment():
    """That of this process, but for the directory in which tests look for what is left behind."""
    return {name: value for name, value in os.environ.items() if name != "TMPDIR"}


@pytest.mark.no_netem
@pytest.mark.patchbay_needs("guest")
@pytest.mark.parametrize(("time", "tests"), [("real", REAL), ("virtual", VIRTUAL)])
def test_both_engines_do_in_a_guest_what_was_asked_for(time, tests):
    guest = [sys.executable, "-m", "patchbay", "guest", "--time", time, "--seed", "1"]
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*guest, "--", *run, *(str(HERE / each) for each in tests)],
        cwd=ROOT,
        env={**_environment(), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
