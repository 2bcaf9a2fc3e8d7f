"""The guest kernel of patchbay, built. Its files are in the directory `kernel` beside this one."""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY = Path(__file__).parent / "kernel"
"""What PATCHBAY_KERNEL would name; patchbay finds it by itself."""


def main() -> int:
    """Start the kernel, and say how long that took."""
    from patchbay.cli import main as patchbay

    os.environ["PATCHBAY_KERNEL"] = str(DIRECTORY)
    return patchbay(["kernel", "check"])
