"""Tests of link conditions: pure ones in `packets`, of both engines in `engines`."""

from __future__ import annotations

import sys
from pathlib import Path

for _room in ("packets", "programs", "engines", "kernel"):
    sys.path.append(str(Path(__file__).parent / _room))
