"""Two hosts behind two NATs, who know each other's address as a third one saw it."""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
from punching import reaches

from patchbay import Lab, Nat, NatConfig, NatFiltering, NatMapping

ALL = [NatConfig(*each) for each in itertools.product(NatMapping, NatFiltering)]
NAMED = [kind for kind in Nat if kind.config is not None]
PATIENCE = 30.0
"""Seconds for what should happen."""
CASES = [*((each, ALL) for each in ALL), *((each, NAMED) for each in NAMED)]


@pytest.fixture
def lab():
    with Lab("punching") as lab:
        yield lab


def spelled_out(nat):
    return nat if isinstance(nat, NatConfig) else nat.config


def name(case):
    config = spelled_out(case[0])
    return f"{case[0]}" if isinstance(case[0], Nat) else f"{config.mapping}-{config.filtering}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_hole_punching_works_where_theory_says(lab, case):
    """One kind with all others, either side first: what is measured is what is predicted."""
    one, others_of_it = case
    with lab.batch():
        lab.add_router("dc")
        lab.add_router("left", nat=one)
        right = lab.add_router("right", nat="home")
        rendezvous = lab.add_device("rendezvous", "dc")
        left_host, right_host = lab.add_device("a", "left"), lab.add_device("b", "right")
    ours = spelled_out(one)
    with rendezvous.reflector() as reflector:
        for other in others_of_it:
            right.set_nat(other, flush=True)
            theirs = spelled_out(other)
            for order in (1, -1):
                with opened(left_host) as left_socket, opened(right_host) as right_socket:
                    both = [(left_socket, ours), (right_socket, theirs)][::order]
                    (leader, its), (follower, others) = both
                    at, to = seen_at(leader, reflector), seen_at(follower, reflector)
                    for _ in range(2):
                        leader.sendto(b"hello", to)
                        follower.sendto(b"hello", at)
                    expected = reaches(others, its), reaches(its, others)
                    heard = hears(leader, reflector), hears(follower, reflector)
                    if any(expected) and not any(heard):  # some are faster than others
                        heard = (keep_on((leader, to), (follower, at)),)
                assert any(heard) is any(expected), (ours, theirs, order, heard, expected)


def opened(device):
    sock = device.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", 0))
    sock.settimeout(PATIENCE)
    return sock


def seen_at(sock, reflector):
    """Where the reflector sees a socket; what came from others before is passed over."""
    sock.sendto(b"?", reflector.address)
    while (got := sock.recv(100)) == b"hello":
        pass
    _, ip, port = got.decode().split()
    return ip, int(port)


def hears(sock, reflector):
    """Whether anything has come before the answer of the reflector, who is asked last."""
    sock.sendto(b"?", reflector.address)
    heard = False
    while sock.recv(100) == b"hello":
        heard = True
    return heard


def keep_on(*ends):
    """Whether one of two is heard by the other, who both say hello again and again."""
    for _ in range(int(PATIENCE)):
        if select.select([sock for sock, _ in ends], [], [], 1)[0]:
            return True
        for sock, where in ends:
            sock.sendto(b"hello", where)
    return False


OPENING = [NatConfig(NatMapping.ENDPOINT_INDEPENDENT, each) for each in NatFiltering]
"""The kinds whose port another host can know before it is used."""
PAIRS = list(itertools.product(OPENING, OPENING))
ORDERS = ("left first", "right first", "at once")
TRIES = {"udp": 54, "tcp": 9}
"""Over all pairs and orders, unless the environment says otherwise: then as many of each."""


