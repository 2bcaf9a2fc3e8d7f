"""A star of devices behind one router: until each answered a call, and until all is gone."""

import json
import os
import shutil
import subprocess
import sys
import time

from benchmarks.report import Row, p50
from patchbay import Lab

ROUNDS = 3

MININET = """
import sys, time
from mininet.net import Mininet
from mininet.topo import SingleSwitchTopo
from mininet.nodelib import LinuxBridge
begin = time.perf_counter()
net = Mininet(SingleSwitchTopo(int(sys.argv[1])), switch=LinuxBridge, controller=None)
net.start()
for host in net.hosts:
    host.cmd("true")
print(time.perf_counter() - begin)
net.stop()
"""


def run() -> list[Row]:
    rows = []
    for count in (100, 1000):
        floors, readies, goings = zip(*(in_turn(count) for _ in range(ROUNDS)), strict=True)
        floor, ready, gone = p50(list(floors)), p50(list(readies)), p50(list(goings))
        rows.append(Row(f"star of {count}, ready", ready, "s", floor, 3.0, True))
        rows.append(
            Row(f"star of {count}, teardown", gone, "s", limit=2 if count == 1000 else None)
        )
        if count == 100 and os.geteuid() == 0 and shutil.which("mn") and shutil.which("brctl"):
            rows.append(Row("  beside it: Mininet", mininet(count), "s", floor))
    return rows


def in_turn(count: int) -> tuple[float, float, float]:
    """The floor, and both times of ours, one right after the other."""
    return (floor_of(count), *star(count))


def star(count: int) -> tuple[float, float]:
    with Lab("warm") as lab:
        lab.ix.call(abs, 1)
    lab = Lab("star")
    try:
        begin = time.perf_counter()
        with lab.batch():
            home = lab.add_router("home", preset="home", downstream="10.64.0.0/18")
            devices = [lab.add_device(f"d{number}", home) for number in range(count)]
        for task in [device.submit(abs, 1) for device in devices]:
            task.result()
        ready = time.perf_counter() - begin
        begin = time.perf_counter()
    finally:
        lab.close()
    return ready, time.perf_counter() - begin


def floor_of(count: int) -> float:
    """Raw netlink from one process, and as many forks: the least that a star can take."""
    command = [sys.executable, "-m", "benchmarks.floor_star", str(count)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return float(told["total_s"] + told["fork_s"])


def mininet(count: int) -> float:
    """Debian's packages mininet and bridge-utils; it needs root, and the system's Python."""
    command = ["/usr/bin/python3", "-c", MININET, str(count)]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)
