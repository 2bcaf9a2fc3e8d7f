"""What links do against what was asked for; each part prints one JSON object.

python -m benchmarks.fidelity_work accuracy ENGINE | spread ENGINE | rates ENGINE SECONDS |
changes ENGINE | beside | carried | idle
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle, pairwise
from threading import Event
from typing import Any

from benchmarks.rivals import DELAY, LOSS, RATE, measure
from patchbay import Device, Lab, LinkCondition
from tests.links.engines.traffic import Crossing, cross
from tests.links.packets.statistics_of import JITTERS, chance_of_so_many, spread_as_asked

MILLISECONDS = (1, 20, 100)
PER_CENT = (0.1, 1, 10, 50)
RATES = (100, 1_000, 10_000, 100_000, 500_000, 1_000_000)
"""kbit/s."""
MOST = {"kernel": 1_000_000, "user": 500_000}

UDP_SIZE = 1458
"""Payload of a full frame of 1,500 bytes of IP; 14 are Ethernet's."""
UDP_SHARE, TCP_SHARE = UDP_SIZE / 1500, 1448 / 1514

OFFERED = (100_000, 150_000, 200_000, 250_000)
"""Packets per second."""

FIRST = 5
"""Datagrams that pass before a rate is measured: what it lets through at once is not a rate."""

SPREAD = 2_000
"""Packets for each distribution."""

IDLE = 200
"""Links."""

CHANGES = 1_000
PAUSE = 0.002
"""Seconds between two changes; four packets are sent in them."""
CHANGED = (
    LinkCondition(latency_ms=20),
    LinkCondition(latency_ms=1, jitter_ms=1),
    None,
    LinkCondition(latency_ms=5, rate_kbit=50_000, queue_ms=500),
    LinkCondition(latency_ms=2, rate_kbit=5_000, queue_ms=500),
)


@contextmanager
def pair(engine: str = "auto") -> Iterator[tuple[Device, Device]]:
    """A laptop and a server, each at a router of its own."""
    with Lab("fidelity", seed=7, link_engine=engine) as lab:
        with lab.batch():
            lab.add_device("server", lab.add_router("dc"))
            lab.add_device("laptop", lab.add_router("home"))
        yield lab.device("laptop"), lab.device("server")


def accuracy(engine: str) -> dict:
    """Errors of delays in milliseconds, and losses."""
    found: dict = {"delays": [], "losses": []}
    with pair(engine) as (laptop, server):
        eth0 = laptop.iface("eth0")
        for latency in MILLISECONDS:
            eth0.set_condition(LinkCondition(latency_ms=latency), "up")
            told = laptop.iperf(server, protocol="udp", seconds=2, rate_kbit=800, size=200)
            delays = told.delay_ms
            found["delays"].append((latency, delays.p50 - latency, delays.p99 - latency))
        for share in PER_CENT:
            eth0.set_condition(LinkCondition(loss_pct=share), "up")
            told = laptop.iperf(server, protocol="udp", seconds=2, rate_kbit=4_000, size=100)
            found["losses"].append((share, told.sent, told.lost))
    return found


def spread(engine: str) -> list:
    """How probable what was met is, if it is what was asked for: what, packets, probability."""
    found: list = []
    with pair(engine) as (laptop, server):
        eth0 = laptop.iface("eth0")

        def met(*, to_the_last: bool = True, **asked: Any) -> Crossing:
            eth0.set_condition(LinkCondition(**asked), "up")
            # large ones, as a bit that flips in the sender's hardware address breaks nothing
            options = {"size": 1_000, "window": 100, "some_are_lost": not to_the_last}
            return cross(laptop, server, SPREAD, **options)

        for kind in JITTERS:
            jitter = {"jitter_ms": 10, "jitter_distribution": kind, "jitter_reorders": True}
            delays = met(latency_ms=60, **jitter).delays
            likely = spread_as_asked([(each - 60) / 10 for each in delays], kind)
            found.append((f"jitter, {kind}", "Kolmogorov, Smirnov", likely))
        early = sum(each < 25 for each in met(latency_ms=50, reorder_pct=25).delays)
        twice = len(met(to_the_last=False, duplicate_pct=20).numbers) - SPREAD
        broken = len(met(to_the_last=False, corrupt_pct=20).lost)
        for what, hits, share in (
            ("reordered, 25 %", early, 0.25),
            ("duplicated, 20 %", twice, 0.2),
            ("corrupted, 20 %", broken, 0.2),
        ):
            found.append((what, "chi-square", chance_of_so_many(hits, SPREAD, share)))
    return found


