"""What became of a packet on a link: in numbers, as those who decide tell it, and in words."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from patchbay.links.packets.frame import Frame

DUPLICATE, CORRUPTED, REORDERED, CONGESTED, CHANGED, ADDED = (1 << bit for bit in range(6))
"""What was done to a packet that goes on: it is the second of two, a bit of it was flipped, it took
no delay, it was marked for congestion, a program has changed it, a program has sent it as well."""

CAUSES = ("loss", "list", "program", "queue", "aqm", "mtu", "refused")
"""Why packets are lost: the words of `Counters.lost`, and what the kernel did not take."""

PASSED = 0
"""The verdict on a packet that goes on; that on a lost one is the number of its cause, from 1 on."""
LOST = {cause: number for number, cause in enumerate(CAUSES, 1)}

Detail: TypeAlias = tuple[int, int]
"""What else there is to say. Of a packet that goes on: nanoseconds that it was meant to take, and
that it took longer. Of a lost one: packets and bytes in the full queue; its number in the list, and
in its flow's; the bytes that it has, and that may pass."""

NOTHING: Detail = (0, 0)

_LATE = 1_000_000
"""Nanoseconds after which a packet has left late."""
_DONE = {
    DUPLICATE: "duplicate",
    CORRUPTED: "corrupted",
    REORDERED: "reordered",
    CONGESTED: "marked CE",
    CHANGED: "changed by the program",
    ADDED: "added by the program",
}


class Witness(Protocol):
    """Who is told of packets that are lost."""

    def lost(self, frame: Frame, cause: str, detail: Detail) -> None:
        """A packet is lost, and its frame about to be released."""


def in_words(verdict: int, marks: int, detail: Detail) -> str:
    """A verdict for people; nothing if nothing was done to a packet.

    Args:
        verdict: `PASSED`, or one of `LOST`.
        marks: what was done to a packet that goes on.
        detail: what else there is to say.
    """
    if verdict != PASSED:
        return _lost(CAUSES[verdict - 1], detail)
    delay, late = detail
    parts = [f"delayed {_ms(delay)}"] if delay > 0 else []
    if late > _LATE:
        parts.append(f"{_ms(late)} late")
    return ", ".join([*parts, *(word for mark, word in _DONE.items() if marks & mark)])


def _lost(cause: str, detail: Detail) -> str:
    first, second = detail
    match cause:
        case "queue":
            why = f"queue full ({first} packets, {second} bytes)"
        case "list" if second:
            why = f"list (packet {second} of its flow)"
        case "list":
            why = f"list (packet {first})" if first else "list (at this time)"
        case "mtu":
            why = f"mtu ({first} bytes, and {second} may pass)"
        case "refused":
            why = "the kernel did not take it"
        case _:
            why = cause
    return f"dropped: {why}"


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"
