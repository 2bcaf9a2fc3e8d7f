"""What netem does to packets is what was asked for; in a guest, where the kernel has none."""

import time
from math import inf, sqrt
from statistics import fmean, median

import pytest
from measuring import flow

from patchbay import Lab, LinkCondition, LinkEngine, RegionLink, clock

pytestmark = pytest.mark.usefixtures("netem")

LATE = 0.05 if clock.is_virtual() else inf
"""Milliseconds that the machine may add to a delay; a busy one any number, none takes from it."""

exact = pytest.mark.skipif(not clock.is_virtual(), reason="needs a clock that is never late")


@pytest.fixture
def net():
    """A lab with the same dice every time; nodes know their routers without asking (ARP)."""
    with Lab("netem", seed=7) as lab:
        lab.add_device("server", lab.add_router("dc"))
        lab.add_device("laptop", lab.add_router("home"))
        yield lab


def met(net, condition, count, **options):
    """What arrives at the server of datagrams that the laptop sends over a link."""
    laptop = net.device("laptop")
    laptop.iface("eth0").set_condition(condition, "up", engine="kernel")
    return flow(laptop, net.device("server"), count, **options)


def share(part, whole, expected):
    """Whether a share is what is expected, but for one time in a thousand."""
    spread = 3.3 * sqrt(expected * (1 - expected) / whole)
    return abs(part / whole - expected) <= spread


def test_every_packet_takes_its_time(net):
    arrived = met(net, LinkCondition(latency_ms=50), 200)

    assert arrived.numbers == list(range(200))
    assert min(arrived.delays) >= 50
    assert median(arrived.delays) < 50 + LATE


def test_each_direction_has_its_own_time(net):
    laptop, server = net.device("laptop"), net.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=20), "up")
    eth0.set_condition(LinkCondition(latency_ms=30), "down")

    assert eth0.engine("up").engine is LinkEngine.KERNEL
    there, back = flow(laptop, server, 30), flow(server, laptop, 30)
    assert 20 <= median(there.delays) < 20 + LATE
    assert 30 <= median(back.delays) < 30 + LATE
    rtts = laptop.ping(server, 5).rtts_ms
    assert 50 <= median(rtts) < 50 + LATE
    eth0.set_condition(None)
    assert min(flow(laptop, server, 30).delays) < 20


@pytest.mark.parametrize("per_cent", [1, 10, 50])
def test_as_many_packets_are_lost_as_asked_for(net, per_cent):
    arrived = met(net, LinkCondition(loss_pct=per_cent), 2_000, gap=0.0005)

    assert share(2_000 - len(arrived.numbers), 2_000, per_cent / 100)


def test_losses_come_in_bursts_of_the_mean_length(net):
    arrived = met(net, LinkCondition(loss_pct=20, loss_burst_pkts=4), 4_000, gap=0.0005)

    there = set(arrived.numbers)
    lost = [number for number in range(4_000) if number not in there]
    bursts = [number for number in lost if number - 1 in there or number == 0]
    assert len(lost) / 4_000 == pytest.approx(0.2, abs=0.05)
    assert len(lost) / len(bursts) == pytest.approx(4, rel=0.25)


def test_all_is_lost_on_a_link_that_is_cut(net):
    assert met(net, LinkCondition(loss_pct=100), 50).numbers == []


def test_packets_come_twice_or_broken_as_often_as_asked_for(net):
    twice = met(net, LinkCondition(duplicate_pct=20), 1_000)
    assert share(len(twice.numbers) - len(set(twice.numbers)), 1_000, 0.2)
    # what is broken is thrown away by the receiver, whose checksum does not fit
    broken = met(net, LinkCondition(corrupt_pct=20), 1_000)
    assert share(1_000 - len(broken.numbers), 1_000, 0.2)


