"""The handle of a network interface, for asyncio code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from patchbay.aio.capture import AsyncCapture
from patchbay.aio.link_recording import AsyncLinkRecording
from patchbay.aio.twin import Told, Twin, awaited, awaited_handle
from patchbay.iface import Iface

if TYPE_CHECKING:
    from patchbay.aio.nodes import AsyncNode, AsyncRouter

T = TypeVar("T")


def _told(read: Callable[[Iface], T]) -> Told[T]:
    return Told(read)


class AsyncIface(Twin[Iface]):
    """A network interface: the twin of `Iface`."""

    def __init__(self, node: AsyncNode[Any], sync: Iface) -> None:
        super().__init__(sync)
        self._node = node

    @property
    def node(self) -> AsyncNode[Any]:
        """The node it belongs to."""
        return self._node

    @property
    def router(self) -> AsyncRouter | None:
        """The router whose LAN it is plugged into; None at the IX, and for a LAN itself."""
        router = self.sync.router
        return None if router is None else self._node.lab.router_of(router.name)

    name = _told(lambda iface: iface.name)
    mac = _told(lambda iface: iface.mac)
    ip = _told(lambda iface: iface.ip)
    ip6 = _told(lambda iface: iface.ip6)
    ll6 = _told(lambda iface: iface.ll6)
    addresses = _told(lambda iface: iface.addresses)
    gateway = _told(lambda iface: iface.gateway)
    gateway6 = _told(lambda iface: iface.gateway6)
    mtu = _told(lambda iface: iface.mtu)
    is_up = _told(lambda iface: iface.is_up)

    condition = awaited(Iface.condition)
    record_conditions = awaited_handle(
        Iface.record_conditions, lambda _, recording: AsyncLinkRecording(recording)
    )
    schedule = awaited(Iface.schedule)
    engine = awaited(Iface.engine)
    flows = awaited(Iface.flows)
    stats = awaited(Iface.stats)
    capture = awaited_handle(Iface.capture, lambda _, capture: AsyncCapture(capture))
    up = awaited(Iface.up)
    down = awaited(Iface.down)
    replug = awaited(Iface.replug)
    renew_ip = awaited(Iface.renew_ip)
    add_ip = awaited(Iface.add_ip)
    set_mtu = awaited(Iface.set_mtu)
    set_condition = awaited(Iface.set_condition)
    remove = awaited(Iface.remove)
