"""Ports that others have tried for in vain are free when their mappings end."""

from __future__ import annotations

import itertools
import select
import time
from unittest import mock

from small_networks import PATIENCE, udp
from test_nat_modes import HOSTS, PEERS, WAN, Router
from test_nat_settings import seen

from patchbay.rules import encode
from patchbay.topology.steps import Forget
from patchbay.values import NatConfig, NatFiltering, NatMapping

PORTS = range(40000, 40008)
AGAIN = 0.2
"""Seconds after which a packet that got no port is sent again."""


def test_a_port_that_was_tried_for_in_vain_is_free_when_its_mapping_ends(kernel):
    """All ports are taken when a ninth socket asks; later it has one of them, and no more."""
    router = Router(kernel)
    peer = udp(kernel, "server", *PEERS[0])
    sockets = [udp(kernel, "laptop", HOSTS["laptop"], port) for port in range(50000, 50009)]
    *eight, ninth = sockets
    numbers = itertools.count()

    def out(sock):
        """The port that the peer sees; None if there is none for it."""
        data = b"%d" % next(numbers)
        sock.sendto(data, PEERS[0])
        while select.select([peer], [], [], AGAIN)[0]:
            got, (_, port) = peer.recvfrom(100)
            if got == data:
                return port
        return None

    def in_time(sock):
        end = time.monotonic() + PATIENCE
        while (port := out(sock)) is None:
            assert time.monotonic() < end, f"{sock.getsockname()} got no port"
        return port

    for mapping in (NatMapping.ENDPOINT_INDEPENDENT, NatMapping.ADDRESS_AND_PORT_DEPENDENT):
        router.reset(
            NatConfig(mapping, NatFiltering.ENDPOINT_INDEPENDENT, ports=(PORTS[0], PORTS[-1]))
        )
        assert {in_time(each) for each in eight} == set(PORTS)
        assert out(ninth) is None
        kernel.apply(Forget(node="home"))
        # The kernel sees within a second or two that nobody uses a port any more.
        assert {in_time(each) for each in (ninth, *eight[1:])} == set(PORTS)


def test_a_router_that_has_had_more_mappings_than_it_can_remember_goes_on(kernel):
    """It keeps in mind which port each mapping had last, and nothing makes it forget."""
    router, peer = Router(kernel), udp(kernel, "server", *PEERS[0])

    def with_little_memory(encoder, made, whole=encode._Encoder._dynamic):
        with mock.patch.object(encode, "SIZE", 4 if made.name == "udp_last" else encode.SIZE):
            return whole(encoder, made)

    with mock.patch.object(encode._Encoder, "_dynamic", with_little_memory):
        router.set(NatConfig("address_and_port_dependent", port_choice="preserve"))
    for port in range(50000, 50006):
        assert seen(udp(kernel, "laptop", HOSTS["laptop"], port), peer) == (WAN, port)
