"""Asking about this host, once for each process, in a fresh interpreter."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

from actors.errors import InternalError
from patchbay.doctor.facts import Facts
from patchbay.doctor.report import Report
from patchbay.doctor.verdict import diagnose

_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from patchbay.doctor.probe import main; main()"
)
"""What the fresh interpreter is told; its argument is the module path of this one."""


@functools.cache
def capabilities() -> Report:
    """What this host can do; found out by trying, in another process, the first time.

    Raises:
        InternalError: finding out failed; the text says what the other process wrote.
    """
    answer = subprocess.run(
        [sys.executable, "-c", _START, json.dumps(sys.path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if answer.returncode != 0:
        raise InternalError(f"the probe of this host failed:\n{answer.stdout}{answer.stderr}")
    return diagnose(Facts.from_json(answer.stdout))
