"""What port-mapping protocols ask of a router, whichever they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from patchbay.values import Pinhole, PortMapping

LONGEST = 86_400
"""Seconds: a day, which is what RFC 6887 15.1 recommends as the longest lifetime. There is no
shortest one here, so that programs can be seen to renew."""


class Refused(Enum):
    """Why a port is not mapped."""

    TAKEN = "the outside port is another host's"
    NO_RESOURCES = "no outside port is left"
    NOT_AUTHORIZED = "the mapping is another client's"
    FAILED = "the network could not be changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A mapping, and how long it is there.

    Attributes:
        mapping: what leads where.
        lifetime: seconds that it has left; None for as long as the router is there.
        description: what the host calls it.
        nonce: what proves that a client is the one that asked; empty where a protocol has none.
    """

    mapping: PortMapping
    lifetime: int | None
    description: str = ""
    nonce: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinholeLease:
    """A way in, and how long it is there.

    Attributes:
        number: what UPnP knows it by.
        pinhole: who may come in to whom.
        lifetime: seconds that it has left.
        nonce: what proves that a client is the one that asked; empty where a protocol has none.
    """

    number: int
    pinhole: Pinhole
    lifetime: int
    nonce: bytes = b""


class Mapper(Protocol):
    """A router that maps ports."""

    @property
    def external(self) -> IPv4Address:
        """The address of its uplink."""

    @property
    def epoch(self) -> int:
        """Seconds since it has been there, and with it what it knows of mappings."""

    @property
    def address_epoch(self) -> int:
        """Seconds since it has been there and has had the address of its uplink."""

    def leases(self) -> list[Lease]:
        """Every mapping that there is."""

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
        """Map a port, or renew a mapping: a host's port has one at a time.

        Args:
            protocol: `udp` or `tcp`.
            host: the address inside.
            host_port: the port inside.
            wanted: the outside port; 0 for any.
            lifetime: seconds; None for as long as the router is there.
            exact: whether no other outside port will do.
            description: what the host calls it.
            nonce: what proves that a client is the one that asked.
        """

    def unmap(self, protocol: str, port: int) -> None:
        """Give an outside port up; one that is not mapped is no error."""


class PinholeKeeper(Protocol):
    """A router that opens ways in over IPv6."""

    @property
    def enabled(self) -> bool:
        """Whether its firewall blocks inbound flows at all."""

    def pinholes(self) -> list[PinholeLease]:
        """Every way in that there is."""

    def is_host(self, client: IPv4Address, host: IPv6Address) -> bool:
        """Whether two addresses are of one host of the LAN."""

    def outbound_timeout(self, protocol: str) -> int:
        """Seconds for which an idle flow is remembered that began inside."""

    def open(self, pinhole: Pinhole, lifetime: int, nonce: bytes = b"") -> PinholeLease | Refused:
        """Open a way in, or renew it.

        Args:
            pinhole: who may come in to whom.
            lifetime: seconds.
            nonce: what proves that a client is the one that asked.
        """

    def shut(self, number: int) -> None:
        """Give a way in up; flows that came in by it stay."""
