"""The ways in over IPv6 that hosts of a router asked for, and how long they last."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from patchbay.errors import PatchbayError
from patchbay.rules.firewall import idle_timeout
from patchbay.services.ends import left, until_first
from patchbay.services.mapper import LONGEST, PinholeLease, Refused
from patchbay.topology.model import Router, Topology
from patchbay.values import FirewallConfig, Pinhole

MOST = 256
"""Ways in at one router."""


class Pinholes:
    """A router that opens ways in: a `PinholeKeeper`.

    Args:
        topology: tells what the lab is now.
        node: name of the router.
        change: has the network have these ways in and no others, or raises.
        note: writes an event down.
    """

    def __init__(
        self,
        topology: Callable[[], Topology],
        node: str,
        change: Callable[[tuple[Pinhole, ...]], None],
        note: Callable[..., None],
    ) -> None:
        self._topology = topology
        self._node = node
        self._change = change
        self._note = note
        self._numbers = itertools.count()
        self._held: dict[Pinhole, tuple[PinholeLease, float]] = {}

    @property
    def enabled(self) -> bool:
        """Whether its firewall blocks inbound flows at all."""
        firewall = self._router.firewall
        config = firewall if isinstance(firewall, FirewallConfig) else firewall.config
        return config is not None and config.block_inbound

    @property
    def _router(self) -> Router:
        return self._topology().routers[self._node]

    def pinholes(self) -> list[PinholeLease]:
        """Every way in that there is, with the seconds it has left."""
        return [replace(lease, lifetime=left(end)) for lease, end in self._held.values()]

    def is_host(self, client: IPv4Address, host: IPv6Address) -> bool:
        """Whether two addresses are of one host of the LAN."""
        for device in self._topology().devices.values():
            own = {
                address.ip
                for each in device.interfaces
                if each.lan == self._node
                for address in (each.address, each.address6, *each.extra)
                if address is not None
            }
            if {client, host} <= own:
                return True
        return False

    def outbound_timeout(self, protocol: str) -> int:
        """Seconds for which an idle flow is remembered that began inside."""
        return idle_timeout(protocol)

    def open(self, pinhole: Pinhole, lifetime: int, nonce: bytes = b"") -> PinholeLease | Refused:
        """Open a way in, or renew it; see `PinholeKeeper.open`."""
        held = self._held.get(pinhole)
        if held is not None and held[0].nonce != nonce:
            return Refused.NOT_AUTHORIZED
        if held is None and len(self._held) >= MOST:
            return Refused.NO_RESOURCES
        lifetime = min(lifetime, LONGEST)
        number = held[0].number if held is not None else self._free_number()
        lease = PinholeLease(number=number, pinhole=pinhole, lifetime=lifetime, nonce=nonce)
        if held is None:
            try:
                self._change((*self._held, pinhole))
            except PatchbayError:
                return Refused.FAILED
            self._note("pinhole_opened", **_told(pinhole), lifetime=lifetime)
        self._held[pinhole] = (lease, time.monotonic() + lifetime)
        return lease

    def _free_number(self) -> int:
        """The next one; numbers are of 16 bits, and few of them are in use."""
        used = {lease.number for lease, _ in self._held.values()}
        return next(each % 2**16 for each in self._numbers if each % 2**16 not in used)

    def shut(self, number: int) -> None:
        """Give a way in up; flows that came in by it stay."""
        self._give_up([hole for hole, (lease, _) in self._held.items() if lease.number == number])

    def due(self) -> float | None:
        """Seconds until the next way in ends; None if there is none."""
        return until_first(end for _, end in self._held.values())

    def expire(self) -> None:
        """Give up what nobody renewed in time."""
        now = time.monotonic()
        self._give_up([hole for hole, (_, end) in self._held.items() if end <= now])

    def end(self) -> None:
        """Forget all ways in, which the network has no more."""
        gone = tuple(self._held)
        self._held.clear()
        self._tell(gone)

    def _give_up(self, holes: Collection[Pinhole]) -> None:
        if holes:
            for each in holes:
                del self._held[each]
            self._change(tuple(self._held))
        self._tell(holes)

    def _tell(self, gone: Collection[Pinhole]) -> None:
        for each in gone:
            self._note("pinhole_closed", **_told(each))


def _told(pinhole: Pinhole) -> dict[str, object]:
    return {
        "protocol": pinhole.protocol,
        "host": str(pinhole.host),
        "port": pinhole.port,
        "remote": None if pinhole.remote is None else str(pinhole.remote),
        "remote_port": pinhole.remote_port,
    }
