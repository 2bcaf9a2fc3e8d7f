"""What a condition is said to be is what its engine has: set, read back, and changed by others."""

import pytest

from patchbay import FourState, GilbertElliott, LinkCondition, Slots

ONLY_KERNEL = pytest.mark.parametrize("shaper", ["kernel"], scope="module")
"""Nobody else can change what a process does."""

EVERYTHING = [
    LinkCondition(latency_ms=12.345678),
    LinkCondition(latency_ms=30, jitter_ms=7.5, jitter_distribution="pareto"),
    LinkCondition(latency_ms=30, jitter_ms=7.5, jitter_reorders=True),
    LinkCondition(loss_pct=0.1),
    LinkCondition(loss_pct=5, loss_burst_pkts=4),
    LinkCondition(loss_model=GilbertElliott(1, 20, 90, 0.5)),
    LinkCondition(loss_model=FourState(2, 30, 40, 50, 6)),
    LinkCondition(latency_ms=5, reorder_pct=33.3),
    LinkCondition(duplicate_pct=100 / 3, corrupt_pct=2 / 3),
    LinkCondition(rate_kbit=1_234.567, overhead_bytes=24),
    LinkCondition(rate_kbit=40_000_000, queue_bytes=123_456),
    LinkCondition(rate_kbit=800, queue_pkts=9),
    LinkCondition(rate_kbit=800, queue_ms=77.7),
    LinkCondition(rate_kbit=800, queue_discipline="codel", ecn=True),
    LinkCondition(rate_kbit=800, queue_discipline="fq_codel", queue_pkts=66),
    LinkCondition(latency_ms=1, slots=Slots(interval_ms=2, interval_max_ms=3, max_packets=4)),
    LinkCondition(latency_ms=1, slots=Slots(interval_ms=0, interval_max_ms=3, max_bytes=9_000)),
]


@pytest.mark.usefixtures("engine")
def test_every_condition_is_read_back_as_it_was_set(lasting):
    eth0 = lasting.device("laptop").iface("eth0")
    for condition in EVERYTHING:
        eth0.set_condition(condition, "up")
        eth0.set_condition(condition, "down")
        assert (eth0.condition("up"), eth0.condition("down")) == (condition, condition)
        assert eth0.flows("up") == {}
    eth0.set_condition(None)
    assert (eth0.condition("up"), eth0.condition("down")) == (None, None)


@pytest.mark.usefixtures("engine")
def test_a_downlink_is_read_back(lasting):
    dc = lasting.router("dc")
    dc.set_downlink_condition("wifi_bad")
    assert dc.downlink_condition == LinkCondition.WIFI_BAD
    dc.set_downlink_condition(None)
    assert dc.downlink_condition is None


@ONLY_KERNEL
@pytest.mark.usefixtures("net")
def test_what_somebody_else_does_to_a_rate_is_seen(laptop):
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(rate_kbit=8_000, queue_bytes=100_000), "up")
    change = "rate 4mbit burst 20kb limit 51514"  # with the frame that is being sent
    laptop.run(
        ["tc", "qdisc", "change", "dev", "eth0", *_shaper(laptop), *change.split()], check=True
    )

    assert eth0.condition("up") == LinkCondition(rate_kbit=4_000, queue_bytes=50_000)
    laptop.run(["tc", "qdisc", "del", "dev", "eth0", "root"], check=True)
    assert eth0.condition("up") is None
    eth0.set_condition(LinkCondition(rate_kbit=8_000), "up")
    assert eth0.condition("up") == LinkCondition(rate_kbit=8_000)


def _shaper(node):
    """The words that name the discipline that makes a rate."""
    told = node.run(["tc", "qdisc", "show", "dev", "eth0"], capture_output=True, text=True).stdout
    (words,) = (line.split() for line in told.splitlines() if line.startswith("qdisc tbf 3:"))
    return ["parent", words[words.index("parent") + 1], "handle", "3:", "tbf"]


@ONLY_KERNEL
@pytest.mark.usefixtures("net", "engine")
def test_what_somebody_else_does_to_anything_is_seen(laptop):
    eth0 = laptop.iface("eth0")
    loss = [
        "root",
        "netem",
        "delay",
        "100ms",
        "10ms",
        "loss",
        "1.5%",
        "duplicate",
        "2%",
        "rate",
        "5mbit",
    ]
    laptop.run(["tc", "qdisc", "add", "dev", "eth0", *loss], check=True)
    seen = eth0.condition("up")

    assert (seen.latency_ms, seen.jitter_ms, seen.loss_pct) == (100, 10, 1.5)
    assert (seen.duplicate_pct, seen.rate_kbit) == (2, 5_000)
    assert eth0.condition("down") is None
