"""What needs netem runs in a guest, in virtual time, whatever the host has."""

import re
import sys
from importlib.metadata import entry_points
from pathlib import Path

from tests.virtual_time.conftest import Guest


def test_forty_tests_of_timing_are_exact(guest: Guest, tmp_path: Path) -> None:
    """Latency, jitter and loss, and time-outs."""
    installed = any(each.name == "patchbay" for each in entry_points(group="pytest11"))
    plugin = () if installed else ("-p", "patchbay.pytest_plugin")
    told = guest.plain(
        *(sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *plugin),
        *(
            "--basetemp",
            str(tmp_path),
            "--patchbay-guest=virtual",
            "--patchbay-guest-options=--seed 4",  # so that a failure can be seen again
            "--patchbay-require",
            "benchmarks/timing_suite.py",
        ),
    )

    assert "40 passed" in told
    errors = [float(each) for each in re.findall(r"RTT error ([\d.]+) ms", told)]
    assert len(errors) == 10
    assert max(errors) < 0.1
