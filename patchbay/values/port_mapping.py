"""A port of a router that leads to a host of its LAN, because the host asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address


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
