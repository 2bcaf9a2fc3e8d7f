"""What a host of a LAN has asked its router for: a port that leads to it, or a way in."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class PortMapping:
    """What a host asked for by UPnP-IGD, NAT-PMP or PCP.

    Attributes:
        protocol: `udp` or `tcp`.
        port: the outside port, of the address of the router's uplink.
        host: the address inside.
        host_port: the port inside.
    """

    protocol: str
    port: int
    host: IPv4Address
    host_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinhole:
    """A way in over IPv6, through a firewall that blocks inbound flows, by UPnP-IGD or PCP.

    Attributes:
        protocol: `udp` or `tcp`.
        host: the host's address, which is the same on both sides.
        port: the host's port.
        remote: who may come in; None for anybody.
        remote_port: from which port; None for any.
    """

    protocol: str
    host: IPv6Address
    port: int
    remote: IPv6Address | None = None
    remote_port: int | None = None
