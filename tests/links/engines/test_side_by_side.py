"""Both engines in one lab: what they do to packets cannot be told apart."""

import pytest
from statistics_of import chi_square_is_usual
from traffic import HEADERS, cross, said

from patchbay import Lab, LinkCondition, clock

pytestmark = pytest.mark.netem

ENGINES = ("kernel", "user")


@pytest.fixture
def pairs(nothing_left_behind):
    """A laptop for each engine, and the server of both."""
    with Lab("both", seed=7) as lab:
        with lab.batch():
            server = lab.add_device("server", lab.add_router("dc"))
            home = lab.add_router("home")
            laptops = {name: lab.add_device(name, home) for name in ENGINES}
        yield laptops, server


def both(pairs, condition, *args, **options):
    laptops, server = pairs
    found = {}
    for name, laptop in laptops.items():
        laptop.iface("eth0").set_condition(condition, "up", engine=name)
        found[name] = cross(laptop, server, *args, **options)
    return found


@pytest.mark.exact
def test_jitter_is_the_same(pairs):
    condition = LinkCondition(latency_ms=50, jitter_ms=10, jitter_distribution="normal")
    found = both(pairs, condition, 800, gap=0.03)
    below = (40, 45, 48, 50, 52, 55, 60, 1e9)
    counts = {
        name: [
            sum(low <= each < high for each in crossing.delays)
            for low, high in zip((0, *below), below, strict=False)
        ]
        for name, crossing in found.items()
    }

    # two samples of one size: the chance of either is one half, whatever they are samples of
    sums = [a + b for a, b in zip(*counts.values(), strict=True)]
    assert chi_square_is_usual(
        [each for count in counts.values() for each in count], [each / 2 for each in sums * 2]
    )


def test_a_rate_and_its_queue_are_the_same(pairs):
    condition = LinkCondition(latency_ms=5, rate_kbit=1_000, queue_bytes=20 * (500 + HEADERS))
    laptops, _ = pairs
    said_before = {name: said(laptop) for name, laptop in laptops.items()}
    found = both(pairs, condition, 60, size=500, window=60, some_are_lost=True)
    kept = {name: len(crossing.numbers) for name, crossing in found.items()}

    # the kernel lets a full frame and 2 ms of the rate pass at once, which make room for others,
    # and has as much more room as the packet that is being sent lacks of a full frame
    for name, laptop in laptops.items():
        assert kept[name] >= 21 - (said(laptop) - said_before[name])
    assert not clock.is_virtual() or abs(kept["kernel"] - kept["user"]) <= 4


def test_loss_is_the_same(pairs):
    found = both(pairs, LinkCondition(loss_pct=30), 2_000, some_are_lost=True)
    lost = [len(crossing.lost) for crossing in found.values()]

    assert chi_square_is_usual(
        [*lost, *(2_000 - each for each in lost)],
        [sum(lost) / 2] * 2 + [2_000 - sum(lost) / 2] * 2,
    )
