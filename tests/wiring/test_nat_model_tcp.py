"""Random TCP of two hosts through random NATs, compared segment by segment with a pure model.

No stack takes part in it: what each end sends is made by hand, as whatever it may send next.
"""

from __future__ import annotations

import itertools
from collections import defaultdict

from by_hand import Hand, Packet, segment
from hypothesis import example, given
from hypothesis import strategies as st
from nat_model_tcp import PureTcpNat
from small_networks import await_ticks
from tcp_end import End
from test_nat_model import PORTS, Traffic, config_of, further, ports, runs
from test_nat_modes import ALL, HOSTS, PEERS, WAN
from test_nat_settings import forget_one

from patchbay.rules.words import L4Proto
from patchbay.values import NatConfig, NatFiltering, PortForward

"""Every run is a NAT of its own with up to fifty segments."""
SERVER = "server"

of_tcp = st.sampled_from(ALL).map(
    lambda kinds: {"tcp_mapping": kinds[0], "tcp_filtering": kinds[1]}
)
forwarded = st.sampled_from(PORTS).map(
    lambda port: {"forwards": [PortForward("tcp", port, HOSTS["tablet"], 40000)]}
)
configs = st.builds(
    lambda kinds, own, ports, further, forwards: config_of(kinds, ports, own | further | forwards),
    st.sampled_from(ALL),
    st.one_of(st.just({}), of_tcp),
    ports,
    st.one_of(st.just({}), further),
    st.one_of(st.just({}), forwarded),
)
OFTEN = {"answer": 10, "go on": 8, "out": 6, "in": 4}
SELDOM = "direct", "udp", "end", "flush", "forget", "age", "rebind"
"""What happens: most of all, that one of the ends of a connection that there is goes on."""

steps = st.tuples(
    st.sampled_from([*(what for what in OFTEN for _ in range(OFTEN[what])), *SELDOM]),
    st.sampled_from([(host, port) for host in HOSTS for port in PORTS]),
    st.sampled_from(PEERS),
    st.integers(0, 31),
    st.sampled_from(["talk", "talk", "talk", "talk", "close", "reset"]),
)
segments = st.one_of(st.lists(steps, max_size=50), st.lists(steps, min_size=20, max_size=50))


LAPTOP, TABLET = ("laptop", 40000), ("tablet", 40000)
OPENED = [
    ("out", LAPTOP, PEERS[0], 0, "talk"),
    ("answer", LAPTOP, PEERS[0], 0, "talk"),
    ("go on", LAPTOP, PEERS[0], 0, "talk"),
]
CLOSED = [
    *OPENED,
    ("answer", LAPTOP, PEERS[0], 0, "reset"),
    ("end", LAPTOP, PEERS[0], 0, "talk"),
    ("out", TABLET, PEERS[0], 0, "talk"),
    ("out", LAPTOP, PEERS[0], 0, "talk"),
]
"""The port of a connection that has just been closed goes to nobody else, but to its host."""
KNOCKING = [*OPENED, *(("in", LAPTOP, peer, 0, "talk") for peer in PEERS)]
"""Each peer in turn asks for a connection."""


def examples(test):
    """Have a test of configurations and sequences begin with what is too rare to wait for."""
    test = example(NatConfig("endpoint_independent"), CLOSED)(test)
    for udp, tcp in itertools.permutations(NatFiltering, 2):
        config = NatConfig("endpoint_independent", udp, tcp_filtering=tcp)
        test = example(config, KNOCKING)(test)
    return test


