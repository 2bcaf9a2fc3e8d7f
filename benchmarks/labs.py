"""What a lab costs: the first of a process, the next ones, an idle node."""

import subprocess
import sys
import time

from benchmarks.report import Row, p50
from patchbay import Lab

FIRST = """
import time
begin = time.perf_counter()
from patchbay import Lab
with Lab():
    print(time.perf_counter() - begin)
"""


def run() -> list[Row]:
    first = [
        float(subprocess.run([sys.executable, "-c", FIRST], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    Lab().close()
    times = []
    for _ in range(40):
        begin = time.perf_counter()
        Lab().close()
        times.append(time.perf_counter() - begin)
    return [
        Row("first lab of a process, with import", p50(first), "s", limit=0.5),
        Row("next lab, empty, open + close", p50(times) * 1000, "ms", limit=40),
        Row("an idle actor (PSS)", idle_actor(), "MB", limit=6),
    ]


def idle_actor() -> float:
    """Megabytes of proportional set size of a node's process, among ten, after one call."""
    with Lab("idle") as lab:
        home = lab.add_router("home", preset="home")
        with lab.batch():
            devices = [lab.add_device(f"d{number}", home) for number in range(10)]
        for device in devices:
            device.call(abs, 1)
        return p50([proportional_set(device.pid) for device in devices])


def proportional_set(pid: int) -> float:
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        for line in lines:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    raise ValueError("the kernel does not tell PSS")
