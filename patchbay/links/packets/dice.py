"""The random choices about packets that meet a condition, each from numbers of its own."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from patchbay.links.packets.delay import delays
from patchbay.links.packets.loss import loss_of
from patchbay.links.packets.randomness import Streams
from patchbay.values import LinkCondition


class Dice:
    """What falls by chance under a condition; they go on where those with the same numbers were.

    Attributes:
        none: whether nothing falls by chance.
        loss: which packets are lost; None for none.
        duplicate: tells whether the next packet is doubled; None for none.
        corrupt: tells whether a bit of the next packet flips; None for none.
        bits: which bits flip.
        delay: draws the delay of a packet in nanoseconds; None if all are the same.
        reorder: tells whether the next packet overtakes others; None for none.
    """

    def __init__(self, condition: LinkCondition, streams: Streams, whose: str = "") -> None:
        """Take the dice for some packets.

        Args:
            condition: what packets meet.
            streams: the numbers of the link.
            whose: what packets, where others have dice of their own.
        """

        def numbers(purpose: str) -> Random:
            return streams.stream(f"{whose}/{purpose}" if whose else purpose)

        self.loss = loss_of(condition, numbers("loss"))
        self.duplicate = _chance(condition.duplicate_pct, numbers("duplicate"))
        self.bits = numbers("corrupt")
        self.corrupt = _chance(condition.corrupt_pct, self.bits)
        self.delay = delays(condition, numbers("delay"))
        self.reorder = _chance(condition.reorder_pct, numbers("reorder"))
        self.none = not any((self.loss, self.duplicate, self.corrupt, self.delay, self.reorder))


def _chance(per_cent: float, numbers: Random) -> Callable[[], bool] | None:
    share, random = per_cent / 100, numbers.random
    return (lambda: random() < share) if share else None
