"""What routers let through: known kinds of firewall, and firewalls spelled out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from patchbay.errors import Problems
from patchbay.values.parsing import NamedEnum, is_port, parse


@dataclass(frozen=True, slots=True)
class PortPolicy:
    """To which destination ports traffic may leave a LAN.

    Attributes:
        ports: the ports that are allowed; None for all, empty for none.
    """

    ports: tuple[int, ...] | None = None

    ALLOW_ALL: ClassVar[PortPolicy]
    BLOCK_ALL: ClassVar[PortPolicy]

    def __post_init__(self) -> None:
        if self.ports is None:
            return
        problems = Problems()
        for port in self.ports:
            if not is_port(port):
                problems.add("ports", f"{port!r} is not a port from 1 to 65535")
        problems.check()
        object.__setattr__(self, "ports", tuple(sorted(set(self.ports))))

    @classmethod
    def allow(cls, *ports: int) -> PortPolicy:
        """Allow these ports only."""
        return cls(ports)


PortPolicy.ALLOW_ALL = PortPolicy()
PortPolicy.BLOCK_ALL = PortPolicy(())


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallConfig:
    """A router's firewall, spelled out; ICMP is never kept from leaving.

    Attributes:
        block_inbound: drop what comes from the uplink and belongs to no flow of the LAN's making.
        outbound_tcp: TCP ports that the LAN may connect to.
        outbound_udp: UDP ports that the LAN may send to.
    """

    block_inbound: bool = False
    outbound_tcp: PortPolicy = PortPolicy.ALLOW_ALL
    outbound_udp: PortPolicy = PortPolicy.ALLOW_ALL


class Firewall(NamedEnum):
    """What a router lets through, as known kinds of firewall do."""

    NONE = "none"
    BLOCK_INBOUND = "block_inbound"
    CORPORATE = "corporate"
    CAPTIVE_PORTAL = "captive_portal"

    @property
    def config(self) -> FirewallConfig | None:
        """The same firewall, spelled out; None for `NONE`."""
        return _FIREWALLS[self]


_FIREWALLS: Mapping[Firewall, FirewallConfig | None] = MappingProxyType(
    {
        Firewall.NONE: None,
        Firewall.BLOCK_INBOUND: FirewallConfig(block_inbound=True),
        Firewall.CORPORATE: FirewallConfig(
            block_inbound=True,
            outbound_tcp=PortPolicy.allow(80, 443),
            outbound_udp=PortPolicy.allow(53),
        ),
        Firewall.CAPTIVE_PORTAL: FirewallConfig(
            block_inbound=True, outbound_udp=PortPolicy.allow(53)
        ),
    }
)


def parse_firewall(value: object, place: str = "firewall") -> Firewall | FirewallConfig:
    """Return a firewall: a kind of it, its name, or a `FirewallConfig`."""
    return value if isinstance(value, FirewallConfig) else parse(Firewall, value, place)
