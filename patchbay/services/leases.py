"""The mappings that hosts of a router asked for, how long they last, and that the network has them."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from patchbay.errors import PatchbayError
from patchbay.rules import marks
from patchbay.services.ends import left, until_first
from patchbay.services.mapper import Lease, Refused
from patchbay.values import PortMapping
from patchbay.wiring.conntrack import ConntrackEntry

LOWEST, HIGHEST = 1024, 65_535
"""Outside ports that are given out to who wants any."""
_TRIES = 64

Key = tuple[str, int]
"""A protocol and an outside port."""


@dataclass(frozen=True, slots=True)
class _Held:
    lease: Lease
    end: float
    """Of the monotonic clock."""


class Leases:
    """A router that maps ports: a `Mapper`.

    Args:
        external: tells the address of its uplink.
        taken: tells whether the NAT uses an outside port for others than this one.
        change: has the network have these mappings and no others, or raises.
        note: writes an event down.
    """

    def __init__(
        self,
        external: Callable[[], IPv4Address],
        taken: Callable[[PortMapping], bool],
        change: Callable[[tuple[PortMapping, ...]], None],
        note: Callable[..., None],
    ) -> None:
        self._external = external
        self._taken = taken
        self._change = change
        self._note = note
        self._address: IPv4Address | None = None
        self._begin = self._address_begin = time.monotonic()
        self._held: dict[Key, _Held] = {}

    @property
    def external(self) -> IPv4Address:
        """The address of its uplink."""
        return self._external()

    @property
    def epoch(self) -> int:
        """Seconds since it has been there."""
        return int(time.monotonic() - self._begin)

    @property
    def address_epoch(self) -> int:
        """Seconds since it has been there and has had the address of its uplink."""
        return int(time.monotonic() - self._address_begin)

    def readdressed(self, address: IPv4Address) -> bool:
        """Note the address of its uplink; whether it had another one."""
        had, self._address = self._address, address
        if had is None or had == address:
            return False
        self._address_begin = time.monotonic()
        return True

    def leases(self) -> list[Lease]:
        """Every mapping that there is, with the seconds it has left."""
        return [
            held.lease if math.isinf(held.end) else replace(held.lease, lifetime=left(held.end))
            for held in self._held.values()
        ]

    def map(
        self,
        protocol: str,
        host: IPv4Address,
        host_port: int,
        wanted: int,
        lifetime: int | None,
        *,
        exact: bool = False,
        description: str = "",
        nonce: bytes = b"",
    ) -> Lease | Refused:
        """Map a port, or renew a mapping; see `Mapper.map`."""
        inside = (protocol, host, host_port)
        own = next((key for key, held in self._held.items() if _inside(held) == inside), None)
        if own is not None and self._held[own].lease.nonce != nonce:
            return Refused.NOT_AUTHORIZED
        if own is not None and exact and wanted not in (0, own[1]):
            # Another outside port for the same one inside: IGD knows mappings by the former.
            own = None
        asked = PortMapping(protocol=protocol, port=wanted, host=host, host_port=host_port)
        port = own[1] if own is not None else self._choose(asked, exact)
        if isinstance(port, Refused):
            return port
        mapping = replace(asked, port=port)
        lease = Lease(mapping=mapping, lifetime=lifetime, description=description, nonce=nonce)
        if own is None:
            try:
                self._change((*self._mappings(), mapping))
            except PatchbayError:
                return Refused.FAILED
            self._note("port_mapped", **_told(mapping), lifetime=lifetime)
        end = math.inf if lifetime is None else time.monotonic() + lifetime
        self._held[protocol, port] = _Held(lease, end)
        return lease

    def unmap(self, protocol: str, port: int) -> None:
        """Give an outside port up; one that is not mapped is no error."""
        if (protocol, port) in self._held:
            self._give_up([(protocol, port)])

    def due(self) -> float | None:
        """Seconds until the next mapping ends; None if none ever does."""
        return until_first(held.end for held in self._held.values())

    def expire(self) -> None:
        """Give up what nobody renewed in time."""
        now = time.monotonic()
        over = [key for key, held in self._held.items() if held.end <= now]
        if over:
            self._give_up(over)

    def _give_up(self, keys: Collection[Key]) -> None:
        gone = [self._held.pop(key).lease.mapping for key in keys]
        self._change(self._mappings())
        for mapping in gone:
            self._note("port_unmapped", **_told(mapping))

    def _mappings(self) -> tuple[PortMapping, ...]:
        return tuple(held.lease.mapping for held in self._held.values())

    def keep(self, mappings: Collection[PortMapping]) -> None:
        """Forget what the network has no more: what the NAT forwards by itself now, or all."""
        gone = [key for key, held in self._held.items() if held.lease.mapping not in mappings]
        for key in gone:
            self._note("port_unmapped", **_told(self._held.pop(key).lease.mapping))

    def _choose(self, asked: PortMapping, exact: bool) -> int | Refused:
        """The port that is asked for if it is free; else any, unless no other will do."""
        wanted = replace(asked, port=asked.port or asked.host_port)
        if self._is_free(wanted):
            return wanted.port
        if exact:
            return Refused.TAKEN
        for _ in range(_TRIES):
            other = replace(asked, port=LOWEST + secrets.randbelow(HIGHEST - LOWEST + 1))
            if self._is_free(other):
                return other.port
        return Refused.NO_RESOURCES

    def _is_free(self, wanted: PortMapping) -> bool:
        return (wanted.protocol, wanted.port) not in self._held and not self._taken(wanted)


def in_use(connections: Iterable[ConntrackEntry], mapping: PortMapping) -> bool:
    """Whether connections of others than who asks for a port have it as their outside port."""
    mark = marks.bits(marks.PROTOCOLS[mapping.protocol]) | mapping.port
    inside = mapping.host, mapping.host_port
    return any(
        each.mark == mark
        and inside != (each.original.source, each.original.source_port)
        and inside != (each.reply.source, each.reply.source_port)
        for each in connections
    )


def _inside(held: _Held) -> tuple[str, IPv4Address, int]:
    mapping = held.lease.mapping
    return mapping.protocol, mapping.host, mapping.host_port


def _told(mapping: PortMapping) -> dict[str, object]:
    return {
        "protocol": mapping.protocol,
        "port": mapping.port,
        "host": str(mapping.host),
        "host_port": mapping.host_port,
    }
