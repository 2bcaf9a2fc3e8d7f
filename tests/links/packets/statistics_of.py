"""Tests of hypotheses, without a library for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, sqrt
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


def chi_square_is_usual(observed: Sequence[int], expected: Sequence[float]) -> bool:
    """Whether counts are as expected, with a confidence of 99.9 % (Wilson and Hilferty 1931)."""
    value = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    freedom = len(observed) - 1
    cube = 1 - 2 / (9 * freedom) + NormalDist().inv_cdf(0.999) * sqrt(2 / (9 * freedom))
    return value < freedom * cube**3
