"""Random traffic of two hosts through random NATs, compared packet by packet with a pure model."""

from __future__ import annotations

import itertools
import os
import select

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nat_model import PureNat
from small_networks import PATIENCE, await_ticks, udp
from test_nat_modes import ALL, HOSTS, PEERS, WAN, Router

from patchbay.rules.encode import emptied
from patchbay.topology.steps import Forget
from patchbay.values import NatConfig, NatFiltering, NatMapping, NatPooling, NatPorts, PortForward
from patchbay.wiring.connection import NETLINK_NETFILTER

"""Every run is a NAT of its own with up to forty packets."""
PORTS = (40000, 40001)
CONTROL = ("198.18.0.20", 39999)
OTHERS = ["198.18.0.11", "198.18.0.12"]
TWIN = "198.18.0.13"
EXEMPT = "198.18.0.21"
SMALL = (40000, 40007)
LIFETIMES = ("refreshed", "streams", "held", "closed")
"""The sets whose elements end by themselves."""

small = st.just({"ports": SMALL})
wide = st.fixed_dictionaries(
    {},
    optional={
        "ports": st.just((50000, 50300)),
        "quota": st.integers(2, 6),
        "addresses": st.sampled_from([OTHERS[:1], OTHERS]),
        "pooling": st.sampled_from(NatPooling),
    },
)
chosen = st.fixed_dictionaries(
    {}, optional={"port_choice": st.sampled_from(NatPorts), "parity": st.booleans()}
)
blocks = st.just({"block_size": 64})
further = st.fixed_dictionaries(
    {},
    optional={
        "hold_down": st.just(120),
        "inbound_refresh": st.booleans(),
        "exempt": st.just([EXEMPT]),
        "one_to_one": st.just({HOSTS["laptop"]: TWIN}),
        "forwards": st.sampled_from(PORTS).map(
            lambda port: [PortForward("udp", port, HOSTS["tablet"], 40000)]
        ),
    },
)
ports = st.one_of(st.tuples(small, chosen), st.tuples(wide, chosen), st.tuples(wide, blocks)).map(
    lambda both: both[0] | both[1]
)


def config_of(kinds, ports, further):
    if ports.get("ports") == SMALL:
        further.pop("hold_down", None)  # there are too few to hold any
    return NatConfig(*kinds, **ports, **further)


configs = st.builds(config_of, st.sampled_from(ALL), ports, st.one_of(st.just({}), further))
packets = st.lists(
    st.tuples(
        st.sampled_from([*["out"] * 6, *["in"] * 6, "direct", "flush", "forget", "age", "rebind"]),
        st.sampled_from([(host, port) for host in HOSTS for port in PORTS]),
        st.sampled_from(PEERS),
        st.integers(0, 7),
    ),
    max_size=40,
)

LAPTOP, TABLET = ("laptop", 40000), ("tablet", 40000)
FORGET = ("forget", LAPTOP, PEERS[0], 0)
REBORN = [
    # Those of the marks, which had the first ports.
    (
        NatMapping.ADDRESS_AND_PORT_DEPENDENT,
        [FORGET, ("out", LAPTOP, PEERS[2], 0), ("in", LAPTOP, PEERS[1], 0)],
    ),
    # The first flow of a mapping, and the second one, which finds its mapping alive.
    *(
        (
            NatMapping.ENDPOINT_INDEPENDENT,
            [
                FORGET,
                ("out", LAPTOP, first, 0),
                ("out", LAPTOP, second, 0),
                FORGET,
                ("out", TABLET, third, 0),
                ("out", LAPTOP, first, 0),
                ("out", LAPTOP, second, 0),
                ("in", LAPTOP, PEERS[1], 0),
                ("in", LAPTOP, PEERS[3], 0),
            ],
        )
        for first, second, third in [
            (PEERS[0], PEERS[2], PEERS[0]),
            (PEERS[0], PEERS[2], PEERS[2]),
        ]
    ),
]
"""Flows that begin anew when another has their port: they do not open it to their peers again."""
FILLED = [("out", host, peer, 0) for host in (LAPTOP, TABLET) for peer in PEERS]
IN_VAIN = (
    NatMapping.ADDRESS_AND_PORT_DEPENDENT,
    [*FILLED, FORGET, *reversed(FILLED), FORGET, *FILLED],
)
"""Flows that found no port left and get one later: what they tried for is not theirs by that."""
FORWARDED = NatConfig(
    "endpoint_independent",
    port_choice="random",
    forwards=[PortForward("udp", PORTS[0], HOSTS["tablet"], 40000)],
    hold_down=120,
)
"""Mappings that have ended are told from those whose port has come to be forwarded."""


