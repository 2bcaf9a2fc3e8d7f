"""How long each packet takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from statistics import NormalDist

from patchbay.values import DelayTable, JitterDistribution, LinkCondition

MILLISECOND = 1_000_000
"""Nanoseconds."""

FARTHEST = 4.0
"""Standard deviations that a delay is from the latency at most, as in the tables of netem."""

_NORMAL = NormalDist()
_PARETO_SHAPE = 3.0
"""Of the table `pareto` of iproute2: finite mean 1.5 and variance 0.75, for a scale of 1."""
_PARETO_MEAN = _PARETO_SHAPE / (_PARETO_SHAPE - 1)
_PARETO_DEVIATION = math.sqrt(_PARETO_SHAPE / ((_PARETO_SHAPE - 1) ** 2 * (_PARETO_SHAPE - 2)))


def deviation(distribution: JitterDistribution | DelayTable, share: float) -> float:
    """The quantile of a distribution: below it is a share, between 0 and 1, of all deviations.

    A deviation is what `jitter_ms` is multiplied with: from -1 to 1 for the uniform distribution,
    of mean 0 and standard deviation 1 for others.
    """
    if isinstance(distribution, DelayTable):
        table = sorted(distribution.deviations)
        return table[min(int(share * len(table)), len(table) - 1)]
    match distribution:
        case JitterDistribution.UNIFORM:
            return 2 * share - 1
        case JitterDistribution.NORMAL:
            value = _NORMAL.inv_cdf(min(max(share, 1e-9), 1 - 1e-9))
        case JitterDistribution.PARETO:
            tail = max(1 - share, 1e-9)
            value = (tail ** (-1 / _PARETO_SHAPE) - _PARETO_MEAN) / _PARETO_DEVIATION
    return max(-FARTHEST, min(FARTHEST, value))


def delays(condition: LinkCondition, random: Random) -> Callable[[], int] | None:
    """What draws the delay of the next packet in nanoseconds; None if all are the same."""
    if condition.jitter_ms == 0:
        return None
    latency, jitter = condition.latency_ms * MILLISECOND, condition.jitter_ms * MILLISECOND
    draw = _deviations(condition, random)
    return lambda: max(0, round(latency + jitter * draw()))


def _deviations(condition: LinkCondition, random: Random) -> Callable[[], float]:
    distribution = condition.jitter_distribution
    if isinstance(distribution, DelayTable):
        # sorted once; a quantile of it is then one look into it
        distribution = DelayTable(sorted(distribution.deviations))
        table, count = distribution.deviations, len(distribution.deviations)
    if condition.jitter_correlation_pct:
        draw_share = _correlated(condition.jitter_correlation_pct / 100, random)
        if isinstance(distribution, DelayTable):
            return lambda: table[min(int(draw_share() * count), count - 1)]
        named = distribution
        return lambda: deviation(named, draw_share())
    uniform = random.random
    if isinstance(distribution, DelayTable):
        return lambda: table[int(uniform() * count)]
    match distribution:
        case JitterDistribution.UNIFORM:
            return lambda: 2 * uniform() - 1
        case JitterDistribution.NORMAL:
            gauss = random.gauss
            return lambda: max(-FARTHEST, min(FARTHEST, gauss()))
        case _:
            named = distribution
            return lambda: deviation(named, uniform())


def _correlated(correlation: float, random: Random) -> Callable[[], float]:
    """Shares that depend on the ones before, and yet are spread evenly over 0 to 1.

    A Gaussian process of first order, seen through its own distribution function: the correlation
    does not narrow the distribution of delays.
    """
    fresh = math.sqrt(1 - correlation * correlation)
    state = random.gauss()

    def draw() -> float:
        nonlocal state
        state = correlation * state + fresh * random.gauss()
        return _NORMAL.cdf(state)

    return draw