def test_jitter_lets_no_packet_overtake_unless_asked(net):
    jitter = {"latency_ms": 40, "jitter_ms": 10}

    kept = met(net, LinkCondition(**jitter), 400)
    assert kept.numbers == list(range(400))
    assert min(kept.delays) >= 30
    loose = met(net, LinkCondition(**jitter, jitter_reorders=True), 400)
    assert loose.numbers != sorted(loose.numbers)
    assert sorted(loose.numbers) == list(range(400))
    assert 30 <= min(loose.delays) < 34


@exact
@pytest.mark.parametrize(
    ("distribution", "below"), [("uniform", 0.5), ("normal", 0.5), ("pareto", 1 - 1.5**-3)]
)
def test_delays_are_spread_as_asked_for(net, distribution, below):
    condition = LinkCondition(
        latency_ms=60, jitter_ms=10, jitter_distribution=distribution, jitter_reorders=True
    )
    arrived = met(net, condition, 1_500)

    assert fmean(arrived.delays) == pytest.approx(60, abs=1)
    spread = sqrt(fmean((each - fmean(arrived.delays)) ** 2 for each in arrived.delays))
    # the table ends at four deviations, which cuts the tail of a Pareto distribution
    expected = {"uniform": 10 / sqrt(3), "normal": 10, "pareto": 7.5}[distribution]
    assert spread == pytest.approx(expected, rel=0.12)
    shorter = sum(each < 60 for each in arrived.delays)
    assert share(shorter, 1_500, below)


def test_some_packets_overtake_others(net):
    arrived = met(net, LinkCondition(latency_ms=30, reorder_pct=25), 800, gap=0.002)

    assert sorted(arrived.numbers) == list(range(800))
    early = sum(each < 15 for each in arrived.delays)
    assert share(early, 800, 0.25)


def test_no_packet_is_lost_or_overtaken_by_changes(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=40, rate_kbit=100_000), "up")

    def change(sending):
        for number in range(200):
            latency = (5, 60, 20, 1)[number % 4]
            eth0.set_condition(LinkCondition(latency_ms=latency, rate_kbit=100_000), "up")
        while not sending.done():
            eth0.set_condition(LinkCondition(latency_ms=10, jitter_ms=5), "up")
            eth0.set_condition(None, "up")
            time.sleep(0.002)  # in virtual time nothing is sent while this one is busy

    arrived = flow(laptop, net.device("server"), 2_000, during=change, quiet=3.0)
    assert arrived.numbers == list(range(2_000))


@pytest.mark.parametrize("preset", ["wifi_bad", "mobile_3g", "starlink"])
def test_presets_take_the_time_they_say(net, preset):
    laptop, server = net.device("laptop"), net.device("server")
    laptop.iface("eth0").set_condition(preset, "up")

    expected = LinkCondition.PRESETS[preset]
    rtts = laptop.ping(server, 20, interval=0.05, timeout=3).rtts_ms
    assert len(rtts) >= 15
    assert min(rtts) >= expected.latency_ms - expected.jitter_ms
    assert median(rtts) < expected.latency_ms + expected.jitter_ms + LATE


@exact
def test_a_rate_and_a_delay_are_one_link(net):
    """A full queue adds its own time, and no more."""
    condition = LinkCondition(latency_ms=20, rate_kbit=5_000, queue_ms=100)
    arrived = met(net, condition, 400, size=1_000, gap=0.0005, quiet=2.0)

    frame = 1_000 + 8 + 20 + 14
    assert len(arrived.numbers) < 400
    seconds = arrived.times[-1] - arrived.times[0]
    rate = (len(arrived.times) - 1) * frame * 8 / 1000 / seconds
    assert rate == pytest.approx(5_000, rel=0.01)
    assert 110 < max(arrived.delays) < 120 + LATE


def test_regions_are_as_far_away_as_their_links_say():
    with Lab("far", seed=1) as lab:
        lab.add_region("eu")
        lab.add_region("us")
        lab.link_regions("eu", "us", RegionLink.good(40))
        here = lab.add_device("here", lab.add_router("paris", region="eu"))
        there = lab.add_device("there", lab.add_router("york", region="us"))

        rtts = here.ping(there, 5).rtts_ms
        assert 80 <= median(rtts) < 80 + LATE
