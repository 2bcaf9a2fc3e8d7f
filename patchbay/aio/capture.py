"""The handle of a recording, for asyncio code."""

from __future__ import annotations

from typing import Self

from patchbay.aio.twin import Twin, awaited
from patchbay.capture.handle import Capture


class AsyncCapture(Twin[Capture]):
    """A recording of packets: the twin of `Capture`. An async context manager that ends it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    stats = awaited(Capture.stats)
    close = awaited(Capture.close)
