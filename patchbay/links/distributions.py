"""Distributions of delays as tables of quantiles, in the form that netem takes them."""

from __future__ import annotations

import functools
import math

from patchbay.values import DelayTable, JitterDistribution

SCALE = 8192
"""Entries of a table are this for one standard deviation (NETEM_DIST_SCALE)."""

_ENTRIES = 4096
"""Entries of a table, as those that iproute2 ships have."""

_PARETO_SHAPE = 3.0
"""The exponent of iproute2's table `pareto`: the least with a standard deviation to speak of."""


def entries(distribution: JitterDistribution | DelayTable) -> tuple[int, ...]:
    """A table of quantiles, each for the same share of packets."""
    if isinstance(distribution, DelayTable):
        return tuple(_entry(each) for each in distribution.deviations)
    return _table(distribution)


@functools.cache
def _table(distribution: JitterDistribution) -> tuple[int, ...]:
    shares = [(index + 0.5) / _ENTRIES for index in range(_ENTRIES)]
    match distribution:
        case JitterDistribution.UNIFORM:
            return tuple(_entry(2 * share - 1) for share in shares)
        case JitterDistribution.NORMAL:
            from statistics import NormalDist  # loaded by those who ask for one

            normal = NormalDist()
            return tuple(_entry(normal.inv_cdf(share)) for share in shares)
        case JitterDistribution.PARETO:
            return tuple(_entry(_pareto(share)) for share in shares)


def _pareto(share: float) -> float:
    """A quantile of the Pareto distribution with a mean of 0 and a standard deviation of 1."""
    shape = _PARETO_SHAPE
    mean = shape / (shape - 1)
    deviation = math.sqrt(shape / (shape - 2)) / (shape - 1)
    return (math.pow(1 - share, -1 / shape) - mean) / deviation


def _entry(deviation: float) -> int:
    return max(-32_768, min(32_767, round(deviation * SCALE)))
