"""Tests of link conditions: pure ones in `packets`, of the engines in the other folders."""

from __future__ import annotations

import sys
from pathlib import Path

for _room in ("packets", "kernel"):
    sys.path.append(str(Path(__file__).parent / _room))
