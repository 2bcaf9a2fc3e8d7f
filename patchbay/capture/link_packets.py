"""The packets of links that the user-space engine makes, as a recording has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.protocol import Plain
from patchbay.capture import pcapng
from patchbay.capture.bpf import Instruction
from patchbay.capture.machine import kept
from patchbay.capture.pcapng import Direction
from patchbay.links.packets.verdicts import in_words
from patchbay.links.userspace.feed import FeedReader

AT_ONCE = 4096
"""Packets that are read before others have their turn."""

WAYS = ("up", "down")
"""The directions of a link, as their streams are numbered."""


@dataclass(slots=True)
class Stream:
    """One direction of a link.

    Attributes:
        number: of its interface in the recording.
        node: the node whose link it is.
        interface: the interface there.
        way: one of `WAYS`.
        since: when its recording began, in nanoseconds since 1970, UTC.
        read: packets that the filter let through.
        dropped: packets that were lost before the filter saw them.
        bytes: what those that were read had.
        noted: lost packets that the recording tells of already.
    """

    number: int
    node: str
    interface: str
    way: str
    since: int
    read: int = 0
    dropped: int = 0
    bytes: int = 0
    noted: int = 0

    @property
    def received(self) -> int:
        """All packets, lost ones among them."""
        return self.read + self.dropped

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.node}/{self.interface} {self.way}"

    @property
    def described(self) -> str:
        """What it is, in words."""
        whose = f"to {self.node}" if self.way == "down" else f"from {self.node}"
        return f"the link: packets {whose}, as they leave it or are lost"

    def told(self) -> dict[str, Plain]:
        """What a client is told of it."""
        return {
            "node": self.node,
            "interface": self.interface,
            "direction": self.way,
            "packets": self.read,
            "bytes": self.bytes,
            "dropped": self.dropped,
        }


class LinkPackets:
    """Reads what the engine tells, of all links of a recording.

    Attributes:
        streams: the directions that are recorded, by their numbers.
        latest: the time of the packet that was read last.
        busy: whether there was any when it was looked last.
    """

    def __init__(
        self,
        feed: FeedReader,
        program: tuple[Instruction, ...],
        ask: Callable[[], None],
    ) -> None:
        """Begin with no link.

        Args:
            feed: where packets come from.
            program: what is kept of them.
            ask: has it be told of links that it does not know yet; of which it is not told then,
                packets are left out.
        """
        self.streams: dict[int, Stream] = {}
        self.latest = 0
        self.busy = False
        self._feed = feed
        self._program = program
        self._ask = ask

    def fileno(self) -> int:
        """The descriptor that is readable when there are packets."""
        return self._feed.fileno()

    def count(self) -> None:
        """Bring the counters of lost packets up to date."""
        for index, stream in self.streams.items():
            stream.dropped = self._feed.lost(index)

    def read(self, keep: list[tuple[int, bytes]]) -> bool:
        """Add packets to a list, with their times; say whether those were all that there are."""
        count = 0
        for record in self._feed.records(AT_ONCE):
            count += 1
            self.latest = record.moment
            outbound = record.stream % 2 == 0
            size = kept(self._program, record.data, record.length, outbound=outbound)
            if not size:
                continue
            if record.stream not in self.streams:
                self._ask()
            stream = self.streams.get(record.stream)
            if stream is None:
                continue
            stream.read += 1
            stream.bytes += record.length
            block = pcapng.packet(
                stream.number,
                record.moment,
                Direction.OUTBOUND if outbound else Direction.INBOUND,
                record.data[:size],
                record.length,
                in_words(record.verdict, record.marks, record.detail),
            )
            keep.append((record.moment, block))
        self.busy = count > 0
        return count < AT_ONCE