class Traffic:
    """Two hosts with two sockets each, four peers, and the way of every packet.

    Behind whatever is sent goes a packet that arrives for certain: so what has not arrived by then
    never will.
    """

    def __init__(self, kernel) -> None:
        self.kernel = kernel
        self.router = Router(kernel)
        self.peers = {peer: udp(kernel, "server", *peer) for peer in PEERS}
        self.control = udp(kernel, "server", *CONTROL)
        self.ends = {(HOSTS[h], p): udp(kernel, h, HOSTS[h], p) for h in HOSTS for p in PORTS}
        self.marks = {(ip, CONTROL[1]): udp(kernel, h, ip, CONTROL[1]) for h, ip in HOSTS.items()}
        self.numbers = itertools.count()
        self.know_nothing(NatConfig())

    def know_nothing(self, config) -> None:
        """Have a model in which nothing has happened."""
        self.model = PureNat(config, WAN)
        self.models = [self.model]

    def begin(self, config) -> None:
        self.router.reset(config)
        self.know_nothing(config)
        self._mark()

    def flush(self) -> None:
        self.kernel.flush_conntrack("home", self.router.tables)
        self.know_nothing(self.model.config)
        self._mark()

    def forget(self) -> None:
        """Every flow ends. Where many flows are counted together, it takes time to see that."""
        if self.model.config.quota or self.model.config.block_size:
            self.flush()
            return
        self.kernel.apply(Forget(node="home"))
        await_ticks()
        for each in self.models:
            each.forget()
        self._mark()

    def age(self) -> None:
        """What has a lifetime ends, as if nothing had happened for so long but that flows live."""
        for table in self.router.tables:
            known = [each.name for each in table.sets]
            keep = [name for name in known if name not in LIFETIMES]
            connection = self.kernel.connection("home", NETLINK_NETFILTER)
            connection.transact(emptied([table], keep))
        for each in self.models:
            each.age()

    def rebind(self) -> None:
        """Where there are ports enough for it."""
        room = self.model.config.port_count
        if room < 100:
            self.flush()
            return
        self.kernel.rebind("home", self.router.tables, room)
        for each in self.models:
            each.rebind()
        self._mark()

    def out(self, inside, peer) -> None:
        """A host sends to a peer."""
        if self.model.haunted(inside, peer):
            return
        data = b"%d" % next(self.numbers)
        self.ends[inside].sendto(data, peer)
        if self.model.reaches(inside, peer):  # some are faster than others
            assert select.select([self.peers[peer]], [], [], PATIENCE)[0], f"{inside} to {peer}"
        self._settle(inside[0])
        seen = None
        if select.select([self.peers[peer]], [], [], 0)[0]:
            got, seen = self.peers[peer].recvfrom(100)
            assert got == data
        self.model.sends(inside, peer, seen)

    def come(self, peer, to) -> None:
        """A peer sends to an endpoint."""
        if self.model.confused(peer, to):
            return
        data = b"%d" % next(self.numbers)
        self.peers[peer].sendto(data, to)
        expected = self.model.receives(peer, to)
        if expected is not None:
            own = self.ends.get(expected) or self.marks[expected]
            assert select.select([own], [], [], PATIENCE)[0], f"{peer} to {to}"
        found = []
        for mark in self.marks:
            found += [(mark, *each) for each in self._settle(mark[0])]
        for end, sock in self.ends.items():
            while select.select([sock], [], [], 0)[0]:
                found.append((end, *sock.recvfrom(100)))
        wanted = [] if expected is None else [(expected, data, peer)]
        assert found == wanted, f"{peer} sent to {to}"

    def end(self) -> None:
        for sock in (*self.peers.values(), *self.ends.values()):
            assert not select.select([sock], [], [], 0)[0]

    def _mark(self) -> None:
        for mark in self.marks:
            self._settle(mark[0])

    def _settle(self, host):
        """Send something to and fro, and return what came to the host's first socket before."""
        mark = host, CONTROL[1]
        self.marks[mark].sendto(b"mark", CONTROL)
        _, seen = self.control.recvfrom(100)
        self.model.sends(mark, CONTROL, seen)
        self.control.sendto(b"mark", seen)
        self.model.receives(CONTROL, seen)
        before = []
        while (got := self.marks[mark].recvfrom(100))[0] != b"mark":
            before.append(got)
        return before


def runs(usual):
    """The settings of a comparison: the same so many runs each time, or as many fresh ones as asked."""
    asked = os.environ.get("PATCHBAY_NAT_RUNS")
    return settings(
        max_examples=usual if asked is None else int(asked),
        deadline=None,
        database=None,
        derandomize=asked is None,
        suppress_health_check=list(HealthCheck),
    )


def examples(test):
    """Have a test of configurations and sequences begin with those that were once wrong."""
    for mapping, sequence in [*REBORN, IN_VAIN]:
        config = NatConfig(
            mapping,
            NatFiltering.ADDRESS_DEPENDENT,
            ports=SMALL,
            port_choice=NatPorts.PRESERVE,
        )
        test = example(config, sequence)(test)
    return example(FORWARDED, [FORGET, FORGET])(test)


def test_the_rules_do_what_the_model_does(kernel):
    traffic = Traffic(kernel)

    @examples
    @runs(150)
    @given(configs, packets)
    def run(config, sequence):
        traffic.begin(config)
        for what, (host, port), peer, number in sequence:
            inside = HOSTS[host], port
            match what:
                case "out":
                    traffic.out(inside, peer)
                case "in":
                    targets = traffic.model.targets()
                    traffic.come(peer, targets[number % len(targets)])
                case "direct":
                    traffic.come(peer, inside)
                case _:
                    getattr(traffic, what)()
        traffic.end()

    run()
