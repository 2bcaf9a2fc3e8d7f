"""A condition that changes under traffic loses no packet, and lets none overtake another."""

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from threading import Event

import pytest
from traffic import cross, run_dry

from patchbay import LinkCondition

CHANGES = 200
KNOWN_QUEUE = {"queue_ms": 500}

RATES = [LinkCondition(rate_kbit=kbit, **KNOWN_QUEUE) for kbit in (20_000, 5_000, 100_000)]

DELAYS = [
    LinkCondition(latency_ms=20),
    LinkCondition(latency_ms=1, jitter_ms=1),
    None,
    LinkCondition(latency_ms=5, rate_kbit=50_000, **KNOWN_QUEUE),
]


@pytest.fixture
def net(lasting):
    eth0 = lasting.device("laptop").iface("eth0")
    yield lasting
    run_dry(eth0)
    eth0.set_condition(None)


def unharmed(net, source, target, conditions, direction):
    """Change the link of the laptop again and again, while packets are on their way."""
    eth0 = net.device("laptop").iface("eth0")
    done = Event()
    eth0.set_condition(conditions[0], direction)
    with ThreadPoolExecutor(1) as pool:
        crossing = pool.submit(
            cross, source, target, 100, gap=0.0005, more=lambda: not done.wait(0.0005)
        )
        try:
            for _, condition in zip(range(CHANGES), cycle(conditions), strict=False):
                eth0.set_condition(condition, direction)
        finally:
            done.set()
        assert crossing.result().in_order


@pytest.mark.parametrize("direction", ["up", "down"])
def test_changes_of_a_rate(net, laptop, server, direction):
    ends = (laptop, server) if direction == "up" else (server, laptop)
    unharmed(net, *ends, RATES, direction)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("direction", ["up", "down"])
def test_changes_of_everything(net, laptop, server, direction):
    ends = (laptop, server) if direction == "up" else (server, laptop)
    unharmed(net, *ends, DELAYS, direction)