def rates(engine: str, least: str) -> list:
    """For each rate the shares of the goodput that it lets expect: UDP, and TCP.

    Each is measured for so many seconds at least.
    """
    found = []
    with pair(engine) as (laptop, server):
        eth0 = laptop.iface("eth0")
        for kbit in (each for each in RATES if each <= MOST[engine]):
            eth0.set_condition(LinkCondition(rate_kbit=kbit, queue_ms=100), "up")
            seconds = min(10.0, max(float(least), 10_000 / kbit))
            udp = kbit_of_datagrams(laptop, server, 1.15 * kbit, seconds)
            tcp = laptop.iperf(server, seconds=seconds, timeout=60).rate_kbit
            found.append((kbit, udp / kbit / UDP_SHARE, tcp / kbit / TCP_SHARE))
    return found


def kbit_of_datagrams(laptop: Device, server: Device, kbit: float, seconds: float) -> float:
    """The payload of full frames that arrives in a second, when so many kbit/s are offered.

    Nobody reads it, so that a fast link is not slowed down by its receiver: the kernel counts.
    """
    rate = kbit * 1000 / 8 / 1500
    address = (str(server.ip), 7000)
    with (
        ThreadPoolExecutor(1) as pool,
        server.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread,
    ):
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        unread.bind(address)
        poured = pool.submit(laptop.call, pour, address, UDP_SIZE, rate, 1.2 * seconds)
        while server.call(datagrams_met) < FIRST:
            time.sleep(1 / rate)
        before, begin = server.call(datagrams_met), time.monotonic()
        time.sleep(seconds)
        count, took = server.call(datagrams_met) - before, time.monotonic() - begin
        poured.result()
    return count * UDP_SIZE * 8 / 1000 / took


def datagrams_met() -> int:
    """How many datagrams this node's sockets were given, whether there was room for them or not."""
    with open("/proc/net/snmp") as file:
        names, values = (line.split() for line in file if line.startswith("Udp:"))
    told = dict(zip(names, values, strict=True))
    return int(told["InDatagrams"]) + int(told["InErrors"])


def beside() -> dict:
    """The same three conditions by our engines, by tc, and by Mininet."""
    found = {}
    for name, engine in (("patchbay, kernel", "kernel"), ("patchbay, user space", "user")):
        with pair(engine) as ends:
            eth0 = ends[0].iface("eth0")
            found[name] = _three(
                *ends,
                lambda condition, eth0=eth0: eth0.set_condition(condition, "up"),
                (
                    LinkCondition(latency_ms=20),
                    LinkCondition(loss_pct=1),
                    LinkCondition(rate_kbit=10_000),
                ),
            )
    with pair() as ends:
        words = ["tc", "qdisc", "replace", "dev", "eth0", "root", "netem"]

        def ask(more: list[str]) -> None:
            ends[0].run([*words, *more], check=True)

        limits = ["limit", "100000"]
        options = (["delay", "20ms"], ["delay", "0ms", "loss", "1%"], ["rate", "10mbit"])
        found["netem by tc"] = _three(*ends, ask, [[*limits, *each] for each in options])
    done = subprocess.run(
        ["/usr/bin/python3", "benchmarks/rivals.py", "mininet"], capture_output=True, text=True
    )
    if done.returncode == 0:
        found["Mininet, TCLink"] = json.loads(done.stdout.splitlines()[-1])
    else:
        print(done.stderr, file=sys.stderr)
    return found


def _three(laptop: Device, server: Device, ask, conditions) -> dict:
    found = {}
    ends = [
        lambda words, node=node: node.popen(words, stdout=subprocess.PIPE, text=True)
        for node in (server, laptop)
    ]
    for name, condition, traffic in zip(
        ("delay", "loss", "rate"), conditions, (DELAY, LOSS, RATE), strict=True
    ):
        ask(condition)
        found[name] = measure(*ends, sys.executable, str(server.ip), **traffic)
    return found


