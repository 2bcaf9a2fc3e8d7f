"""Whether timing could be trusted: what the host did meanwhile, and how late a lab woke up.

All that is kept are totals, which only grow. What happened between two moments is the difference
of theirs: nothing is sampled for it, and a lab that runs for weeks holds no more than a new one.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

BUCKETS = 80
"""Classes of lateness; each is wider than the one before by the fourth root of two."""
_FIRST_MS = 0.05
_WIDER = 2 ** (1 / 4)

LAG_MS, STALLED_PCT, STEAL_PCT = 5.0, 20.0, 2.0
"""What `Fidelity.doubts` finds too much, if it is not told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What there was until a moment.

    Attributes:
        moment: seconds of the monotonic clock.
        busy, idle, stolen: CPU time of the host since it was started, in clock ticks: used, not
            used, and taken by whoever runs this machine as a virtual one.
        stalled: microseconds in which something on the host waited for a CPU; None if its kernel
            does not tell.
        lags: how often a lab woke up late, by class.
        late: packets that left links with a condition more than 1 ms late.
    """

    moment: float
    busy: int
    idle: int
    stolen: int
    stalled: int | None
    lags: tuple[int, ...] = ()
    late: int = 0

    @property
    def ticks(self) -> tuple[int, int, int]:
        """CPU time that was busy, idle and stolen."""
        return self.busy, self.idle, self.stolen


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How well a host kept time. True if there is no reason to doubt it.

    Attributes:
        seconds: how long it was looked at.
        idle_pct: CPU time of the host that nobody used, in percent.
        steal_pct: CPU time that the host did not get, as whoever runs it as a virtual machine gave
            it to others, in percent.
        stalled_pct: the part of the time in which something on the host had to wait for a CPU, in
            percent; None if its kernel does not tell (`/proc/pressure/cpu`).
        wakeups: how often it was measured how late the lab woke up: four times in a second, in a
            lab with `max_lag_ms`.
        lag_p50_ms, lag_p99_ms, lag_max_ms: how late that was, in milliseconds, to 20 %; None if it
            was not measured.
        late_packets: how many packets left links more than 1 ms later than their condition says;
            of links that a process of the lab makes, as the kernel does not tell.
    """

    seconds: float
    idle_pct: float
    steal_pct: float
    stalled_pct: float | None
    wakeups: int
    lag_p50_ms: float | None
    lag_p99_ms: float | None
    lag_max_ms: float | None
    late_packets: int
    totals: Totals

    def __bool__(self) -> bool:
        return not self.doubts()

    def doubts(
        self,
        *,
        lag_ms: float = LAG_MS,
        stalled_pct: float = STALLED_PCT,
        steal_pct: float = STEAL_PCT,
    ) -> tuple[str, ...]:
        """The reasons not to trust times that were measured meanwhile, in words; none if all is well.

        Args:
            lag_ms: how late the lab may have woken up.
            stalled_pct: the part of the time in which something may have waited for a CPU.
            steal_pct: the part of the CPU time that the host may have been without.
        """
        found = []
        if self.lag_max_ms is not None and self.lag_max_ms > lag_ms:
            found.append(f"the lab woke up {self.lag_max_ms:.3g} ms late")
        if self.stalled_pct is not None and self.stalled_pct > stalled_pct:
            found.append(f"something waited for a CPU for {self.stalled_pct:.3g} % of the time")
        if self.steal_pct > steal_pct:
            found.append(f"{self.steal_pct:.3g} % of the CPU time went to other machines")
        if self.late_packets:
            found.append(f"{self.late_packets} packets left links more than 1 ms late")
        return tuple(found)

    @classmethod
    def between(cls, before: Totals, after: Totals) -> Fidelity:
        """What happened between two moments."""
        seconds = after.moment - before.moment
        # the kernel takes back a tick of waiting for a disk now and then: proc_stat(5), iowait
        busy, idle, stolen = (
            max(0, now - then) for now, then in zip(after.ticks, before.ticks, strict=True)
        )
        ticks = busy + idle + stolen
        stalled = None
        if before.stalled is not None and after.stalled is not None and seconds > 0:
            stalled = min(100.0, (after.stalled - before.stalled) / seconds / 1e4)
        earlier = before.lags or (0,) * len(after.lags)
        lags = [late - known for late, known in zip(after.lags, earlier, strict=True)]
        return cls(
            seconds=seconds,
            idle_pct=100.0 * idle / ticks if ticks > 0 else 100.0,
            steal_pct=100.0 * stolen / ticks if ticks > 0 else 0.0,
            stalled_pct=stalled,
            wakeups=sum(lags),
            lag_p50_ms=_quantile(lags, 0.5),
            lag_p99_ms=_quantile(lags, 0.99),
            lag_max_ms=_quantile(lags, 1.0),
            late_packets=max(0, after.late - before.late),
            totals=after,
        )


def host_totals(lags: tuple[int, ...] = ()) -> Totals:
    """What the host tells of itself now."""
    with open("/proc/stat") as file:
        busy, idle, stolen = cpu_ticks(file.read())
    try:
        with open("/proc/pressure/cpu") as file:
            stalled = stalled_microseconds(file.read())
    except OSError:  # the kernel has it not, or not for us
        stalled = None
    return Totals(
        moment=time.monotonic(), busy=busy, idle=idle, stolen=stolen, stalled=stalled, lags=lags
    )


def lag_class(seconds: float) -> int:
    """The class that a lateness belongs to."""
    late = seconds * 1000
    if late <= _FIRST_MS:
        return 0
    return min(BUCKETS - 1, math.ceil(math.log(late / _FIRST_MS, _WIDER)))


def _quantile(lags: list[int], part: float) -> float | None:
    """The lateness, in milliseconds, that a part of them did not exceed; None without any."""
    wanted = max(1, math.ceil(sum(lags) * part))
    passed = 0
    for index, count in enumerate(lags):
        passed += count
        if passed >= wanted:
            return _FIRST_MS * _WIDER**index
    return None


def cpu_ticks(stat: str) -> tuple[int, int, int]:
    """Ticks that were busy, idle and stolen, from the text of /proc/stat (proc_stat(5))."""
    user, nice, system, idle, waiting, interrupt, soft, stolen, *_ = map(
        int, stat.split("\n", 1)[0].split()[1:]
    )
    return user + nice + system + interrupt + soft, idle + waiting, stolen


def stalled_microseconds(pressure: str) -> int | None:
    """Microseconds in which something waited, from the text of /proc/pressure/cpu."""
    for line in pressure.splitlines():
        kind, *fields = line.split()
        if kind == "some":
            return int(dict(field.split("=") for field in fields)["total"])
    return None
