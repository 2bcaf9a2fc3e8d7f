"""Link conditions say all that can happen to a packet, and refuse what contradicts itself."""

import random
import threading
import tomllib
from dataclasses import fields, replace
from functools import partial
from ipaddress import IPv4Network

import pytest

from actors.errors import TravelError
from patchbay.errors import ConfigError
from patchbay.links.programs.packet import Packet
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.toml import configs, values, writing
from patchbay.values import (
    DelayTable,
    DeliveryOpportunities,
    DropList,
    FlowMatch,
    FourState,
    GilbertElliott,
    JitterDistribution,
    LinkCondition,
    PacketProgram,
    QueueDiscipline,
    RegionLink,
    Slots,
    parse_flows,
)

EVERYTHING = LinkCondition(
    latency_ms=50,
    jitter_ms=5.5,
    loss_pct=1,
    rate_kbit=10_000,
    reorder_pct=1,
    duplicate_pct=2,
    corrupt_pct=3,
    loss_burst_pkts=4,
    queue_pkts=100,
    jitter_distribution="normal",
    jitter_correlation_pct=25,
    jitter_reorders=True,
    corrupt_valid_checksum=True,
    overhead_bytes=18,
    queue_discipline="fq-codel",
    ecn=True,
    mtu=1400,
    slots=Slots(interval_ms=10, interval_max_ms=20, max_packets=5, max_bytes=9000),
    drops=DropList(
        [7, 3, 7],
        flow_packets=range(1, 3),
        between_ms=[(0, 1.5), (20, 30)],
        match=FlowMatch(protocol="udp", port=(1, 9)),
    ),
)
CONDITIONS = [
    EVERYTHING,
    LinkCondition(jitter_ms=1, jitter_distribution=DelayTable([-1, 0, 0.5, 3])),
    LinkCondition(loss_model=GilbertElliott(1, 20, loss_bad_pct=90)),
    LinkCondition(loss_model=FourState(1, 30, 10, 80, 0.5)),
    LinkCondition(rate_kbit=1000, queue_ms=50.5, queue_discipline="codel"),
    LinkCondition(rate_kbit=1000, queue_bytes=50_000),
    LinkCondition(drops=DropList([1])),
    LinkCondition(5, opportunities=DeliveryOpportunities([0, 3, 3, 10]), queue_pkts=9),
]
FLOWS = [
    FlowMatch(),
    FlowMatch(protocol="udp", port=443, address="10.0.0.9/24", dscp=46),
    FlowMatch(protocol=47, address="2001:db8::/32"),
]


def test_everything_can_be_said_at_once():
    unset = {"loss_model", "queue_bytes", "queue_ms", "program", "opportunities"}

    for each in fields(EVERYTHING):
        is_default = getattr(EVERYTHING, each.name) == getattr(LinkCondition.LAN, each.name)
        assert is_default == (each.name in unset)
    assert EVERYTHING.jitter_distribution is JitterDistribution.NORMAL
    assert EVERYTHING.queue_discipline is QueueDiscipline.FQ_CODEL
    assert replace(EVERYTHING, ecn=False).slots == EVERYTHING.slots


def drop_all(packet):
    packet.drop()


async def wait(packet):
    """No function of a packet."""


class Remembering:
    """A program with a memory: each one that is made has its own."""

    def __call__(self, packet):
        packet.drop()


def test_a_program_is_given_as_a_function_and_travels_by_value():
    condition = LinkCondition(program=drop_all)
    again = from_plain(LinkCondition, to_plain(condition))
    packet = Packet(bytes(60))
    again.program.function()(packet)

    assert again == condition == LinkCondition(program=PacketProgram(drop_all))
    assert (again.program.name, again.program.limit_ms) == ("drop_all", 1000)
    assert packet.settle() == []
    assert not condition.perfect
    assert RegionLink(program=drop_all).condition == condition
    assert from_plain(RegionLink, to_plain(RegionLink(program=drop_all))).condition == condition


def test_what_is_no_program_has_its_place():
    for wrong, said in (
        (3, "program: 3 is no function"),
        (wait, "program, function: wait is async"),
        (lambda: None, "is called with a packet: give it one parameter"),
        (Remembering, "Remembering is called with a packet: make one of it first"),
    ):
        with pytest.raises(ConfigError) as caught:
            LinkCondition(loss_pct=-1, program=wrong)
        assert said in str(caught.value)
        assert len(caught.value.problems) == 2
    for right in (Remembering(), partial(drop_all), Packet.drop):
        LinkCondition(program=right)
    with pytest.raises(TravelError, match="in the function 'partial'"):
        LinkCondition(program=partial(lambda lock, packet: None, threading.Lock()))


def test_a_file_cannot_have_a_program():
    with pytest.raises(ConfigError, match="program: a packet program is a Python function"):
        values.condition({"program": "drop_all"})


@pytest.mark.parametrize("value", [*CONDITIONS, *FLOWS])
def test_conditions_and_flows_survive_being_made_plain(value):
    assert from_plain(type(value), to_plain(value)) == value


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_is_written_into_a_file_is_read_from_it(condition):
    text = writing.table("[x]", {"condition": configs.dump_condition(condition)})

    assert values.condition(tomllib.loads(text)["x"]["condition"]) == condition


