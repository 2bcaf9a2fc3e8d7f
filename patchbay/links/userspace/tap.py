"""What recordings hear of the packets of links, while there are recordings."""

from __future__ import annotations

import time
from collections.abc import Mapping

from patchbay.links.packets.frame import HEADER, Frame
from patchbay.links.packets.verdicts import LOST, PASSED, Detail
from patchbay.links.userspace.feed import FeedWriter


class Tap:
    """One recording, and which links it is of.

    Attributes:
        feed: where packets go.
        keep: bytes of each packet that are kept.
        streams: the number of the way up of each link, by its name; the way down has the next one.
    """

    def __init__(self, feed: FeedWriter, keep: int) -> None:
        self.feed = feed
        self.keep = keep
        self.streams: Mapping[str, int] = {}


class Taps:
    """All recordings that hear of one direction of a link."""

    def __init__(self, taps: list[tuple[Tap, int]]) -> None:
        """Begin: what is on its way by now came before.

        Args:
            taps: the recordings, and the number that the direction has in each.
        """
        self._taps = taps
        self._began = time.monotonic_ns()

    def came(self, frames: list[Frame], now: int) -> None:
        """Take note of packets that come to the link."""
        for frame in frames:
            frame.came, frame.marks = now, 0

    def left(self, frames: list[Frame]) -> None:
        """Tell of packets that are about to leave the link."""
        now, moment = time.monotonic_ns(), time.time_ns()
        for frame in frames:
            if frame.came < self._began:  # what else it knows is of another packet
                self._tell(moment, frame, PASSED, 0, (0, now - frame.due))
            else:
                detail = (frame.due - frame.came, now - frame.due)
                self._tell(moment, frame, PASSED, frame.marks, detail)
        for tap, _ in self._taps:
            tap.feed.publish()

    def lost(self, frame: Frame, cause: str, detail: Detail) -> None:
        """See `Witness`."""
        self._tell(time.time_ns(), frame, LOST[cause], 0, detail)

    def _tell(self, moment: int, frame: Frame, verdict: int, marks: int, detail: Detail) -> None:
        for tap, stream in self._taps:
            end = HEADER + min(frame.size, tap.keep)
            tap.feed.add(
                stream, moment, verdict, marks, detail, frame.buffer[HEADER:end], frame.size
            )
