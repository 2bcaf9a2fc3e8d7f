"""Random ICMP of two hosts through random NATs, compared message by message with a pure model.

Between the messages there is UDP and TCP of the same hosts: errors are about that as well, and what
comes after them shows that they have ended nothing.
"""

from __future__ import annotations

from by_hand import Packet
from hypothesis import given
from hypothesis import strategies as st
from icmp_by_hand import ERRORS, About, about, error, message, read
from nat_model_icmp import PureIcmpNat, told_inside, told_outside
from test_nat_model import PORTS, runs
from test_nat_model_tcp import SERVER, TcpTraffic, configs
from test_nat_modes import HOSTS, PEERS, WAN

from patchbay.rules.words import IcmpType, L4Proto

"""Every run is a NAT of its own with up to fifty packets."""
ROUTER = "10.0.1.1"
TELLERS = sorted({ip for ip, _ in PEERS})
"""Those outside who send errors, about what was sent to them and to others."""
OFTEN = {"ask": 6, "answer": 5, "tell inside": 5, "tell outside": 4, "connect": 3, "udp": 3}
SELDOM = "stray", "query", "unknown inside", "unknown outside", "forget", "flush", "age", "rebind"
"""What happens: most of all something that gets through."""

steps = st.tuples(
    st.sampled_from([*(what for what in OFTEN for _ in range(OFTEN[what])), *SELDOM]),
    st.sampled_from([(host, port) for host in HOSTS for port in PORTS]),
    st.sampled_from(PEERS),
    st.integers(0, 31),
    st.sampled_from(ERRORS),
)
messages = st.one_of(st.lists(steps, max_size=50), st.lists(steps, min_size=20, max_size=50))


class IcmpTraffic(TcpTraffic):
    """Queries with identifiers that are as the ports of the hosts, and errors about anything."""

    def know_nothing(self, config) -> None:
        super().know_nothing(config)
        self.icmp = PureIcmpNat(config, WAN, paired=self.model.paired)
        self.models.append(self.icmp)

    def ask(self, inside, peer) -> None:
        """A host sends an echo request."""
        number = self._tell(
            self.node(inside), inside[0], peer[0], self._echo(IcmpType.ECHO_REQUEST, inside[1])
        )
        self.hands[SERVER].await_packet(number)
        ((came, kind, _, identifier, _),) = self._heard(SERVER, number)
        assert (kind, came.target) == (IcmpType.ECHO_REQUEST, peer[0])
        self.icmp.asks(inside, (peer[0], 0), (came.source, identifier))

    def answer_query(self, peer, to) -> None:
        """A peer sends an echo reply."""
        self._expect(peer, to, IcmpType.ECHO_REPLY, self.icmp.answered((peer[0], 0), to))

    def query(self, peer, to) -> None:
        """A peer sends an echo request."""
        self._expect(peer, to, IcmpType.ECHO_REQUEST, self.icmp.asked_by((peer[0], 0), to))

    def _expect(self, peer, to, kind, receiver) -> None:
        number = self._tell(SERVER, peer[0], to[0], self._echo(kind, to[1]))
        for found, came, _, identifier, _ in self._arrived(receiver, number):
            assert (found, came.source) == (kind, peer[0])
            assert (came.target, identifier) == receiver

    def tell_inside(self, teller, protocol, peer, outside, sort) -> None:
        """Somebody outside tells of a packet that came from an outside endpoint to a peer."""
        inside = told_inside(self.by_protocol()[protocol], peer, outside)
        told = error(*sort, About(protocol, outside, peer))
        number = self._tell(SERVER, teller, outside[0], told)
        for kind, came, code, _, rest in self._arrived(inside, number):
            assert (kind, code) == sort
            assert (came.source, came.target) == (teller, inside[0])
            assert about(rest) == About(protocol, inside, peer)

    def tell_outside(self, protocol, inside, peer, sort) -> None:
        """A host tells a peer of a packet that came from there."""
        outside = told_outside(self.by_protocol()[protocol], inside, peer)
        told = error(*sort, About(protocol, peer, inside))
        number = self._tell(self.node(inside), inside[0], peer[0], told)
        if outside is not None:
            self.hands[SERVER].await_packet(number)
        self._settle(inside[0])
        heard = self._heard(SERVER, number)
        assert len(heard) == (outside is not None)
        for came, kind, code, _, rest in heard:
            assert (kind, code) == sort
            assert (came.source, came.target) == (outside[0], peer[0])
            assert about(rest) == About(protocol, peer, outside)

    def flows(self):
        """What errors can be about, for certain: protocol, inside endpoint, peer and outside."""
        for protocol, model in self.by_protocol().items():
            for (inside, peer), outside in sorted(model.flows.items()):
                if model is not self.tcp or (inside, peer) not in self.tcp.closed_flows:
                    yield protocol, inside, peer, outside

    def by_protocol(self):
        return {L4Proto.UDP: self.model, L4Proto.TCP: self.tcp, L4Proto.ICMP: self.icmp}

    def _echo(self, kind, identifier):
        return message(kind, 0, identifier, 1, b"echo")

    def _tell(self, node, source, target, told):
        number = next(self.numbers) % 0xFFFF + 1
        self.hands[node].send(Packet(source, target, L4Proto.ICMP, told, number))
        return number

    def _arrived(self, receiver, number):
        """The message of a number that has come to the hosts; only its receiver has got it."""
        if receiver is not None:
            self.hands[self.node(receiver)].await_packet(number)
        self._mark()
        found = [each for host in HOSTS for each in self._heard(host, number)]
        assert len(found) == (receiver is not None), f"{receiver} should have got it: {found}"
        return [(kind, came, *rest) for came, kind, *rest in found]

    def _heard(self, node, number):
        """The message of a number that has come to a node; its router may have said something."""
        return [
            (each, *read(each.payload))
            for each in self.hands[node].seen()
            if (each.protocol, each.number) == (L4Proto.ICMP, number) and each.source != ROUTER
        ]


