"""A lab for asyncio code.

    async with AsyncLab("first") as lab:
        dc = await lab.add_router("dc", preset="public")
        server = await lab.add_device("server", dc)
        echo = server.spawn(serve_echo, 8000)
        reply = await laptop.call(ask, (str(server.ip), 8000), b"hi")

Methods are awaited, and the event loop runs on meanwhile. Properties are not, nor is what hands out
something to go on with: `node`, `device`, `router`, `region`, `iface`, `network`, and `submit` and `spawn`,
whose tasks can be awaited. What of these asks the lab takes some 0.1 ms, or as long as a change
that another task has under way.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from actors.protocol import Plain
from patchbay.aio.capture import AsyncCapture
from patchbay.aio.nodes import AsyncDevice, AsyncIx, AsyncRouter, AsyncTarget, blocking
from patchbay.aio.partitions import AsyncLabPartitions
from patchbay.aio.regions import AsyncLabRegions, AsyncRegion
from patchbay.aio.stun_server import AsyncStunServer
from patchbay.aio.twin import Told, awaited, awaited_handle, make
from patchbay.errors import PacketProgramFailed
from patchbay.lab import Lab
from patchbay.nodes import Device, Ix, Router
from patchbay.values import Ipv6Provisioning, LinkEngine


class AsyncLab(AsyncLabRegions, AsyncLabPartitions):
    """A network of namespaces: the twin of `Lab`.

    It starts when it is entered, `async with AsyncLab() as lab`, or awaited,
    `lab = await AsyncLab()`, and then ends with `await lab.close()`. A change whose awaiting task
    is cancelled completes as a whole; a lab that nobody waits for any more is closed.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        outdir: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        link_engine: LinkEngine | str = LinkEngine.AUTO,
        ipv6_provisioning: Ipv6Provisioning | str = Ipv6Provisioning.STATIC,
        ipv6_dad: bool = False,
        tls_keys: bool = False,
        metrics_every: float | None = None,
        max_lag_ms: float | None = None,
    ) -> None:
        """Describe a lab; the arguments, and the errors when it starts, are those of `Lab`."""
        self._start: Callable[[], Lab] = lambda: Lab(
            name,
            outdir=outdir,
            seed=seed,
            link_engine=link_engine,
            ipv6_provisioning=ipv6_provisioning,
            ipv6_dad=ipv6_dad,
            tls_keys=tls_keys,
            metrics_every=metrics_every,
            max_lag_ms=max_lag_ms,
        )
        self._lab: Lab | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """A lab from a TOML file; it is read when the lab starts. See `Lab.load`."""
        described = cls()
        described._start = lambda: Lab.load(path, **options)
        return described

    # -- its life

    def __await__(self) -> Generator[Any, Any, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        if self._lab is None:
            self._lab = await make(self._start, Lab.close)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except PacketProgramFailed as failed:
            if error is None:
                raise
            error.add_note(str(failed))

    @property
    def sync(self) -> Lab:
        """The blocking handle of the same lab, for code in other threads."""
        if self._lab is None:
            raise RuntimeError(
                "this lab is not started: write `async with AsyncLab(...) as lab`, or "
                "`lab = await AsyncLab(...)`"
            )
        return self._lab

    def __repr__(self) -> str:
        return "<AsyncLab not started>" if self._lab is None else super().__repr__()

    def __str__(self) -> str:
        return str(self.sync)

    def _repr_html_(self) -> str:
        return self.sync._repr_html_()

    async def close(self) -> None:
        """End the lab; see `Lab.close`. Closing again, or what never started, does nothing."""
        if self._lab is not None:
            await asyncio.to_thread(self._lab.close)

    name: Told[str] = Told(lambda lab: lab.name)
    seed: Told[int] = Told(lambda lab: lab.seed)
    outdir: Told[Path | None] = Told(lambda lab: lab.outdir)
    closed: Told[bool] = Told(lambda lab: lab.closed)

    # -- adding and removing

    add_router = awaited_handle(Lab.add_router, AsyncRouter)
    add_device = awaited_handle(Lab.add_device, AsyncDevice)
    stun_server = awaited_handle(Lab.stun_server, AsyncStunServer)
    remove = awaited(Lab.remove)

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[None]:
        """Plan and build what is added inside together, in parallel, when the block ends.

        What other tasks add meanwhile belongs to it. See `Lab.batch`.
        """
        batch = self.sync.batch()
        batch.__enter__()
        try:
            yield
        except BaseException:
            batch.__exit__(*sys.exc_info())  # builds nothing
            raise
        await asyncio.to_thread(batch.__exit__, None, None, None)

    # -- finding

    @property
    def ix(self) -> AsyncIx:
        """The internet exchange, which joins the routers without an upstream."""
        return AsyncIx(self, self.sync.ix)

    @property
    def routers(self) -> list[AsyncRouter]:
        """Every router, in the order they were added."""
        return [AsyncRouter(self, each) for each in self.sync.routers]

    @property
    def devices(self) -> list[AsyncDevice]:
        """Every device, in the order they were added."""
        return [AsyncDevice(self, each) for each in self.sync.devices]

    def node(self, name: str) -> AsyncDevice | AsyncRouter | AsyncRegion | AsyncIx:
        """A node by its name; see `Lab.node`."""
        node = self.sync.node(name)
        if isinstance(node, Device):
            return AsyncDevice(self, node)
        if isinstance(node, Router):
            return AsyncRouter(self, node)
        return AsyncIx(self, node) if isinstance(node, Ix) else AsyncRegion(self, node)

    def device(self, name: str) -> AsyncDevice:
        """A device by its name; see `Lab.device`."""
        return AsyncDevice(self, self.sync.device(name))

    def router(self, name: str) -> AsyncRouter:
        """A router by its name; see `Lab.router`."""
        return AsyncRouter(self, self.sync.router(name))

    def router_of(self, lan: str | None) -> AsyncRouter | None:
        """The handle of the router that a LAN belongs to; None for the IX's."""
        router = self.sync.router_of(lan)
        return None if router is None else AsyncRouter(self, router)

    # -- names

    async def dns_entry(self, name: str, address: AsyncTarget) -> None:
        """Have a name resolve on every node, to an address or to the address of a node."""
        await asyncio.to_thread(self.sync.dns_entry, name, blocking(address))

    resolve = awaited(Lab.resolve)

    # -- what it is, to read and to keep

    topology = awaited(Lab.topology)
    plan = awaited(Lab.plan)
    to_toml = awaited(Lab.to_toml)
    to_mermaid = awaited(Lab.to_mermaid)
    to_dot = awaited(Lab.to_dot)
    to_svg = awaited(Lab.to_svg)

    # -- packets

    capture = awaited_handle(Lab.capture, lambda _, capture: AsyncCapture(capture))

    # -- time

    advance = awaited(Lab.advance)

    # -- how it goes

    stats = awaited(Lab.stats)
    fidelity = awaited(Lab.fidelity)

    # -- events

    events = awaited(Lab.events)

    async def emit(self, kind: str, **fields: Plain) -> None:
        """Note an event of your own, among the lab's."""
        await asyncio.to_thread(self.sync.emit, kind, **fields)
