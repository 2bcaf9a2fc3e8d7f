"""Tests of hypotheses, without a library for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import erfc, exp, sqrt
from statistics import NormalDist


def binomial_interval(count: int, share: float, confidence: float = 0.999) -> tuple[float, float]:
    """Where the number of hits lies, with this confidence (normal approximation)."""
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(count * share * (1 - share)) + 0.5
    return count * share - reach, count * share + reach


def kolmogorov_smirnov(samples: Sequence[float], distribution: Callable[[float], float]) -> float:
    """How probable so large a distance from a distribution is, if the samples come from it."""
    ordered, count = sorted(samples), len(samples)
    distance = max(
        max(
            abs((index + 1) / count - distribution(value)), abs(distribution(value) - index / count)
        )
        for index, value in enumerate(ordered)
    )
    reach = (sqrt(count) + 0.12 + 0.11 / sqrt(count)) * distance
    terms = (2 * (-1) ** (k - 1) * exp(-2 * k * k * reach * reach) for k in range(1, 101))
    return min(1.0, max(0.0, sum(terms)))


def _uniform(value: float) -> float:
    return min(1.0, max(0.0, (value + 1) / 2))


def _normal(value: float) -> float:
    """Tables end at four deviations."""
    return NormalDist().cdf(value) if value < 4 else 1.0


def _pareto(value: float) -> float:
    """Of the table of iproute2: finite mean and variance, and no value beyond four deviations."""
    scaled = value * 0.75**0.5 + 1.5
    return 0.0 if scaled < 1 else 1.0 if value >= 4 else 1 - scaled**-3


JITTERS = {"uniform": _uniform, "normal": _normal, "pareto": _pareto}
"""Distributions of jitter, in units of the jitter."""


def spread_as_asked(deviations: Sequence[float], distribution: str) -> float:
    """How probable delays are, as deviations in units of the jitter (Kolmogorov and Smirnov).

    Where a table ends, all values beyond it are one: these are left out.
    """
    of = JITTERS[distribution]
    within = [each for each in deviations if each < 3.99]
    return kolmogorov_smirnov(within, lambda value: of(value) / of(3.99))


def chance_of_so_many(hits: int, count: int, share: float) -> float:
    """How probable a number is that is as far from the expected one (chi-square, one freedom)."""
    far = abs(hits - count * share) / sqrt(count * share * (1 - share))
    return erfc(far / sqrt(2))


def chi_square_is_usual(observed: Sequence[int], expected: Sequence[float]) -> bool:
    """Whether counts are as expected, with a confidence of 99.9 % (Wilson and Hilferty 1931)."""
    value = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    freedom = len(observed) - 1
    cube = 1 - 2 / (9 * freedom) + NormalDist().inv_cdf(0.999) * sqrt(2 / (9 * freedom))
    return value < freedom * cube**3
