"""How the delays of packets are spread around their mean, and how packets come in bursts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.values.parsing import MS_MAX, NamedEnum, check_number, is_int, is_number

_TABLE_MAX = 16_384
"""Entries of a table that netem takes (NETEM_DIST_MAX)."""
_TABLE_USUAL = 4096
"""Entries of the tables that iproute2 ships."""
_DEVIATION_MAX = 4.0
"""Deviations that fit into an entry of netem's: 16 bits, 8192 for 1 (NETEM_DIST_SCALE)."""


class JitterDistribution(NamedEnum):
    """How delays are spread around the latency; the names are those of tc-netem(8)."""

    UNIFORM = "uniform"
    """Evenly, from `latency_ms - jitter_ms` to `latency_ms + jitter_ms`."""
    NORMAL = "normal"
    """As a Gaussian curve whose standard deviation is `jitter_ms`."""
    PARETO = "pareto"
    """Mostly a little below the latency, at times far above; `jitter_ms` is the deviation."""


@dataclass(frozen=True, slots=True, init=False)
class DelayTable:
    """A distribution of delays of one's own, as the table of its quantiles.

    The delay of a packet is `latency_ms + jitter_ms * deviation`, with a deviation that is drawn
    from the table, each with the same probability.

    Attributes:
        deviations: from -4 to 4; at most 16,384 of them.
    """

    deviations: tuple[float, ...]

    def __init__(self, deviations: Iterable[float]) -> None:
        """Take the deviations as they are.

        Raises:
            ConfigError: there are none or too many, or one of them is none from -4 to 4.
        """
        values = tuple(deviations)
        object.__setattr__(self, "deviations", values)
        problems = Problems()
        if not 1 <= len(values) <= _TABLE_MAX:
            problems.add("deviations", f"{len(values)} entries are not 1 to {_TABLE_MAX}")
        for index, value in enumerate(values):
            if not is_number(value) or abs(value) > _DEVIATION_MAX:
                problems.add(f"deviations[{index}]", f"{value!r} is not a number from -4 to 4")
        problems.check()

    @classmethod
    def of_samples(cls, samples: Iterable[float]) -> tuple[DelayTable, float, float]:
        """Make a table of delays that were measured.

        Returns:
            The table, the mean and the standard deviation: what to give as
            `jitter_distribution`, `latency_ms` and `jitter_ms`, in the unit of the samples. What
            is further than four standard deviations from the mean is moved to there.

        Raises:
            ConfigError: there are no samples, or one is no number.
        """
        from statistics import fmean, pstdev  # loaded by those who make a table

        given = list(samples)
        if not given or not all(map(is_number, given)):
            raise ConfigError(Problem("samples", "a table is made of at least one delay"))
        values = sorted(given)
        mean, deviation = fmean(values), pstdev(values)
        count = min(len(values), _TABLE_USUAL)
        chosen = [values[(2 * index + 1) * len(values) // (2 * count)] for index in range(count)]
        far = _DEVIATION_MAX
        return (
            cls(max(-far, min(far, (each - mean) / (deviation or 1))) for each in chosen),
            mean,
            deviation,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Packets come in bursts: they wait for the next slot, and all in it go together.

    That is how Wi-Fi aggregates frames and how cellular networks schedule their cells.

    Attributes:
        interval_ms: time between two slots.
        interval_max_ms: if given, each time is drawn evenly from `interval_ms` to this.
        max_packets: packets that fit into a slot; None for any number.
        max_bytes: bytes that fit into a slot; None for any number.
    """

    interval_ms: float
    interval_max_ms: float | None = None
    max_packets: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        problems = Problems()
        check_number(problems, "interval_ms", self.interval_ms, 0, MS_MAX, "milliseconds")
        least, most = self.interval_ms, self.interval_max_ms
        if most is None:
            if self.interval_ms == 0:
                problems.add("interval_ms", "slots without a time between them are none")
        elif not is_number(most) or not 0 < most <= MS_MAX or not (problems or least <= most):
            message = f"{most!r} is not a number of milliseconds from interval_ms to {MS_MAX:g}"
            problems.add("interval_max_ms", message)
        for name in ("max_packets", "max_bytes"):
            value = getattr(self, name)
            if value is not None and not (is_int(value) and 1 <= value < 2**31):
                problems.add(name, f"{value!r} is not a whole number from 1 on")
        problems.check()
