"""TCP SYNs that nobody inside asked for, and what becomes of them."""

from __future__ import annotations

import errno
import select
import socket
import time

import pytest

from patchbay import FirewallConfig, NatConfig
from tests.waiting import PATIENCE, wait_until

LATE = FirewallConfig(block_inbound=True, filtering="endpoint_independent", refuse_syn_after=1)


@pytest.fixture
def net(lab):
    """A host outside, and hosts behind a firewall and behind a NAT that both answer late."""
    with lab.batch():
        lab.add_device("outside", lab.add_router("dc"))
        lab.add_device("walled", lab.add_router("wall", firewall=LATE))
        lab.add_device("mapped", lab.add_router("nat", nat=NatConfig(refuse_syn_after=1)))
    return lab


def beginning(device, target, family=socket.AF_INET6):
    """A socket that has sent a SYN."""
    made = device.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    assert made.connect_ex(target) == errno.EINPROGRESS
    return made


def error_of(made):
    """The error that a connection ends with, as soon as it does."""
    assert select.select([], [made], [], PATIENCE)[1]
    return errno.errorcode.get(made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


def test_a_syn_is_answered_late(net):
    """RFC 6092 REC-34, the same for IPv4, and RFC 5382 REQ-4."""
    outside, walled = net.device("outside"), net.device("walled")
    began = time.monotonic()
    with (
        beginning(outside, (str(walled.ip6), 80)) as six,
        beginning(outside, (str(walled.ip), 80), socket.AF_INET) as four,
        beginning(outside, (str(net.router("nat").ip), 80), socket.AF_INET) as mapped,
    ):
        assert error_of(six) == "EACCES"  # Linux's for "administratively prohibited"
        assert time.monotonic() - began >= 1
        assert error_of(four) == "EHOSTUNREACH"
        assert error_of(mapped) == "ECONNREFUSED"


def met_in_time(outside, walled):
    """The port of the first SYN of two that meet; None if the second one came too late.

    That is when the first was to be answered; it may be sent again then, and answered again.
    """
    with (
        outside.socket(socket.AF_INET6, socket.SOCK_STREAM) as early,
        walled.socket(socket.AF_INET6, socket.SOCK_STREAM) as inside,
    ):
        early.bind((str(outside.ip6), 0))
        inside.bind((str(walled.ip6), 0))
        early.setblocking(False)
        began = time.monotonic()
        assert early.connect_ex(inside.getsockname()) == errno.EINPROGRESS
        inside.settimeout(PATIENCE)
        try:
            inside.connect(early.getsockname())
        except ConnectionRefusedError:  # the first one was answered, and is there no more
            assert time.monotonic() - began >= 1
        return early.getsockname()[1] if time.monotonic() - began < 1 else None


def test_a_syn_that_meets_one_from_inside_is_not_answered(net):
    """The connection opens from both sides; no error about it comes before that about a later one."""
    outside, walled = net.device("outside"), net.device("walled")
    met: list[int | None] = []
    wait_until(lambda: met.append(met_in_time(outside, walled)) or met[-1])
    with outside.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as errors:
        errors.settimeout(PATIENCE)
        with beginning(outside, (str(walled.ip6), 81)) as late:
            port = None
            while port != late.getsockname()[1]:
                about = errors.recv(1000)
                if about[:2] == b"\1\1":  # and not neighbour discovery
                    port = int.from_bytes(about[48:50])
                    assert port != met[-1]