def changes(engine: str) -> dict:
    """What a condition does to packets that changes again and again."""
    with pair(engine) as (laptop, server):
        eth0, arrived, done = laptop.iface("eth0"), [], Event()
        with (
            server.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
            laptop.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
            ThreadPoolExecutor(2) as pool,
        ):
            there.bind((str(server.ip), 0))
            there.settimeout(5)
            here.connect(there.getsockname())
            eth0.set_condition(CHANGED[0], "up")
            sending = pool.submit(_send_until, here, done)
            taking = pool.submit(_take_all, there, arrived)
            for _, condition in zip(range(CHANGES), cycle(CHANGED), strict=False):
                eth0.set_condition(condition, "up")
                time.sleep(PAUSE)
            done.set()
            sent = sending.result()
            taking.result()
    return {
        "changes": CHANGES,
        "sent": sent,
        "lost": sent - len(set(arrived)),
        "overtaken": sum(after < before for before, after in pairwise(arrived)),
    }


def _send_until(sock: socket.socket, done: Event) -> int:
    """Send numbered datagrams, one every quarter of the time between two changes; how many."""
    number = 0
    while not done.wait(PAUSE / 4):
        sock.send(number.to_bytes(4) + bytes(96))
        number += 1
    return number


def _take_all(sock: socket.socket, arrived: list[int]) -> None:
    """Take datagrams until none has come for as long as nothing takes on its way."""
    with suppress(TimeoutError):
        while True:
            arrived.append(int.from_bytes(sock.recv(100)[:4]))


def carried() -> list:
    """The most that one user-space link carries: frame, packets/s, Gbit/s, us of CPU a packet."""
    found = []
    with Lab("carried", link_engine="user") as lab:
        lan = lab.add_router("lan")
        laptop, server = (lab.add_device(name, lan) for name in ("laptop", "server"))
        eth0 = laptop.iface("eth0")
        eth0.set_condition(LinkCondition(latency_ms=1), "up")
        engine = _engine()
        with server.socket(socket.AF_INET, socket.SOCK_DGRAM) as unread:
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
            unread.bind((str(server.ip), 7000))
            for size in (18, UDP_SIZE):
                best = (0.0, 0.0)
                for rate in OFFERED:
                    before, cpu, begin = eth0.stats().up, _cpu(engine), time.monotonic()
                    laptop.call(pour, (str(server.ip), 7000), size, rate, 1.0)
                    took, cpu = time.monotonic() - begin, _cpu(engine) - cpu
                    packets = eth0.stats().up.sent_packets - before.sent_packets
                    best = max(best, (packets / took, cpu / packets * 1e6))
                frame = size + 42
                found.append((frame, best[0], best[0] * frame * 8 / 1e9, best[1]))
    return found


def pour(address: tuple[str, int], size: int, rate: float, seconds: float) -> None:
    """Send so many datagrams in a second, several in one system call where they are many."""
    several = max(1, min(32, int(rate / 1000)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_UDP, 103, size)  # UDP_SEGMENT
        sock.connect(address)
        data = bytes(size * several)
        begin = time.monotonic()
        for number in range(round(rate * seconds / several)):
            early = begin + number * several / rate - time.monotonic()
            if early > 0:
                time.sleep(early)
            sock.send(data)


def idle() -> float:
    """The share of a processor that so many idle links take."""
    with Lab("idle", link_engine="user") as lab:
        router = lab.add_router("router")
        slow = LinkCondition(latency_ms=10)
        with lab.batch():
            for number in range(IDLE):
                lab.add_device(f"d{number}", router, condition=slow)
        engine = _engine()
        time.sleep(2)
        cpu, begin = _cpu(engine), time.monotonic()
        time.sleep(5)
        return (_cpu(engine) - cpu) / (time.monotonic() - begin)


def _engine() -> int:
    """The process of our lab that passes packets on."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/comm") as file:
                found = file.read() == "pb-links\n"
            if found and _is_ours(int(name)):
                return int(name)
        except OSError:
            continue  # it has ended
    raise LookupError("there is no such process")


def _is_ours(pid: int) -> bool:
    while pid > 1 and pid != os.getpid():
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
    return pid == os.getpid()


def _cpu(pid: int) -> float:
    """Seconds of processor time."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


if __name__ == "__main__":
    parts = {"accuracy": accuracy, "spread": spread, "rates": rates, "changes": changes}
    parts |= {"beside": beside, "carried": carried, "idle": idle}
    print(json.dumps(parts[sys.argv[1]](*sys.argv[2:])))
