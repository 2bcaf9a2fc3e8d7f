"""Cables whose packets pass a process: laid and taken back under traffic, and when it dies."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import threading
import time
from contextlib import contextmanager

import pytest
from small_networks import cable, knows, lan, udp

from actors.worker import Worker
from patchbay.links.spec import LinkSpec
from patchbay.links.userspace.process import EngineDied, EngineProcess
from patchbay.values import LinkCondition
from patchbay.wiring import offloads
from patchbay.wiring.user_links import UserLinks

CABLE = cable(1, "laptop", "eth0", "home")
PATIENCE = 60.0
"""Seconds."""
UDP_SEGMENT = 103


class Lan:
    """A laptop on the LAN of `home`, with a socket on either, and the engine of its cable."""

    def __init__(self, kernel):
        kernel.apply_all(lan())
        # ARP gives up, and loses what waits for it, where the process is not let run for three seconds.
        kernel.apply(knows("laptop", "eth0", "10.0.1.1", "02:00:00:03:00:01"))
        kernel.apply(knows("home", "lan", "10.0.1.2", CABLE.mac))
        self.kernel = kernel
        self.deaths = []
        self.workers = []
        self.links = UserLinks(
            kernel._nodes.get, self.inside, lambda: EngineProcess(self.start, self.deaths.append)
        )
        self.links.note(CABLE)
        self.laptop = udp(kernel, "laptop", "10.0.1.2", 6000)
        self.home = udp(kernel, "home", "10.0.1.1", 5000)
        for end in (self.laptop, self.home):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    @contextmanager
    def inside(self, namespace):
        self.kernel._whereabouts.enter(namespace.descriptor)
        try:
            yield
        finally:
            self.kernel._whereabouts.go_home()

    def start(self, name, work, descriptors, on_end):
        worker = Worker(name, on_end)
        worker.fork(work, descriptors)
        self.workers.append(worker)
        return worker

    def up(self, condition):
        spec = None if condition is None else LinkSpec("laptop/eth0/up", 1, condition)
        self.links.set("laptop", "eth0", spec)

    def down(self, condition):
        spec = None if condition is None else LinkSpec("laptop/eth0/down", 1, condition)
        self.links.set("home", CABLE.peer_interface, spec)

    def way(self, there=True):
        """Seconds that a packet takes."""
        source, target = (self.laptop, self.home) if there else (self.home, self.laptop)
        begin = time.perf_counter()
        source.sendto(b"x", target.getsockname())
        assert target.recv(10) == b"x"
        return time.perf_counter() - begin

    def quick(self, less, there=True, least=0.0):
        """Have packets take no less than some seconds, and one of them less than others."""
        deadline = time.monotonic() + PATIENCE
        while (took := self.way(there)) >= less:
            assert time.monotonic() < deadline, f"{took} s"
        assert took >= least

    def become_plain(self):
        """Wait until the cable is a plain one again."""
        deadline = time.monotonic() + PATIENCE
        while (pause := self.links.tidy()) is not None:
            assert time.monotonic() < deadline, "the cable does not become a plain one"
            time.sleep(pause)

    def names(self):
        return [each.name for each in self.kernel.links("home")]

    def kill(self):
        (worker,) = self.workers
        os.kill(worker.pid, signal.SIGKILL)
        worker.bury(os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1]))


class Traffic:
    """Numbered packets in both directions for as long as it is open, and those that arrive.

    No more than `UNDER_WAY` at a time, so that no buffer is full when who takes from it is late.
    """

    UNDER_WAY = 200

    def __init__(self, lan, pause=0.001):
        self._ends = (lan.laptop, lan.home)
        self._pause = pause
        self._stopped = threading.Event()
        self.sent = 0
        self._found = [[], []]
        self._thread = threading.Thread(target=self._send)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._thread.join()

    def _send(self):
        while not self._stopped.wait(self._pause):
            self._take()
            if self.sent - min(map(len, self._found)) > self.UNDER_WAY:
                continue
            for source, target in (self._ends, self._ends[::-1]):
                source.sendto(struct.pack("!I", self.sent), target.getsockname())
            self.sent += 1

    def _take(self):
        """Take what has arrived."""
        for end, numbers in zip(self._ends, self._found, strict=True):
            while select.select([end], [], [], 0)[0]:
                numbers.append(struct.unpack("!I", end.recv(10))[0])

    def arrived(self):
        """The numbers that arrived at either end, when all have had the time to."""
        deadline = time.monotonic() + PATIENCE
        while min(map(len, self._found)) < self.sent and time.monotonic() < deadline:
            self._take()
            select.select(self._ends, [], [], 0.1)
        return self._found


def test_packets_meet_what_was_asked_and_the_nodes_end_stays_what_it_is(kernel):
    there = Lan(kernel)
    before = next(each for each in kernel.links("laptop") if each.name == "eth0")
    there.up(LinkCondition(latency_ms=30))
    after = next(each for each in kernel.links("laptop") if each.name == "eth0")

    assert there.way() >= 0.030
    there.quick(0.030, there=False)
    there.down(LinkCondition(latency_ms=60))
    assert there.way(False) >= 0.060
    assert (after.index, after.mac, after.mtu, after.up) == (
        before.index,
        before.mac,
        before.mtu,
        True,
    )
    assert there.links.stats("laptop", "eth0")["sent_packets"] >= 1
    assert there.links.stats("home", CABLE.peer_interface)["sent_packets"] >= 2


def test_a_clean_cable_becomes_a_plain_one(kernel):
    there = Lan(kernel)
    before = there.names()
    there.up(LinkCondition(loss_pct=100))
    there.up(None)
    there.way()
    assert there.names() != before
    there.become_plain()

    assert there.names() == before
    assert there.links.stats("laptop", "eth0") is None
    there.way()
    there.way(False)
    there.up(LinkCondition(latency_ms=10))
    assert there.way() >= 0.010


def test_a_thousand_changes_lose_and_reorder_nothing(kernel):
    there = Lan(kernel)
    there.up(LinkCondition(latency_ms=1))
    conditions = [
        LinkCondition(latency_ms=20),
        LinkCondition(latency_ms=1, jitter_ms=1),
        LinkCondition(rate_kbit=10_000, queue_pkts=1000),
        None,
        LinkCondition(latency_ms=5, rate_kbit=50_000, queue_discipline="fq_codel"),
    ]
    with Traffic(there) as traffic:
        for each in range(500):
            there.up(conditions[each % len(conditions)])
            there.down(conditions[each % len(conditions) - 1])
    for numbers in traffic.arrived():
        assert numbers == list(range(traffic.sent))


def test_tcp_comes_in_packets_as_on_a_wire_and_with_right_checksums(kernel):
    there = Lan(kernel)
    there.up(LinkCondition(latency_ms=1))
    there.down(LinkCondition(latency_ms=1))
    with kernel.inside("home"):
        listener = socket.create_server(("10.0.1.1", 80))
    with kernel.inside("laptop"):
        client = socket.socket()
    client.settimeout(PATIENCE)
    client.connect(("10.0.1.1", 80))
    server, _ = listener.accept()
    data = os.urandom(1 << 20)
    for sender, receiver, place in (
        (client, server, ("laptop", "eth0")),
        (server, client, ("home", CABLE.peer_interface)),
    ):
        before = there.links.stats(*place)
        thread = threading.Thread(target=sender.sendall, args=(data,))
        thread.start()
        got = b""
        while len(got) < len(data):
            got += receiver.recv(1 << 16)
        thread.join()
        after = there.links.stats(*place)
        assert got == data
        packets = after["packets"] - before["packets"]
        assert (after["size"] - before["size"]) / packets <= 1514
        assert packets >= len(data) / 1448
    for each in (listener, client, server):
        each.close()


def counted_as(there):
    """How many packets the process sees when ten datagrams are sent as one super-packet.

    More may be there: what a kernel says by itself when an interface comes up.
    """
    before = there.links.stats("laptop", "eth0")["packets"]
    there.laptop.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 100)
    there.laptop.sendto(bytes(1000), there.home.getsockname())
    there.laptop.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 0)
    assert [there.home.recv(2000) for _ in range(10)] == [bytes(100)] * 10
    return there.links.stats("laptop", "eth0")["packets"] - before


def test_datagrams_that_are_sent_as_one_come_one_by_one(kernel):
    there = Lan(kernel)
    there.up(LinkCondition(latency_ms=1))
    assert counted_as(there) >= 10


def test_a_kernel_that_cannot_tell_tcp_apart_cuts_all(kernel):
    def refused(*_, **__):
        raise OSError(errno.EOPNOTSUPP, "asked for features")

    there = Lan(kernel)
    before = features(kernel, "laptop", "eth0")
    offloads._switch = refused  # in the process of this test alone
    there.up(LinkCondition(latency_ms=1))

    assert counted_as(there) >= 10
    assert features(kernel, "laptop", "eth0") == before
    there.up(None)
    there.become_plain()


def test_an_interface_takes_all_super_packets_again_when_its_cable_is_plain(kernel):
    there = Lan(kernel)
    before = features(kernel, "laptop", "eth0")
    there.up(LinkCondition(latency_ms=1))
    meanwhile = features(kernel, "laptop", "eth0")
    there.up(None)
    there.become_plain()

    assert {"tx-udp-segmentation", "tx-sctp-segmentation", "tx-gre-segmentation"} <= before
    segmentation = {name for name in meanwhile if name.endswith(("segmentation", "gso-list"))}
    assert segmentation == {"tx-tcp-segmentation", "tx-tcp6-segmentation"}
    assert features(kernel, "laptop", "eth0") == before


def features(kernel, node, interface):
    """The names of features that an interface has (ETHTOOL_GFEATURES)."""
    route = kernel._nodes[node].route
    names = offloads._names(route, interface)
    blocks = -(-len(names) // 32)
    told = offloads._ask(route, interface, struct.pack("=II", 0x3A, blocks) + bytes(16 * blocks))
    active = [block[2] for block in struct.iter_unpack("=IIII", told[8:])]
    return {name for bit, name in enumerate(names) if active[bit // 32] >> bit % 32 & 1}


def test_when_the_process_dies_links_say_so_until_they_are_plain_again(kernel):
    there = Lan(kernel)
    before = there.names()
    there.up(LinkCondition(latency_ms=1))
    there.way()
    there.kill()

    assert there.deaths == ["its process was killed by SIGKILL"]
    there.laptop.sendto(b"lost", there.home.getsockname())
    there.home.settimeout(0.2)
    with pytest.raises(TimeoutError):
        there.home.recv(10)
    there.home.settimeout(PATIENCE)
    for condition in (LinkCondition(latency_ms=2), LinkCondition(loss_pct=1)):
        with pytest.raises(EngineDied, match="SIGKILL"):
            there.up(condition)
    there.up(None)
    assert there.names() == before
    there.way()


def test_a_cable_that_is_pulled_out_takes_its_condition_along(kernel):
    there = Lan(kernel)
    before = there.names()
    there.up(LinkCondition(latency_ms=20))
    there.links.unplug(CABLE)
    assert there.names() == before
    there.way()
    there.links.plug_in(CABLE)
    assert there.way() >= 0.020
    there.links.forget("laptop", "eth0")
    assert there.names() == before


def test_what_a_router_sends_into_its_lan_meets_something_together(kernel):
    there = Lan(kernel)
    before = there.names()
    there.links.set("home", "lan", LinkSpec("home/lan/up", 1, LinkCondition(latency_ms=20)))

    assert there.way(False) >= 0.020
    there.quick(0.020)
    there.down(LinkCondition(latency_ms=15))
    assert there.way(False) >= 0.035
    there.links.set("home", "lan", None)
    there.quick(0.035, there=False, least=0.015)
    there.links.set("home", "lan", LinkSpec("home/lan/up", 1, LinkCondition(latency_ms=10)))
    there.down(None)
    assert there.links.tidy() is None
    assert there.way(False) >= 0.010
    there.links.set("home", "lan", None)
    there.become_plain()
    assert there.names() == before
    there.way(False)
