"""Tests that measure times, on a host that may be too slow for them: an outcome of its own.

A part of the plugin, and as light as it: what it needs is imported by the first test that is marked.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from patchbay import Lab

MARKER = "patchbay_timing"
"""The marker of such a test."""
TOO_SLOW = "host too slow"
"""The outcome of one that fails while the host did not keep time."""
LAG_MS = 5.0
"""How late its labs may wake up before they say so in their event log."""

_LIMITS = ("lag_ms", "stalled_pct", "steal_pct")
_BEGIN = pytest.StashKey[Any]()
"""What the host told of itself when the test began."""


def limits(item: object) -> dict[str, float] | None:
    """What a test allows that is marked; None for any other."""
    mark = item.get_closest_marker(MARKER) if isinstance(item, pytest.Item) else None
    if mark is None:
        return None
    if mark.args or not mark.kwargs.keys() <= set(_LIMITS):
        pytest.fail(f"{MARKER} takes {', '.join(f'{each}=' for each in _LIMITS)}", pytrace=False)
    return dict(mark.kwargs)


def begin(item: pytest.Item) -> None:
    """Note what the host is like, for a test that is marked."""
    if limits(item) is not None:
        from patchbay.fidelity import host_totals

        item.stash[_BEGIN] = host_totals()


def excuse(
    item: pytest.Item, report: pytest.TestReport, labs: Sequence[Lab], patience: float
) -> None:
    """Make another outcome of the failure of such a test, if its host was too slow to keep time.

    Args:
        item: the test.
        report: what pytest says of its failure.
        labs: those that it has used.
        patience: seconds that these have to say how late they were.
    """
    if _BEGIN not in item.stash:
        return
    from patchbay.fidelity import Fidelity, host_totals

    allowed = limits(item) or {}
    doubts = Fidelity.between(item.stash[_BEGIN], host_totals()).doubts(**allowed)
    late: list[str] = []

    def ask() -> None:
        for lab in labs:
            with contextlib.suppress(Exception):  # one that is dead is no excuse
                lag = lab.fidelity().lag_max_ms
                if lag is not None and lag > allowed.get("lag_ms", LAG_MS):
                    late.append(f"lab {lab.name} woke up {lag:.3g} ms late")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    reasons = "; ".join([*doubts, *late])
    if reasons:
        path, number, _ = item.location
        report.sections.append((TOO_SLOW, str(report.longrepr)))
        report.outcome = "skipped"
        report.longrepr = (path, (number or 0) + 1, f"Skipped: {TOO_SLOW}: {reasons}")
        report.patchbay_too_slow = reasons  # type: ignore[attr-defined]


def outcome(report: object) -> tuple[str, str, str] | None:
    """How pytest counts and shows a report of such an outcome; None for any other."""
    if getattr(report, "patchbay_too_slow", None) is None:
        return None
    return TOO_SLOW, "h", TOO_SLOW.upper()


def line(report: Any) -> str:
    """A report of such an outcome in the summary."""
    return f"{TOO_SLOW.upper()} {report.nodeid} - {report.patchbay_too_slow}"
