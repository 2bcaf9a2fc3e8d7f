"""A program under way: what it has seen, and what it says of the next packet. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from patchbay.links.packets.delay import MILLISECOND
from patchbay.links.packets.randomness import Streams
from patchbay.links.programs.dissection import Dissection
from patchbay.links.programs.packet import Outcome, Packet


class ProgramRun:
    """A packet program and the packets that it has seen.

    Attributes:
        sent_back: what goes back to where the last packet comes from: nanoseconds that each is
            delayed, and its bytes.
    """

    def __init__(
        self, function: Callable[[Packet], None], link: str, seed: int, began: int
    ) -> None:
        """Begin with no packet seen.

        Args:
            function: called with each packet.
            link: the link and the direction.
            seed: the lab's.
            began: when the program was set, in nanoseconds.
        """
        self._function = function
        self._link = link
        self._random: Random = Streams(seed, link).stream("program")
        self._began = began
        self._count = 0
        self._flows: Counter[bytes] = Counter()
        self.sent_back: list[tuple[int, bytes]] = []

    def decide(self, now: int, data: bytes) -> list[Outcome]:
        """What becomes of a frame that was sent at a time; nothing if it is dropped.

        Raises:
            Exception: whatever the program raises.
            TypeError: it returned something.
        """
        self._count += 1
        packet = Packet(
            data,
            number=self._count,
            flow_number=self._flow_number(data),
            time_ms=(now - self._began) / MILLISECOND,
            link=self._link,
            random=self._random,
        )
        returned: object = self._function(packet)
        if returned is not None:
            raise TypeError(
                f"a packet program returns nothing, and this returned {returned!r}: what becomes"
                " of a packet is said by packet.drop(), delay(), duplicate(), change() or inject()"
            )
        self.sent_back = packet.sent_back
        return packet.settle()

    def _flow_number(self, data: bytes) -> int:
        headers = Dissection(data).headers
        if headers is None:
            return 0
        self._flows[headers.flow] += 1
        return self._flows[headers.flow]
