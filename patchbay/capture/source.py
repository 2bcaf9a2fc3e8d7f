"""An interface, as a recording has it."""

from __future__ import annotations

from dataclasses import dataclass

from actors.protocol import Plain
from patchbay.capture.ring import Ring


@dataclass(slots=True)
class Source:
    """An interface that is recorded, or was.

    Attributes:
        number: of the interface in the recording.
        node: the node that has it.
        interface: its name.
        ring: where its packets come from.
        since: when its recording began, in nanoseconds since 1970, UTC.
        bytes: what the packets had that were read.
        latest: the time of the packet that was read last.
        noted: lost packets that the recording tells of already.
        ending: whether it waits for no more than what is in its ring.
        ended: whether its ring was given back.
    """

    number: int
    node: str
    interface: str
    ring: Ring
    since: int
    bytes: int = 0
    latest: int = 0
    noted: int = 0
    ending: bool = False
    ended: bool = False

    def told(self) -> dict[str, Plain]:
        """What a client is told of it."""
        return {
            "node": self.node,
            "interface": self.interface,
            "direction": None,
            "packets": self.ring.read,
            "bytes": self.bytes,
            "dropped": self.ring.dropped,
        }