class Behind:
    """Two hosts behind a router each, and a third one that sees both."""

    def __init__(self, lab) -> None:
        with lab.batch():
            lab.add_router("dc")
            self.rendezvous = lab.add_device("rendezvous", "dc")
            self.routers = [lab.add_router(name, nat="home") for name in ("left", "right")]
            self.hosts = [lab.add_device(f"host-{each.name}", each) for each in self.routers]
        self._pair = None

    def each_try(self, protocol):
        """The order of each try, with the routers set to what they are to be."""
        tries = int(os.environ.get("PATCHBAY_PUNCHING_TRIES", TRIES[protocol]))
        for number in range(tries):
            pair = PAIRS[number * len(PAIRS) // tries]
            if pair != self._pair:
                self._pair = pair
                for router, nat in zip(self.routers, pair, strict=True):
                    router.set_nat(nat, flush=True)
            order = ORDERS[number % len(ORDERS)]
            yield order, f"try {number}: {pair}, {order}"


class Turns:
    """Two threads that begin one after the other, or at once."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2, timeout=2 * PATIENCE)  # if the other one fails
        self._threads = ThreadPoolExecutor(2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._threads.shutdown()

    def run(self, order, ends):
        """Have both ends begin and go on; ends are left and right, each with its two steps."""
        both = [
            self._threads.submit(self._take, order, name, *steps)
            for name, steps in zip(ORDERS, ends, strict=False)
        ]
        return [each.result() for each in both]

    def _take(self, order, name, begin, go_on):
        first = order in (name, "at once")
        if first:
            begin()
        self._barrier.wait()
        if not first:
            begin()
        self._barrier.wait()
        return go_on()


def test_simultaneous_open_never_fails(lab):
    """All kinds that allow it with each other; left first, right first, and both at once."""
    behind = Behind(lab)

    def punch(mine, where):
        """As who punches does: again and again until the other is heard."""
        heard = False
        for _ in range(30):
            mine.sendto(b"hello", where)
            if heard := bool(select.select([mine], [], [], 1)[0]):
                break
        mine.sendto(b"hello", where)  # it is let in now, whatever became of those before
        return heard and mine.recvfrom(100) == (b"hello", where)

    with behind.rendezvous.reflector() as reflector, Turns() as turns:
        for order, case in behind.each_try("udp"):
            with opened(behind.hosts[0]) as one, opened(behind.hosts[1]) as other:
                places = seen_at(one, reflector), seen_at(other, reflector)
                ends = [
                    (partial(mine.sendto, b"hello", where), partial(punch, mine, where))
                    for mine, where in zip((one, other), reversed(places), strict=True)
                ]
                assert all(turns.run(order, ends)), case
                assert (seen_at(one, reflector), seen_at(other, reflector)) == places, case


def test_connections_open_simultaneously(lab):
    """The same for TCP: both ask for the connection, and both ends of it are what they seemed."""
    behind, third = Behind(lab), ("", 7000)
    listener = behind.rendezvous.socket(socket.AF_INET, socket.SOCK_STREAM)
    with listener, Turns() as turns:
        listener.bind(third)
        listener.listen()
        for order, case in behind.each_try("tcp"):
            with ExitStack() as stack:
                keep = stack.enter_context
                both = [keep(Asking(host)) for host in behind.hosts]
                places = []
                for each in both:
                    keep(each.connection).connect((str(behind.rendezvous.ip), third[1]))
                    accepted, place = listener.accept()
                    keep(accepted)
                    places.append(place)
                ends = [
                    (partial(each.ask, where), partial(each.connected, where))
                    for each, where in zip(both, reversed(places), strict=True)
                ]
                got = [keep(each) for each in turns.run(order, ends)]
                assert [each.getpeername() for each in got] == places[::-1], case
                for one, other in (got, got[::-1]):
                    one.sendall(b"hello")
                    assert other.recv(5, socket.MSG_WAITALL) == b"hello", case


class Asking:
    """A host that asks for connections from a port at which it is asked for them, too."""

    def __init__(self, host) -> None:
        self._host = host
        self._listener = sharing(host, ("", 0))
        self._listener.listen()
        self._mine = self._listener.getsockname()
        self.connection = sharing(host, self._mine)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def ask(self, where):
        self.connection = sharing(self._host, self._mine)
        self.connection.setblocking(False)
        self.connection.connect_ex(where)  # fails if the other one has been accepted by now

    def connected(self, where):
        """The connection, whoever came to be asked for it."""
        readable, writable, _ = select.select([self._listener], [self.connection], [], PATIENCE)
        if self.connection in writable and not error_of(self.connection):
            made = self.connection
        else:
            self.connection.close()
            assert readable or select.select([self._listener], [], [], PATIENCE)[0], where
            made, _ = self._listener.accept()
        made.settimeout(PATIENCE)
        return made


def error_of(sock):
    """Why it is not connected."""
    try:
        sock.getpeername()
    except OSError as error:
        return error
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def sharing(host, mine):
    """A TCP socket that shares its port with others, and is reset when it is closed."""
    sock = host.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.settimeout(PATIENCE)
    sock.bind(mine)
    return sock
