"""The handle of a recording of a link, for asyncio code."""

from __future__ import annotations

import asyncio
from typing import Self

from patchbay.aio.twin import Twin, awaited
from patchbay.link_recording import LinkRecording


class AsyncLinkRecording(Twin[LinkRecording]):
    """A recording of a link: the twin of `LinkRecording`. An async context manager that ends it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.sync.__exit__, None, None, None)

    trace = awaited(LinkRecording.trace)
    stop = awaited(LinkRecording.stop)
