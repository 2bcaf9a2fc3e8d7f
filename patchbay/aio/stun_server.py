"""A running STUN server, for asyncio code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from patchbay.aio.nodes import AsyncDevice
from patchbay.aio.twin import Told, Twin, awaited
from patchbay.stun.attributes import Endpoint
from patchbay.stun_server import StunServer

if TYPE_CHECKING:
    from patchbay.aio.lab import AsyncLab


class AsyncStunServer(Twin[StunServer]):
    """A running STUN server: the twin of `StunServer`. An async context manager that ends it."""

    def __init__(self, lab: AsyncLab, sync: StunServer) -> None:
        super().__init__(sync)
        self._lab = lab

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def node(self) -> AsyncDevice:
        """The device that it runs on."""
        return AsyncDevice(self._lab, self.sync.node)

    port: Told[int] = Told(lambda server: server.port)
    address: Told[tuple[str, int]] = Told(lambda server: server.address)
    endpoints: Told[tuple[Endpoint, ...]] = Told(lambda server: server.endpoints)

    close = awaited(StunServer.close)
