"""SYNs that a router has dropped: how they are read, how many wait, and who answers them when."""

from __future__ import annotations

import struct
import time
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.rules.unsolicited import delay
from patchbay.services import unsolicited
from patchbay.services.unsolicited import MOST, Unsolicited, error_about, parse
from patchbay.values import Firewall, FirewallConfig, Nat, NatConfig
from tests.waiting import wait_until

LATE = FirewallConfig(block_inbound=True, refuse_syn_after=7)
LATE_NAT = NatConfig(refuse_syn_after=8)


def syn(source="192.0.2.1", target="192.0.2.2", port=1000, protocol=6, options=b""):
    one, two = ip_address(source), ip_address(target)
    tcp = struct.pack("!HHIIBBHHH", port, 80, 7, 0, 0x50, 2, 1000, 0, 0)
    if one.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(tcp), protocol, 64)
    else:
        words = 5 + len(options) // 4
        head = struct.pack(
            "!BBHHHBBH", 0x40 | words, 0, 4 * words + 20, 0, 0, 64, protocol, 0
        )  # the checksum was checked by who received it
    return head + one.packed + two.packed + options + tcp


@pytest.mark.parametrize(
    ("nat", "firewall", "four", "six"),
    [
        ("none", "none", None, None),
        ("none", "block_inbound", 6, 6),
        ("home", "block_inbound", None, 6),
        ("home", "none", None, None),
        ("none", "corporate", None, None),
        (LATE_NAT, "none", 8, None),
        (LATE_NAT, LATE, 8, 7),
        (LATE_NAT, "corporate", None, None),
        ("none", FirewallConfig(refuse_syn_after=7), None, None),
    ],
    ids=str,
)
def test_who_answers_when(nat, firewall, four, six):
    """What a firewall keeps silent about is its policy, which RFC 5382 REQ-4a puts above NAT."""
    nat = Nat(nat) if isinstance(nat, str) else nat
    firewall = Firewall(firewall) if isinstance(firewall, str) else firewall

    assert delay(nat, firewall, version=4) == four
    assert delay(nat, firewall, version=6) == six


@pytest.mark.parametrize("options", [b"", b"\1\1\1\0"])
def test_a_syn_is_read_behind_ip_options_too(options):
    read = parse(syn(options=options))

    assert (read.flow.source, read.flow.source_port) == (ip_address("192.0.2.1"), 1000)
    assert (read.flow.destination, read.flow.destination_port) == (ip_address("192.0.2.2"), 80)
    assert read.version == 4
    assert parse(syn("2001:db8::1", "2001:db8::2")).version == 6


def test_what_is_no_tcp_is_left_alone():
    assert parse(syn(protocol=17)) is None
    assert parse(syn("2001:db8::1", "2001:db8::2", protocol=0)) is None


@given(st.binary(max_size=80))
def test_any_packet_can_be_looked_at(packet):
    parse(packet)


def test_errors_are_those_of_the_rfcs():
    """RFC 6092 REC-34, RFC 1812 5.2.7.1 and RFC 5382 REQ-4, each with what it is about."""
    four, six = syn(), syn("2001:db8::1", "2001:db8::2")

    assert error_about(parse(six), translated=False) == b"\1\1\0\0" + bytes(4) + six
    for translated, code in ((False, 13), (True, 3)):
        error = error_about(parse(four), translated=translated)
        assert (error[0], error[1], error[8:]) == (3, code, four)
        assert sum(struct.unpack(f"!{len(error) // 2}H", error)) % 0xFFFF == 0


class Log:
    """A log that has packets."""

    def __init__(self):
        self.packets = []
        self.closed = False

    def fileno(self):
        return 5

    def read(self):
        yield from self.packets
        self.packets.clear()

    def close(self):
        self.closed = True


class Loop:
    """A loop that is turned by hand."""

    def __init__(self):
        self.watched = {}

    def watch(self, descriptor, handler):
        self.watched[descriptor] = handler

    def forget(self, descriptor):
        del self.watched[descriptor]


@pytest.fixture
def bench():
    loop, log, answered = Loop(), Log(), []
    made = Unsolicited(loop, log, lambda version: 1 if version == 4 else None, answered.append)
    return made, loop, log, answered


def test_one_that_is_sent_again_is_answered_once_and_not_before_its_time(bench):
    made, loop, log, answered = bench
    assert made.due() is None
    log.packets = [syn(port=1), syn(port=2), syn(port=1), syn("2001:db8::1", "2001:db8::2")]
    began = time.monotonic()
    loop.watched[5]()

    made.expire()
    early = time.monotonic() - began
    assert answered == [] or early >= 1
    wait_until(lambda: made.due() == 0)
    assert time.monotonic() - began >= 1
    wait_until(lambda: made.expire() or len(answered) == 2)

    assert [each.flow.source_port for each in answered] == [1, 2]
    assert made.due() is None


def test_a_flood_fills_no_memory_and_is_not_even_read(bench, monkeypatch):
    made, loop, log, answered = bench
    log.packets = [syn(port=port) for port in range(1, 2 * MOST)]
    loop.watched[5]()

    assert loop.watched == {}
    clock = time.monotonic() + 2
    monkeypatch.setattr(unsolicited.time, "monotonic", lambda: clock)
    made.expire()

    assert len(answered) == MOST
    assert list(loop.watched) == [5]
    made.close()
    assert (loop.watched, log.closed) == ({}, True)


def test_it_can_be_closed_while_it_is_full(bench):
    made, loop, log, answered = bench
    log.packets = [syn(port=port) for port in range(MOST)]
    loop.watched[5]()
    made.close()

    assert (loop.watched, log.closed, answered) == ({}, True, [])
