"""Run every benchmark, or those named, and print one table.

python -m benchmarks [calls] [labs] [star] [nat] [forwarding] [deaths] [virtual_time] [fidelity]
"""

import compileall
import importlib
import os
import platform
import sys
from pathlib import Path

import actors
import patchbay
from benchmarks.report import table

NAMES = ("calls", "labs", "star", "nat", "forwarding", "deaths", "virtual_time", "fidelity")


def main() -> int:
    for package in (actors, patchbay):  # as pip does for those who install it
        compileall.compile_dir(str(Path(package.__file__).parent), quiet=1)
    wanted = sys.argv[1:] or NAMES
    print(f"Python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} CPUs")
    rows = []
    for name in wanted:
        if name not in NAMES:
            print(f"no benchmark {name!r}: there are {', '.join(NAMES)}", file=sys.stderr)
            return 2
        rows += importlib.import_module(f"benchmarks.{name}").run()
    print(table(rows))
    return 1 if any(row.kept is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
