"""Run one test as root of a fresh user and network namespace, with a `Kernel` as its argument.

    python run_in_namespace.py FILE FUNCTION

Ends with status 77 and the reason where the host does not let it.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(1, str(Path(__file__).parent))

from actors.linux import CLONE_NEWNET, CLONE_NEWUSER, unshare
from patchbay.wiring.kernel import Kernel


class Skip(Exception):
    """The host lacks what the test needs."""


def stay_on_one_processor() -> None:
    """Packets that one process sends keep their order as long as one processor carries them."""
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})


def become_root() -> None:
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise Skip(f"needs user and network namespaces: {error}") from error


if __name__ == "__main__":
    _, file, function = sys.argv
    try:
        become_root()
        stay_on_one_processor()
        with Kernel() as kernel:
            runpy.run_path(file)[function](kernel)
    except Exception as error:
        if type(error).__name__ != "Skip":
            raise
        print(error, file=sys.stderr)
        sys.exit(77)
