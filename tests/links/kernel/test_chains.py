"""What a condition is for the kernel: a pure chain of disciplines, and messages that say it."""

from dataclasses import replace

import pytest

from patchbay.errors import ConfigError
from patchbay.links.choice import DISCIPLINES, NETEM_SEED, USER_SPACE, choose, requirements
from patchbay.links.distributions import SCALE, entries
from patchbay.links.packets.queues import Limit
from patchbay.links.queues import PASSING, UNLIMITED, chain, queue_bytes
from patchbay.links.spec import LinkSpec
from patchbay.values import (
    DelayTable,
    DropList,
    FlowMatch,
    FourState,
    GilbertElliott,
    JitterDistribution,
    LinkCondition,
    LinkEngine,
    Slots,
)
from patchbay.wiring import queues
from patchbay.wiring.netlink import attributes

ALL = frozenset({*DISCIPLINES, NETEM_SEED})
FRAME = 1514


def spec(seed=1, name="laptop/eth0/up", **fields):
    return LinkSpec(name, seed, LinkCondition(**fields))


def made(mtu=1500, features=ALL, turn=0, **fields):
    return chain(spec(**fields), mtu, features, turn)


# ---- which engine -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({}, set()),
        ({"rate_kbit": 1000}, {"tbf"}),
        ({"rate_kbit": 1000, "queue_pkts": 9}, {"tbf", "pfifo"}),
        ({"rate_kbit": 1000, "queue_discipline": "fq_codel"}, {"tbf", "fq_codel"}),
        ({"latency_ms": 1}, {"tbf", "netem"}),
        ({"loss_model": GilbertElliott(1, 2)}, {"tbf", "netem"}),
        ({"slots": Slots(interval_ms=1)}, {"tbf", "netem"}),
        ({"mtu": 1400}, {"tbf", "loss of long packets"}),
        ({"jitter_ms": 1, "jitter_correlation_pct": 9}, {"tbf", "netem", "correlation of delays"}),
        ({"latency_ms": 1, "jitter_correlation_pct": 9}, {"tbf", "netem"}),
        ({"jitter_ms": 2147}, {"tbf", "netem"}),
        ({"jitter_ms": 2148}, {"tbf", "netem", "jitter of more than two seconds"}),
        (
            {"corrupt_pct": 1, "corrupt_valid_checksum": True},
            {"tbf", "netem", "corruption with right checksums"},
        ),
    ],
)
def test_a_condition_says_what_the_kernel_must_be_able_to_do(fields, needed):
    assert requirements(spec(**fields)).keys() == needed


def test_conditions_of_flows_need_more_than_a_chain():
    flows = ((FlowMatch(port=443), LinkCondition.WIFI),)
    assert "conditions of flows" in requirements(LinkSpec("x", 1, LinkCondition(), flows))


def test_auto_takes_the_kernel_where_it_can_do_all_of_it_and_says_why():
    wifi = spec(latency_ms=5)

    assert choose(LinkEngine.AUTO, wifi, ALL).engine is LinkEngine.KERNEL
    chosen = choose(LinkEngine.AUTO, wifi, {"tbf", USER_SPACE})
    assert str(chosen) == "user: the kernel has no netem (for latency_ms)"
    assert str(choose(LinkEngine.USER, wifi, {*ALL, USER_SPACE})) == "user: asked for"


@pytest.mark.parametrize(
    ("engine", "features", "fields", "said"),
    [
        ("kernel", {"tbf", USER_SPACE}, {"latency_ms": 1}, "no netem (for latency_ms); `patchbay"),
        ("kernel", {*ALL, USER_SPACE}, {"mtu": 1400}, "no loss of long packets (for mtu)"),
        ("kernel", ALL, {"drops": DropList([1])}, "no drop lists (for drops); the kernel's engine"),
        ("kernel", {*ALL, USER_SPACE}, {"mtu": 1400}, "engine='user' does, and 'auto' takes it"),
        ("auto", {"tbf"}, {"latency_ms": 1}, "`patchbay guest -- COMMAND`"),
        ("user", ALL, {"latency_ms": 1}, "cannot be done by a process here"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_helps(engine, features, fields, said):
    with pytest.raises(ConfigError) as refusal:
        choose(LinkEngine(engine), spec(**fields), features)
    assert said in str(refusal.value)


# ---- the chain --------------------------------------------------------------------------------


def test_super_packets_are_cut_to_what_the_interface_takes():
    assert made(mtu=9000, latency_ms=1).splitter.burst == 9018
    assert made(latency_ms=1).splitter.rate is None


def test_netem_never_drops_because_it_is_full():
    options = attributes(queues.netem(made(latency_ms=1).netem))[queues.TCA_OPTIONS]
    assert queues.NETEM_QOPT.unpack_from(options)[1] == UNLIMITED


def test_a_kernel_without_netem_gets_a_chain_without_it():
    assert made(features={"tbf"}, rate_kbit=800).netem is None


def test_jitter_keeps_packets_in_order_unless_asked_otherwise():
    assert made(jitter_ms=1).netem.ordered
    assert not made(jitter_ms=1, jitter_reorders=True).netem.ordered
    # without jitter a shorter latency must not let new packets overtake
    assert made(latency_ms=1, jitter_reorders=True).netem.ordered


def test_bursts_are_told_as_a_model():
    netem = made(loss_pct=5, loss_burst_pkts=4).netem
    assert netem.loss == 0
    assert netem.loss_model == GilbertElliott.of_bursts(5, 4)
    assert made(loss_pct=100, loss_burst_pkts=4).netem.loss == 100


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"queue_bytes": 5000}, ("bfifo", 5000 + FRAME)),
        ({"queue_bytes": 100}, ("bfifo", 100 + FRAME)),
        ({"queue_bytes": UNLIMITED}, ("bfifo", UNLIMITED)),
        ({"queue_pkts": 50}, ("pfifo", 50 + 1)),
        ({"queue_pkts": UNLIMITED}, ("pfifo", UNLIMITED)),
        ({"queue_ms": 100}, ("bfifo", 100_000 + FRAME)),
        ({"queue_ms": 0.1}, ("bfifo", FRAME + FRAME)),
        ({"latency_ms": 50}, ("bfifo", 100_000 + FRAME)),
        ({}, ("bfifo", 20_000 + FRAME)),
        ({"queue_discipline": "codel", "queue_pkts": 7}, ("codel", 7 + 1)),
        ({"queue_discipline": "fq_codel", "queue_bytes": 10 * FRAME}, ("fq_codel", 10 + 1)),
        ({"queue_discipline": "fq_codel", "queue_bytes": 100}, ("fq_codel", 1 + 1)),
    ],
)
def test_queues_have_room_for_what_waits_and_for_the_packet_that_is_sent(fields, expected):
    got = made(rate_kbit=8000, **fields)
    assert (got.queue.kind, got.queue.limit) == expected
    assert got.shaper.limit == got.queue.limit