def test_flows_are_written_into_a_file_and_read_from_it():
    flows = tuple(zip(FLOWS, CONDITIONS, strict=False))

    text = writing.table("[x]", {"flows": configs.dump_flows(flows)})

    assert values.flows(tomllib.loads(text)["x"]["flows"]) == flows


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"no": "wifi"}, "'no' is no FlowMatch(...)"),
        ({FlowMatch(): "wfi"}, "did you mean 'wifi'"),
        ([FlowMatch()], "is no mapping"),
    ],
)
def test_what_is_no_condition_of_a_flow_is_refused(given, said):
    with pytest.raises(ConfigError) as caught:
        parse_flows(given)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({"jitter_distribution": "nrmal"}, ["jitter_distribution"]),
        ({"jitter_correlation_pct": 101, "mtu": 67}, ["jitter_correlation_pct", "mtu"]),
        ({"overhead_bytes": -1, "ecn": 1}, ["overhead_bytes", "ecn"]),
        ({"queue_bytes": 0, "queue_ms": 0}, ["queue_bytes", "queue_ms", "queue_ms"]),
        ({"queue_pkts": 3, "queue_bytes": 3}, ["queue_bytes"]),
        ({"ecn": True}, ["ecn"]),
        ({"loss_pct": 1, "loss_model": GilbertElliott(1, 2)}, ["loss_model"]),
        ({"loss_pct": 80, "loss_burst_pkts": 3}, ["loss_burst_pkts"]),
        ({"loss_model": 3, "slots": 5}, ["loss_model", "slots"]),
        ({"queue_discipline": "red"}, ["queue_discipline"]),
        ({"latency_ms": 1e300, "jitter_ms": 1e10}, ["latency_ms", "jitter_ms"]),
        ({"rate_kbit": 1e20, "queue_ms": 1e300}, ["rate_kbit", "queue_ms"]),
        ({"rate_kbit": 1e-300}, ["rate_kbit"]),
    ],
)
def test_mistakes_have_their_places(given, places):
    with pytest.raises(ConfigError) as caught:
        LinkCondition(**given)

    assert [problem.place for problem in caught.value.problems] == places


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: DelayTable([]),
        lambda: DelayTable([5]),
        lambda: DelayTable([0] * 16_385),
        lambda: DelayTable.of_samples([]),
        lambda: DelayTable.of_samples([5, "6"]),
        lambda: GilbertElliott(-1, 50),
        lambda: FourState(60, p14_pct=50),
        lambda: FourState(1, p31_pct=60, p32_pct=50),
        lambda: Slots(interval_ms=0),
        lambda: Slots(interval_ms=5, interval_max_ms=4),
        lambda: Slots(interval_ms=5, max_packets=0),
        lambda: Slots(interval_ms=1e300),
        lambda: Slots(interval_ms=1, interval_max_ms=1e300),
        lambda: RegionLink(latency_ms=1e300),
        lambda: RegionLink(rate_mbit=1e300),
        lambda: PacketProgram(drop_all, limit_ms=1e300),
        lambda: PacketProgram(),
        lambda: PacketProgram(3),
        lambda: PacketProgram(wait),
        lambda: PacketProgram(drop_all, limit_ms=0),
        lambda: RegionLink(program=3),
        lambda: DropList(),
        lambda: DropList([0]),
        lambda: DropList(3),
        lambda: DropList([True]),
        lambda: DropList(flow_packets=["first"]),
        lambda: DropList(between_ms=[(3, 2)]),
        lambda: DropList(between_ms=[(-1, 2)]),
        lambda: DropList(between_ms=[5]),
        lambda: DropList(between_ms=(5, 6)),
        lambda: DropList([1], match="udp"),
        lambda: LinkCondition(drops=[3, 7]),
        lambda: FlowMatch(protocol="updp"),
        lambda: FlowMatch(protocol=256),
        lambda: FlowMatch(protocol="icmp", port=7),
        lambda: FlowMatch(port=(9, 8)),
        lambda: FlowMatch(address="10.0.0.300"),
        lambda: FlowMatch(dscp=64),
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_an_unknown_protocol_is_told_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'udp'"):
        FlowMatch(protocol="udpp")


def test_a_flow_says_what_it_matches():
    flow = FlowMatch(protocol="UDP", port=443, address="10.0.0.9/24")

    assert (flow.protocol, flow.port) == (17, (443, 443))
    assert flow.address == IPv4Network("10.0.0.0/24")


def test_bursts_of_a_mean_length_lose_the_share_that_was_asked_for():
    model = GilbertElliott.of_bursts(5, 4)

    assert model.mean_loss_pct == pytest.approx(5)
    assert 100 / model.to_good_pct == pytest.approx(4)
    assert GilbertElliott(10, 30, 80, 1).mean_loss_pct == pytest.approx(80 / 4 + 3 / 4)


def test_a_chain_of_four_states_ends_bursts_unless_told_otherwise():
    assert FourState(10).p31_pct == 90


def test_a_table_is_made_of_delays_that_were_measured():
    source = random.Random(1)
    samples = [source.gauss(50, 4) for _ in range(20_000)]

    table, mean, deviation = DelayTable.of_samples(samples)

    assert mean == pytest.approx(50, abs=0.2)
    assert deviation == pytest.approx(4, abs=0.1)
    assert len(table.deviations) == 4096
    assert table.deviations[2048] == pytest.approx(0, abs=0.05)
    assert sorted(table.deviations) == list(table.deviations)


def test_equal_delays_make_a_table_without_any_jitter():
    assert DelayTable.of_samples([7, 7]) == (DelayTable([0, 0]), 7, 0)
