"""One end of a TCP connection: it sends what it may send, in any order that the protocol allows."""

from __future__ import annotations

from dataclasses import dataclass

from by_hand import ACK, FIN, RST, SYN, Segment


@dataclass
class End:
    """The state of an end (RFC 9293 3.3.1), as far as the next segment depends on it."""

    sent: int | None = None
    """The number of what it sends next; None before it has sent a SYN."""
    heard: int | None = None
    """The number of what it hears next; None before it has heard a SYN."""
    acknowledged: bool = False
    """Whether the other one has heard its SYN."""
    finished: bool = False
    other_finished: bool = False
    refused: int | None = None
    """What was acknowledged in a segment of a connection that this end knows nothing of."""

    def next(self, wish: str, first: int) -> Segment:
        """The segment that it sends when it wants to `talk`, to `close` or to `reset`.

        Args:
            wish: what for. Who has no connection begins one, for whatever it is.
            first: the number of its SYN, if this is one.
        """
        if self.refused is not None:
            told, self.refused = Segment(RST, self.refused), None
            return told
        if wish == "reset" and (self.sent, self.heard) != (None, None):
            told = Segment(RST, self.sent or 0)
            if self.heard is not None:
                told = Segment(RST | ACK, self.sent or 0, self.heard)
            self._end()
            return told
        if self.sent is None:
            self.sent = first + 1
        if self.heard is None:
            return Segment(SYN, self.sent - 1)
        if not self.acknowledged:
            return Segment(SYN | ACK, self.sent - 1, self.heard)
        if wish == "close" and not self.finished:
            told = Segment(FIN | ACK, self.sent, self.heard)
            self.sent += 1
            self.finished = True
            return told
        told = Segment(ACK, self.sent, self.heard)
        if self.finished and self.other_finished:
            self._end()
        return told

    def hear(self, told: Segment) -> None:
        """Take note of a segment of the other end."""
        self.refused = None
        if told.flags & RST:
            self._end()
        elif told.flags & SYN:
            answers = bool(told.flags & ACK)
            if answers and told.acknowledged != self.sent:
                self.refused = told.acknowledged
                return
            if self.heard not in (None, told.sequence + 1):
                self._end()  # the other one has begun anew
            self.heard = told.sequence + 1
            self.acknowledged = self.acknowledged or answers
        elif self.sent is None or self.heard is None:
            self.refused = told.acknowledged
        elif told.sequence == self.heard:
            up_to_date = told.acknowledged == self.sent
            self.acknowledged = self.acknowledged or up_to_date
            if told.flags & FIN:
                self.heard += 1
                self.other_finished = True
            elif self.finished and self.other_finished and up_to_date:
                self._end()

    def _end(self) -> None:
        self.__init__()
