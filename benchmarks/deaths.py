"""How soon a death is told to whoever waits, and how soon nothing is left after it."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.report import Row, p50
from patchbay import Lab, NodeDied, PatchbayError

ROUNDS = 10

CLIENT = """
import subprocess, sys, time
from patchbay import Lab
lab = Lab()
dc = lab.add_router("dc", preset="public")
server = lab.add_device("server", dc)
server.popen(["sleep", "600"])
server.run(["setsid", "-f", "sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
server.submit(time.sleep, 600)
print("ready", flush=True)
sys.stdin.read()
"""


def run() -> list[Row]:
    rows = []
    for who, victim in VICTIMS.items():
        times = [told(victim) * 1000 for _ in range(ROUNDS)]
        rows.append(Row(f"{who} is killed: a call fails (p50)", p50(times), "ms"))
        rows.append(Row(f"  the slowest of {ROUNDS}", max(times), "ms", limit=100))
    for who in ("client", "pb-launcher", "pb-supervisor"):
        times = [gone(who) for _ in range(ROUNDS)]
        rows.append(Row(f"{who} is killed: nothing is left (p50)", p50(times), "s"))
        rows.append(Row(f"  the slowest of {ROUNDS}", max(times), "s", limit=1))
    return rows


def supervisor_of(lab: Lab) -> int:
    return lab._connection.pid


def launcher_of(lab: Lab) -> int:
    """The parent of the lab's supervisor."""
    with open(f"/proc/{supervisor_of(lab)}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


VICTIMS: dict[str, Callable[[Lab], int]] = {
    "a node": lambda lab: lab.device("server").pid,
    "the supervisor": supervisor_of,
    "the launcher": launcher_of,
}


def told(victim: Callable[[Lab], int]) -> float:
    """Seconds from SIGKILL until a pending call has failed."""
    lab = Lab()
    try:
        lab.add_device("server", lab.add_router("dc", preset="public"))
        server = lab.device("server")
        task = server.submit(time.sleep, 600)
        server.call(abs, 1)
        begin = time.perf_counter()
        os.kill(victim(lab), signal.SIGKILL)
        try:
            task.result(60)
        except NodeDied:
            return time.perf_counter() - begin
        raise AssertionError("the call did not fail")
    finally:
        try:
            lab.close()
        except PatchbayError as error:
            print(f"closing: {error}", file=sys.stderr)


def gone(who: str) -> float:
    """Seconds from SIGKILL of a process until no other one of its lab is left."""
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        client.stdout.readline()
        family = dict(descendants(client.pid))
        victim = next((pid for pid, name in family.items() if name == who), client.pid)
        waiting = {pid: os.pidfd_open(pid) for pid in family}
        if who == "pb-supervisor":  # the launcher goes on: it serves other labs
            del waiting[next(pid for pid, name in family.items() if name == "pb-launcher")]
        begin = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
        for pidfd in waiting.values():
            select.select([pidfd], [], [], 60)
        taken = time.perf_counter() - begin
        client.kill()
    return taken


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """The children of a process, their children, and so on, each with its name."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = [int(child) for child in file.read().split()]
    for child in children:
        with open(f"/proc/{child}/comm") as file:
            yield child, file.read().strip()
        yield from descendants(child)
