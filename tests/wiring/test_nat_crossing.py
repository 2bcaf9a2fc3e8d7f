"""First packets of a host and its peer that cross in the router: it has seen both, and noted none.

To the router each of them begins a flow of its own, until it sees that they are one. What must not
be is that it gives one of them another port than its sender has, or is seen at.
"""

from __future__ import annotations

import itertools
import select
import socket

from held_packets import HeldPackets
from small_networks import PATIENCE, udp
from test_nat_modes import HOSTS, PEERS, PORT, WAN, Router, bound, tcp

from patchbay.values import NatConfig, NatFiltering, NatMapping, PortForward

LAPTOP = HOSTS["laptop"], PORT
FORWARDED = 50000
TWIN = "198.18.0.13"
STRICT = NatFiltering.ADDRESS_AND_PORT_DEPENDENT


def cases(protocol):
    """What routers do, and where the laptop can be written to if it is not seen there before."""
    known = [NatMapping.ENDPOINT_INDEPENDENT, NatMapping.ADDRESS_DEPENDENT]
    for mapping, filtering in itertools.product(known, NatFiltering):
        if filtering is not STRICT:
            yield NatConfig(mapping, filtering), None
    for mapping in NatMapping:
        forward = PortForward(protocol, FORWARDED, *LAPTOP)
        yield NatConfig(mapping, STRICT, forwards=[forward]), (WAN, FORWARDED)
    yield NatConfig(one_to_one={LAPTOP[0]: TWIN}), (TWIN, PORT)
    yield NatConfig(exempt=[PEERS[0][0]]), LAPTOP


def test_datagrams_that_cross_keep_their_ports(kernel):
    router, held = Router(kernel), HeldPackets(kernel, "home")
    acquaintance, peer = (udp(kernel, "server", *each) for each in PEERS[:2])
    for config, place in cases("udp"):
        for order in (1, -1):
            router.reset(config)
            with udp(kernel, "laptop", *LAPTOP) as inside:
                to = place or seen_at(inside, acquaintance, held)
                inside.sendto(b"out", PEERS[1])
                out = held.next("lan", PEERS[1])
                peer.sendto(b"in", to)
                came = held.next("wan", PEERS[1])
                for each in (out, came)[::order]:
                    held.let_go(each)
                # Before Linux 6.12 the second one is lost, as datagrams may be.
                inside.sendto(b"last", PEERS[1])
                peer.sendto(b"last", to)
                assert everything(peer) <= {(b"out", to), (b"last", to)}, (config, order)
                last = b"last", PEERS[1]
                assert everything(inside) <= {(b"in", PEERS[1]), last}, (config, order)


def seen_at(inside, acquaintance, held):
    inside.sendto(b"?", PEERS[0])
    held.let_go(held.next("lan", PEERS[0]))
    return acquaintance.recvfrom(100)[1]


def everything(sock):
    """All that comes up to the last."""
    got = {sock.recvfrom(100)}
    while b"last" not in dict(got):
        got.add(sock.recvfrom(100))
    return got


def test_connections_that_cross_are_one(kernel):
    """Both ends ask for it: a simultaneous open (RFC 9293 3.5, RFC 5382 REQ-2a)."""
    router, held = Router(kernel), HeldPackets(kernel, "home")
    with kernel.inside("server"):
        listener = socket.create_server(PEERS[0])
    for config, place in cases("tcp"):
        for order in (1, -1):
            router.reset(config)
            opened = []
            if place is None:
                with kernel.inside("laptop"):
                    opened.append(bound(tcp(LAPTOP)))
                opened[0].setblocking(False)
                opened[0].connect_ex(PEERS[0])
                held.let_go(held.next("lan", PEERS[0]))
                listener.settimeout(PATIENCE)
                accepted, to = listener.accept()
                opened.append(accepted)
            else:
                to = place
            with kernel.inside("laptop"):
                inside = bound(tcp(LAPTOP))
            with kernel.inside("server"):
                peer = bound(tcp(PEERS[1]))
            opened += [inside, peer]
            for each in (inside, peer):
                each.setblocking(False)
            inside.connect_ex(PEERS[1])
            out = held.next("lan", PEERS[1])
            peer.connect_ex(to)
            came = held.next("wan", PEERS[1])
            for each in (out, came)[::order]:
                held.let_go(each)
            for each in (inside, peer):
                assert select.select([], [each], [], PATIENCE)[1], (config, order)
                assert each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0, (config, order)
                each.settimeout(PATIENCE)
            inside.sendall(b"out")
            assert peer.recv(100) == b"out"
            peer.sendall(b"in")
            assert inside.recv(100) == b"in"
            for each in opened:
                each.close()
            held.clear()
