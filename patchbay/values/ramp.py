"""What is between two conditions: for links that change little by little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from patchbay.errors import ConfigError, Problem
from patchbay.values.link import LinkCondition
from patchbay.values.parsing import is_int

_NUMBERS = (
    *("latency_ms", "jitter_ms", "jitter_correlation_pct", "rate_kbit"),
    *("loss_pct", "loss_burst_pkts", "reorder_pct", "duplicate_pct", "corrupt_pct"),
    *("queue_pkts", "queue_bytes", "queue_ms"),
)
"""What changes little by little, where both ends have a number."""


def check_ends(begin: LinkCondition, end: LinkCondition) -> None:
    """See that there is something between two conditions.

    Raises:
        ConfigError: there is not.
    """
    if (begin.rate_kbit is None) != (end.rate_kbit is None):
        without = "what it begins with" if begin.rate_kbit is None else "what it leads to"
        message = f"{without} has no rate_kbit: no rate is between one and none; give it one too"
        raise ConfigError(Problem("rate_kbit", message))


def between(begin: LinkCondition, end: LinkCondition, part: float) -> LinkCondition:
    """Return the condition that is a part of the way from one to another.

    Numbers are as far between those of both; what is no number, or one at one end only, is that of
    the second condition.

    Args:
        begin: what it is for 0.
        end: what it is for 1.
        part: from 0 to 1.

    Raises:
        ConfigError: no condition is there, since bursts of loss cannot be that short.
    """
    if part <= 0:
        return begin
    if part >= 1:
        return end
    numbers: dict[str, Any] = {}
    for name in _NUMBERS:
        one, other = getattr(begin, name), getattr(end, name)
        if one is None or other is None or one == other:
            continue
        value = one + (other - one) * part
        whole = name.startswith("queue_") and is_int(one) and is_int(other)
        numbers[name] = round(value) if whole else value
    if end.loss_model is not None:
        numbers.pop("loss_pct", None)
        numbers.pop("loss_burst_pkts", None)
    return replace(end, **numbers)