class TcpTraffic(Traffic):
    """The ends of all connections that there can be, and UDP of the same hosts and ports."""

    def __init__(self, kernel) -> None:
        super().__init__(kernel)
        self.hands = {node: Hand(kernel, node) for node in (*HOSTS, SERVER)}

    def know_nothing(self, config) -> None:
        super().know_nothing(config)
        self.tcp = PureTcpNat(config, WAN, paired=self.model.paired)
        self.models.append(self.tcp)

    def begin(self, config) -> None:
        self.inner, self.outer = defaultdict(End), defaultdict(End)
        for hand in self.hands.values():
            hand.seen()  # or it is full of the runs before some day
        super().begin(config)

    def speak(self, inside, peer, wish) -> None:
        """An inside end sends what it may send next."""
        if self.tcp.is_obscure(inside, peer) or self.tcp.haunted(inside, peer):
            return
        told, number = self._send(self.node(inside), self.inner[inside, peer], inside, peer, wish)
        if self.tcp.surely_leaves(inside, peer, told.flags):
            self.hands[SERVER].await_packet(number)
        self._settle(inside[0])
        (found,) = self._seen(SERVER, number, told) or [None]
        seen = None
        if found is not None:
            seen, to = found
            assert to == peer
            self.outer[peer, seen].hear(told)
        before = len(self.tcp.flows)
        self.tcp.leaves(inside, peer, told.flags, seen)
        self._see_dead(before)

    def answer(self, peer, to, wish) -> None:
        """A peer's end sends what it may send next to an endpoint."""
        if self.tcp.confused(peer, to) or self.tcp.is_obscure(self.tcp.owner(to), peer):
            return
        told, number = self._send(SERVER, self.outer[peer, to], peer, to, wish)
        possible = self.tcp.receivers(peer, to, told.flags)
        if None not in possible:
            (by,) = possible
            self.hands[self.node(by)].await_packet(number)
        self._mark()
        found = [each for host in HOSTS for each in self._seen(host, number, told)]
        assert len(found) <= 1
        by = None
        for source, by in found:
            assert source == peer, f"{by} sees {peer} as {source}"
            self.inner[by, peer].hear(told)
        before = len(self.tcp.flows)
        self.tcp.enters(peer, to, told.flags, by)
        self._see_dead(before)

    def expire(self, inside, peer) -> None:
        """The router forgets a connection, as if its time were over."""
        outside = self.tcp.flows.get((inside, peer))
        if outside is None or self.tcp.config.quota or self.tcp.config.block_size:
            return
        for entry in self.kernel.conntrack("home"):
            first = entry.original
            source = str(first.source), first.source_port
            target = str(first.destination), first.destination_port
            if entry.protocol == L4Proto.TCP and (source, target) in [
                (inside, peer),
                (peer, outside),
            ]:
                forget_one(self.kernel, entry)
        await_ticks()
        self.tcp.ends(inside, peer)

    def _see_dead(self, before) -> None:
        """Where a connection has ended, the kernel sees it in its next tick."""
        if len(self.tcp.flows) < before:
            await_ticks()

    def node(self, end) -> str:
        return next(host for host, ip in HOSTS.items() if ip == end[0])

    def _send(self, node, end, source, target, wish):
        number = next(self.numbers) % 0xFFFF + 1
        told = end.next(wish, number << 16)
        made = Packet(source[0], target[0], L4Proto.TCP, told.bytes(source, target), number)
        self.hands[node].send(made)
        return told, number

    def _seen(self, node, number, told):
        """The ends that a segment has for who gets it; nothing else comes there."""
        found = []
        for each in self.hands[node].seen():
            if each.protocol == L4Proto.TCP:
                source, target, came = segment(each)
                assert (each.number, came) == (number, told)
                found.append((source, target))
        return found


def test_the_rules_do_to_tcp_what_the_model_does(kernel):
    traffic = TcpTraffic(kernel)

    @examples
    @runs(30)
    @given(configs, segments)
    def run(config, sequence):
        traffic.begin(config)
        for what, (host, port), peer, number, wish in sequence:
            inside = HOSTS[host], port
            match what:
                case "out":
                    traffic.speak(inside, peer, wish)
                case "go on" | "answer":
                    if known := sorted(traffic.tcp.flows.items()):
                        (inside, peer), to = known[number % len(known)]
                        if what == "answer":
                            traffic.answer(peer, to, wish)
                        else:
                            traffic.speak(inside, peer, wish)
                case "in":
                    if targets := traffic.tcp.targets():
                        traffic.answer(peer, targets[number % len(targets)], wish)
                case "direct":
                    traffic.answer(peer, inside, wish)
                case "udp":
                    traffic.out(inside, peer)
                case "end":
                    traffic.expire(inside, peer)
                case _:
                    getattr(traffic, what)()
        traffic.end()

    run()
