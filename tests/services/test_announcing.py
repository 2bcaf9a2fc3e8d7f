"""When a router tells its LAN that its outside address is another one, and what its epochs say."""

from __future__ import annotations

import itertools
import time
from ipaddress import IPv4Address, IPv6Address

import pytest

from patchbay.services import nat_pmp, pcp
from patchbay.services.announcing import TIMES, Announcing
from patchbay.services.leases import Leases

ONE, OTHER = IPv4Address("198.18.0.10"), IPv4Address("198.18.0.11")
HOST = IPv4Address("10.0.1.2")


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def test_it_is_told_ten_times_each_interval_twice_the_one_before(clock):
    """RFC 6886 3.2.1."""
    told = []
    announcing = Announcing(lambda: told.append(clock.now))
    announcing.expire()
    assert (announcing.due(), told) == (None, [])
    announcing.begin()
    while (wait := announcing.due()) is not None:
        clock.now += wait
        announcing.expire()

    intervals = [later - earlier for earlier, later in itertools.pairwise(told)]
    assert told[0] == 1000
    assert intervals == [0.25 * 2**number for number in range(9)]


def test_what_was_missed_is_told_once_and_what_changes_again_from_the_beginning(clock):
    told = []
    announcing = Announcing(lambda: told.append(clock.now))
    announcing.begin()
    clock.now += TIMES[3]
    announcing.expire()
    announcing.expire()
    assert told == [clock.now]
    assert announcing.due() == TIMES[4] - TIMES[3]

    announcing.begin()
    assert announcing.due() == 0
    clock.now += TIMES[-1]
    announcing.expire()
    assert len(told) == 2
    assert announcing.due() is None


def test_another_outside_address_begins_the_epoch_of_pcp_and_not_that_of_nat_pmp(clock):
    """RFC 6887 8.5; in RFC 6886 3.6 it is mappings alone that count, and these are kept."""
    address = [ONE]
    leases = Leases(lambda: address[0], lambda _: False, lambda _: None, lambda *_, **__: None)
    assert not leases.readdressed(ONE)
    leases.map("udp", HOST, 5000, 5000, 600)
    clock.now += 100
    assert not leases.readdressed(ONE)
    assert (leases.epoch, leases.address_epoch) == (100, 100)

    address[0] = OTHER
    assert leases.readdressed(OTHER)
    clock.now += 5

    assert (leases.epoch, leases.address_epoch) == (105, 5)
    assert [each.mapping.port for each in leases.leases()] == [5000]
    assert nat_pmp.announcement(leases) == bytes.fromhex("00800000 00000069") + OTHER.packed
    assert pcp.announcement(leases) == bytes.fromhex("02800000 00000000 00000005") + bytes(12)
    told = nat_pmp.answer(bytes(2), HOST, leases)
    assert told == nat_pmp.announcement(leases)
    request = bytes.fromhex("02000000 00000000") + IPv6Address(f"::ffff:{HOST}").packed
    assert pcp.answer(request, HOST, leases, None) == pcp.announcement(leases)
