"""Random traffic of two hosts through random NATs, compared packet by packet with a pure model."""

from __future__ import annotations

import os
import select

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nat_model import PureNat
from small_networks import PATIENCE, udp
from test_nat_modes import ALL, HOSTS, PEERS, WAN, Router

from patchbay.values import NatConfig

RUNS = int(os.environ.get("PATCHBAY_NAT_RUNS", "600"))
"""Every run is a NAT of its own with up to forty packets."""
PORTS = (40000, 40001)
CONTROL = 39999
RANGES = (None, (40000, 40003), (50000, 50300))

packets = st.lists(
    st.tuples(
        st.sampled_from(["out", "out", "in", "in", "flush"]),
        st.sampled_from([(host, port) for host in HOSTS for port in PORTS]),
        st.sampled_from(PEERS),
        st.integers(0, 7),
    ),
    max_size=40,
)


def test_the_rules_do_what_the_model_does(kernel):
    router = Router(kernel)
    peers = {peer: udp(kernel, "server", *peer) for peer in PEERS}
    control = udp(kernel, "server", "198.18.0.20", CONTROL)
    ends = {(h, p): udp(kernel, h, HOSTS[h], p) for h in HOSTS for p in PORTS}
    marks = {host: udp(kernel, host, ip, CONTROL) for host, ip in HOSTS.items()}
    own = {each.getsockname(): each for each in (*ends.values(), *marks.values())}

    @settings(
        max_examples=RUNS, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.sampled_from(ALL), st.sampled_from(RANGES), packets)
    def run(kinds, ports, sequence):
        config = NatConfig(*kinds, ports=ports)
        router.reset(config)
        model, ways = begin(config)
        for what, end, peer, number in sequence:
            if what == "flush":
                kernel.flush_conntrack("home", router.tables)
                model, ways = begin(config)
            elif what == "out":
                inside = HOSTS[end[0]], end[1]
                ends[end].sendto(b"out", peer)
                if not full(model, inside, peer):
                    data, (address, port) = peers[peer].recvfrom(100)
                    assert (data, address) == (b"out", WAN)
                    model.sends(inside, peer, port)
            elif model.owners:
                port = sorted(model.owners)[number % len(model.owners)]
                if not model.confused(peer, port):
                    receive(model, ways, peer, port)
        for peer in peers.values():
            assert not select.select([peer], [], [], 0)[0]

    def begin(config):
        """A new model, and how to reach each host by a flow that is let in by every NAT."""
        model, ways = PureNat(config), {}
        for host, sock in marks.items():
            sock.sendto(b"mark", control.getsockname())
            _, ways[host] = control.recvfrom(100)
            model.sends((HOSTS[host], CONTROL), control.getsockname(), ways[host][1])
        return model, ways

    def full(model, inside, peer):
        if model.config.ports is None:
            return False
        first, last = model.config.ports
        known = (inside, peer) in model.flows or model.key(inside, peer) in model.ports
        return not known and len(model.owners) > last - first

    def receive(model, ways, peer, port):
        expected = model.receives(peer, port)
        peers[peer].sendto(b"%d" % port, (WAN, port))
        if expected is not None:
            assert select.select([own[expected]], [], [], PATIENCE)[0], f"{peer} to {port}"
        for host, way in ways.items():
            control.sendto(b"mark", way)
            seen = None
            while seen != b"mark":
                seen, sender = marks[host].recvfrom(100)
                if seen != b"mark":
                    assert (seen, sender) == (b"%d" % port, peer)
                    assert expected == (HOSTS[host], CONTROL)
                    expected = None
        for (host, inside), sock in ends.items():
            if select.select([sock], [], [], 0)[0]:
                assert sock.recvfrom(100) == (b"%d" % port, peer)
                assert expected == (HOSTS[host], inside)
                expected = None
        assert expected is None, f"{peer} did not reach {expected} at {port}"

    run()
