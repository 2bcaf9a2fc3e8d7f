"""A star of devices behind one router: until each answered a call, and until all is gone."""

import json
import shutil
import subprocess
import sys
import time

from benchmarks.report import Row
from patchbay import Lab

MININET = """
import sys, time
from mininet.net import Mininet
from mininet.topo import SingleSwitchTopo
from mininet.node import OVSBridge
begin = time.perf_counter()
net = Mininet(SingleSwitchTopo(int(sys.argv[1])), switch=OVSBridge, controller=None)
net.start()
for host in net.hosts:
    host.cmd("true")
print(time.perf_counter() - begin)
net.stop()
"""


def run() -> list[Row]:
    rows = []
    for count in (100, 1000):
        floor = floor_of(count)
        ready, gone = star(count)
        rows.append(Row(f"star of {count}, ready", ready, "s", floor, 3.0, True))
        rows.append(
            Row(f"star of {count}, teardown", gone, "s", limit=2 if count == 1000 else None)
        )
        if count == 100 and shutil.which("mn"):
            rows.append(Row("  beside it: Mininet", mininet(count), "s", floor))
    return rows


def star(count: int) -> tuple[float, float]:
    with Lab("warm") as lab:
        lab.ix.call(abs, 1)
    lab = Lab("star")
    try:
        begin = time.perf_counter()
        with lab.batch():
            home = lab.add_router("home", preset="home", downstream="10.64.0.0/18")
            devices = [lab.add_device(f"d{number}", home) for number in range(count)]
        for device in devices:
            device.call(abs, 1)
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
    command = ["python3", "-c", MININET, str(count)]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)
