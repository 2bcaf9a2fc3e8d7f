"""Two hosts behind two NATs, who know each other's address as a third one saw it."""

from __future__ import annotations

import itertools
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

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
                        heard = tuple(select.select([leader, follower], [], [], PATIENCE)[0])
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


OPENING = [NatConfig(NatMapping.ENDPOINT_INDEPENDENT, each) for each in NatFiltering]
"""The kinds whose port another host can know before it is used."""
TRIES = 500


def test_simultaneous_open_never_fails(lab):
    """All kinds that allow it with each other; left first, right first, and both at once.

    At once, where early packets are filtered: others cross in the kernel, as the limits say.
    """
    with lab.batch():
        lab.add_router("dc")
        rendezvous = lab.add_device("rendezvous", "dc")
        routers = [lab.add_router(name, nat="home") for name in ("left", "right")]
        hosts = [lab.add_device(f"host-{each.name}", each) for each in routers]
    pairs = list(itertools.product(OPENING, OPENING))
    strict = NatFiltering.ADDRESS_AND_PORT_DEPENDENT
    tries = []
    for number in range(TRIES):
        pair = pairs[number * len(pairs) // TRIES]
        at_once = all(each.filtering is strict for each in pair)
        tries.append((pair, number % (3 if at_once else 2)))
    with rendezvous.reflector() as reflector, ThreadPoolExecutor(2) as threads:
        barrier = threading.Barrier(2)

        def punch(mine, where, *, first, alone):
            """Send in turn; then, as who punches does, again and again until the other is heard."""
            for turn in (True, False):
                if not alone or first is turn:
                    mine.sendto(b"hello", where)
                barrier.wait()
            heard = False
            for _ in range(30):
                mine.sendto(b"hello", where)
                if heard := bool(select.select([mine], [], [], 1)[0]):
                    break
            mine.sendto(b"hello", where)  # it is let in now, whatever became of those before
            return heard and mine.recvfrom(100) == (b"hello", where)

        opened_pairs, before = 0, None
        for pair, order in tries:
            if pair != before:
                before = pair
                for router, nat in zip(routers, pair, strict=True):
                    router.set_nat(nat, flush=True)
            with opened(hosts[0]) as one, opened(hosts[1]) as other:
                places = seen_at(one, reflector), seen_at(other, reflector)
                ends = [(one, places[1], True), (other, places[0], False)]
                both = [
                    threads.submit(punch, sock, to, first=(order == 0) is left, alone=order != 2)
                    for sock, to, left in ends
                ]
                assert all(each.result() for each in both), (pair, order)
                assert (seen_at(one, reflector), seen_at(other, reflector)) == places
            opened_pairs += 1
        assert opened_pairs == TRIES