def test_the_rules_do_to_icmp_what_the_model_does(kernel):
    traffic = IcmpTraffic(kernel)

    @runs(30)
    @given(configs, messages)
    def run(config, sequence):
        traffic.begin(config)
        for what, (host, port), peer, number, sort in sequence:
            inside, teller = (HOSTS[host], port), TELLERS[number % 2]
            protocol = [L4Proto.UDP, L4Proto.TCP, L4Proto.ICMP][number % 3]
            known = list(traffic.flows())
            match what:
                case "ask":
                    traffic.ask(inside, peer)
                case "answer":
                    if asked := sorted(traffic.icmp.flows.items()):
                        (_, by), seen = asked[number % len(asked)]
                        traffic.answer_query(by, seen)
                case "stray":
                    traffic.answer_query(peer, (WAN, port))
                case "query":
                    targets = [*map(str, config.outside_addresses), HOSTS[host], WAN]
                    traffic.query(peer, (targets[number % len(targets)], port))
                case "tell inside":
                    which, _, by, outside = known[number % len(known)]
                    traffic.tell_inside(teller, which, by, outside, sort)
                case "tell outside":
                    which, owner, by, _ = known[number % len(known)]
                    if which != L4Proto.ICMP:
                        traffic.tell_outside(which, owner, by, sort)
                case "unknown inside":
                    told = peer if protocol != L4Proto.ICMP else (peer[0], 0)
                    traffic.tell_inside(teller, protocol, told, (WAN, port), sort)
                case "unknown outside":
                    if protocol != L4Proto.ICMP:
                        traffic.tell_outside(protocol, inside, peer, sort)
                case "connect":
                    traffic.speak(inside, peer, "talk")
                case "udp":
                    traffic.out(inside, peer)
                case _:
                    getattr(traffic, what)()
        traffic.end()

    run()
