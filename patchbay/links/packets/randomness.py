"""Random choices that depend on the lab's seed, on the link, and on what they are for."""

from __future__ import annotations

from random import Random


class Streams:
    """A stream of random numbers for each purpose.

    One purpose takes nothing from another: which packets are lost does not depend on whether some
    are doubled, or how long they take. Nor does it depend on time: the same packets in the same
    order meet the same.
    """

    def __init__(self, seed: int, name: str) -> None:
        self._seed = f"{seed}/{name}"
        self._streams: dict[str, Random] = {}

    def stream(self, purpose: str) -> Random:
        """The numbers for a purpose; they go on where they were."""
        stream = self._streams.get(purpose)
        if stream is None:
            stream = self._streams[purpose] = Random(f"{self._seed}/{purpose}")
        return stream
