"""Packets are lost as often as asked for, in bursts as long as asked for, the same for a seed.

Each count is the first one of a lab of its own: how many packets `cross` sends beyond those that it
tells of depends on how busy the machine is, and the dice of what comes after them fall otherwise.
"""

from itertools import pairwise

import pytest
from statistics_of import binomial_interval
from traffic import cross, eventually

from patchbay import FourState, GilbertElliott, Lab, LinkCondition
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("engine")


def lost(laptop, server, condition, count):
    """The numbers of the datagrams of the laptop that a link loses."""
    laptop.iface("eth0").set_condition(condition, "up")
    crossing = cross(laptop, server, count, some_are_lost=True)
    assert laptop.iface("eth0").stats().up.drops.get("loss", 0) >= len(crossing.lost)
    assert crossing.numbers == sorted(set(crossing.numbers))
    return crossing.lost


@pytest.mark.parametrize(
    ("per_cent", "count"), [(0.1, 15_000), (1, 5_000), (10, 3_000), (50, 2_000)]
)
def test_as_many_packets_are_lost_as_asked_for(laptop, server, per_cent, count):
    low, high = binomial_interval(count, per_cent / 100)

    assert low <= len(lost(laptop, server, LinkCondition(loss_pct=per_cent), count)) <= high


def test_losses_come_in_bursts_of_the_mean_length(laptop, server):
    numbers = lost(laptop, server, LinkCondition(loss_pct=50, loss_burst_pkts=4), 20_000)
    bursts = 1 + sum(b - a > 1 for a, b in pairwise(numbers))

    assert len(numbers) / bursts == pytest.approx(4, rel=0.05)
    assert len(numbers) / 20_000 == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("model", "share"),
    [
        (GilbertElliott(5, 20, loss_bad_pct=60, loss_good_pct=2), 0.136),
        (FourState(p13_pct=5, p31_pct=20), 0.2),
    ],
)
def test_models_of_loss_lose_their_share(laptop, server, model, share):
    found = lost(laptop, server, LinkCondition(loss_model=model), 6_000)

    assert len(found) / 6_000 == pytest.approx(share, rel=0.2)


def test_all_is_lost_on_a_link_that_is_cut(laptop, server):
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(loss_pct=100), "up")
    mended = []

    def mend():
        if not mended:
            eventually(
                lambda: eth0.stats().up.drops.get("loss", 0) >= 50, "packets are on their way"
            )
            mended.append(eth0.set_condition(None, "up"))
            return True
        return False

    crossing = cross(laptop, server, 50, some_are_lost=True, more=mend)
    assert crossing.numbers == [50]


def has_told_its_groups(node):
    """Whether a node has reported its multicast groups, as each does a moment after its start."""
    told = node.run(["cat", "/proc/net/dev_snmp6/eth0"]).stdout.split()
    return told[told.index("Icmp6OutMLDv2Reports") + 1] != "0"


def test_the_same_seed_loses_the_same_packets(shaper):
    found = []
    for seed in (1, 1, 2):
        with Lab("seed", link_engine=shaper, seed=seed) as lab:
            with lab.batch():
                server = lab.add_device("server", lab.add_router("dc"))
                laptop = lab.add_device("laptop", lab.add_router("home"))
            if shaper == "kernel":  # its dice fall for this report as well
                wait_until(lambda laptop=laptop: has_told_its_groups(laptop))
            found.append(lost(laptop, server, LinkCondition(loss_pct=20), 300))

    assert found[0] == found[1] != found[2]