@pytest.mark.parametrize(
    "fields",
    [
        {"queue_bytes": 100},
        {"queue_bytes": 5000},
        {"queue_ms": 0.1},
        {"queue_ms": 33.3},
        {"latency_ms": 50},
        {},
    ],
)
@pytest.mark.parametrize("rate", [100, 8_000, 1_000_000])
def test_as_many_bytes_wait_with_either_engine(rate, fields):
    condition = LinkCondition(rate_kbit=rate, **fields)
    assert queue_bytes(condition, FRAME) == Limit.of(condition).size


def test_long_frames_have_room_while_they_are_sent():
    assert made(mtu=9000, rate_kbit=8000, queue_bytes=5000).queue.limit == 5000 + 9014


def test_a_slow_link_still_takes_some_full_frames():
    assert queue_bytes(LinkCondition(rate_kbit=100), FRAME) == 10 * FRAME


def test_the_burst_of_a_rate_is_a_frame_and_what_a_late_clock_costs():
    assert made(rate_kbit=8).shaper.burst == 1518 + 2
    assert made(rate_kbit=1_000_000).shaper.burst == 1518 + 250_000
    assert made(rate_kbit=1_000, overhead_bytes=24).shaper.overhead == 24


def test_dice_depend_on_the_seed_the_link_and_the_turn():
    seeds = {
        made(latency_ms=1, **different).netem.seed
        for different in ({}, {"seed": 2}, {"name": "other"}, {"turn": 1})
    }
    assert len(seeds) == 4
    assert made(latency_ms=1).netem.seed == made(latency_ms=9).netem.seed
    assert made(latency_ms=1, features=ALL - {NETEM_SEED}).netem.seed is None


@pytest.mark.parametrize("distribution", JitterDistribution)
def test_tables_have_the_mean_and_the_deviation_that_they_should(distribution):
    table = entries(distribution)
    mean = sum(table) / len(table) / SCALE
    deviation = (sum((each / SCALE - mean) ** 2 for each in table) / len(table)) ** 0.5
    # the tail of a Pareto distribution ends at four deviations
    expected = {"uniform": 3**-0.5, "normal": 1, "pareto": 0.75}[str(distribution)]
    assert mean == pytest.approx(0, abs=0.03)
    assert deviation == pytest.approx(expected, rel=0.1)
    assert list(table) == sorted(table)


def test_a_table_of_ones_own_is_told_as_it_is():
    assert entries(DelayTable([-1, 0, 4])) == (-SCALE, 0, 32_767)


# ---- messages ---------------------------------------------------------------------------------


def test_all_of_netem_is_said_every_time():
    """What a message leaves out stays as it was: nothing of an earlier condition may stay."""
    always = {
        queues.TCA_NETEM_CORR,
        queues.TCA_NETEM_REORDER,
        queues.TCA_NETEM_CORRUPT,
        queues.TCA_NETEM_RATE,
        queues.TCA_NETEM_LATENCY64,
        queues.TCA_NETEM_JITTER64,
        queues.TCA_NETEM_SLOT,
    }
    for netem in (PASSING.netem, made(latency_ms=1).netem, made(loss_pct=1).netem):
        options = attributes(queues.netem(netem))[queues.TCA_OPTIONS]
        assert queues.netem_attributes(options).keys() >= always
    with_jitter = attributes(queues.netem(made(jitter_ms=1).netem))[queues.TCA_OPTIONS]
    assert queues.TCA_NETEM_DELAY_DIST in queues.netem_attributes(with_jitter)


def test_probabilities_are_32_bits():
    assert queues.chance(0) == 0
    assert queues.chance(100) == 0xFFFFFFFF
    assert queues.chance(50) == 0x80000000


def test_models_of_loss_are_told_in_the_kernels_order():
    netem = replace(PASSING.netem, loss_model=FourState(1, 2, 3, 4, 5))
    options = attributes(queues.netem(netem))[queues.TCA_OPTIONS]
    told = attributes(queues.netem_attributes(options)[queues.TCA_NETEM_LOSS])
    shares = queues.NETEM_GI.unpack(told[queues.NETEM_LOSS_GI])
    assert [round(share / 0xFFFFFFFF * 100) for share in shares] == [1, 2, 3, 5, 4]
