"""When a link can deliver packets: single opportunities, as in the recordings of Mahimahi."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from patchbay.errors import ConfigError, Problem, Problems

OPPORTUNITY_BYTES = 1504
"""Bytes of one opportunity: an IP packet of 1,500, and the 4 of a TUN device's header that Mahimahi
counts with each (`PACKET_SIZE` in its link_queue.hh)."""

PACKET_OVERHEAD = -10
"""What a packet takes of it beyond its Ethernet frame: 4 bytes in place of the 14 of the header."""

MOST_OPPORTUNITIES = 1_000_000
"""Opportunities of one pass at most."""


@dataclass(frozen=True, slots=True, init=False, repr=False)
class DeliveryOpportunities:
    """The times at which a link can deliver packets, repeated without end.

    At each of them 1,500 bytes of IP packets leave (1,504 with the 4 that Mahimahi adds to each
    packet): several small ones, or a part of one that leaves with the next. What finds no packet
    that came before it is lost.

    Attributes:
        times: the times in whole milliseconds, separated by spaces; none is before the one before
            it. The last one is how long a pass takes.
    """

    times: str

    def __init__(self, times: Iterable[int] | str) -> None:
        """Take the times, as numbers or as the attribute has them.

        Raises:
            ConfigError: these are none, more than a million, or not in order.
        """
        given = times.split() if isinstance(times, str) else map(str, times)
        object.__setattr__(self, "times", " ".join(given))
        _numbers(self.times)

    def __repr__(self) -> str:
        return f"<DeliveryOpportunities, {len(self.times_ms)} in {self.pass_ms} ms>"

    @property
    def times_ms(self) -> tuple[int, ...]:
        """The times in milliseconds."""
        return _numbers(self.times)

    @property
    def pass_ms(self) -> int:
        """How long one pass takes in milliseconds."""
        return self.times_ms[-1]

    @property
    def mean_kbit(self) -> float:
        """The rate of all of them in kilobits per second, as bytes that an opportunity has."""
        return len(self.times_ms) * OPPORTUNITY_BYTES * 8 / self.pass_ms


@lru_cache(maxsize=32)
def _numbers(text: str) -> tuple[int, ...]:
    """The times of a text, which is split and checked once however often it is asked for."""
    problems = Problems()
    found: list[int] = []
    words = text.split()
    if not 1 <= len(words) <= MOST_OPPORTUNITIES:
        message = f"{len(words)} opportunities are not 1 to {MOST_OPPORTUNITIES}"
        raise ConfigError(Problem("times", message))
    for place, word in enumerate(words, 1):
        if not word.isdecimal():
            problems.add(f"time {place}", f"{word!r} is not a whole number of milliseconds")
        elif found and int(word) < found[-1]:
            problems.add(f"time {place}", f"{word} is before the one in front of it")
        else:
            found.append(int(word))
    if found and found[-1] == 0:
        problems.add("times", "the last time is 0 ms: that is how long one pass takes")
    problems.check()
    return tuple(found)
