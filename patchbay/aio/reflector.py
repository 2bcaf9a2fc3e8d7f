"""A running reflector, for asyncio code."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

from patchbay.aio.twin import Told, Twin, awaited
from patchbay.reflectors import Observed, Protocol, Reflector, observe

if TYPE_CHECKING:
    from patchbay.aio.nodes import AsyncNode


class AsyncReflector(Twin[Reflector]):
    """A running reflector: the twin of `Reflector`. An async context manager that ends it."""

    def __init__(self, node: AsyncNode[Any], sync: Reflector) -> None:
        super().__init__(sync)
        self._node = node

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    protocol: Told[Protocol] = Told(lambda reflector: reflector.protocol)
    port: Told[int] = Told(lambda reflector: reflector.port)
    address: Told[tuple[str, int]] = Told(lambda reflector: reflector.address)

    async def observe(
        self, client: AsyncNode[Any], *, source_port: int = 0, timeout: float = 2.0, tries: int = 3
    ) -> Observed:
        """Ask it from another node, and return what it saw; see `Reflector.observe`."""
        host = await client.address_of(self._node)
        asked = (self.protocol, host, self.port, source_port, timeout, tries)
        seen = await client.call(observe, *asked)
        return Observed(ip_address(seen[0]), seen[1])

    close = awaited(Reflector.close)
