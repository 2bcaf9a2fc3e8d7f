"""The parts of a firewall: which ports, which packets, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from typing import ClassVar

from patchbay.errors import Problems
from patchbay.values.parsing import NamedEnum, is_port, is_port_range, put, several

Network = IPv4Network | IPv6Network
Networks = Network | IPv4Address | IPv6Address | str
"""What a person types for a subnet or an address."""
Ports = int | tuple[int, int]
"""A port, or the first and the last of a range."""


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
        for port in several(self.ports, "ports", problems, "ports"):
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


class FirewallAction(NamedEnum):
    """What becomes of a packet."""

    ACCEPT = "accept"
    DROP = "drop"
    """It is gone, and nobody is told."""
    REJECT = "reject"
    """It is gone, and its sender is told: by a reset if it is TCP, else by the ICMP error
    "communication administratively prohibited" (RFC 1812 5.2.7.1, RFC 4443 3.1)."""


class FirewallDirection(NamedEnum):
    """Which way a flow begins."""

    INBOUND = "inbound"
    """From the uplink: to the LAN, or to the router itself."""
    OUTBOUND = "outbound"
    """From the LAN to the uplink."""


class FirewallProtocol(NamedEnum):
    """What a packet carries."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    """ICMP in IPv4, ICMPv6 in IPv6."""


@dataclass(frozen=True, slots=True, init=False)
class FirewallRule:
    """Which packets, and what becomes of them. What is left out can be anything.

    Attributes:
        action: what becomes of them.
        direction: which way they go.
        protocol: what they carry; None for anything.
        ports: destination ports, each one port or the first and the last of a range; of TCP or UDP.
        source_ports: source ports, likewise.
        source: subnets of their source; empty for any.
        destination: subnets of their destination, as it is on the LAN; empty for any.
    """

    action: FirewallAction
    direction: FirewallDirection
    protocol: FirewallProtocol | None
    ports: tuple[Ports, ...]
    source_ports: tuple[Ports, ...]
    source: tuple[Network, ...]
    destination: tuple[Network, ...]

    def __init__(
        self,
        action: FirewallAction | str,
        direction: FirewallDirection | str,
        protocol: FirewallProtocol | str | None = None,
        *,
        ports: Iterable[Ports] | int = (),
        source_ports: Iterable[Ports] | int = (),
        source: Iterable[Networks] | Networks = (),
        destination: Iterable[Networks] | Networks = (),
    ) -> None:
        problems = Problems()
        put(self, "action", FirewallAction, action, problems)
        put(self, "direction", FirewallDirection, direction, problems)
        put(self, "protocol", FirewallProtocol, protocol, problems, optional=True)
        for name, typed in (("ports", ports), ("source_ports", source_ports)):
            object.__setattr__(self, name, _ports(typed, name, problems))
        for name, nets in (("source", source), ("destination", destination)):
            object.__setattr__(self, name, _networks(nets, name, problems))
        if (self.ports or self.source_ports) and self.protocol not in (
            FirewallProtocol.TCP,
            FirewallProtocol.UDP,
        ):
            problems.add("ports", "only TCP and UDP have ports; give a protocol")
        if self.source and self.destination and not self.versions:
            problems.add("source", "no packet has a source and a destination of these versions")
        problems.check()

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions of IP that it can match."""
        return tuple(
            version
            for version in (4, 6)
            if all(
                not networks or any(each.version == version for each in networks)
                for networks in (self.source, self.destination)
            )
        )


def _ports(typed: object, name: str, problems: Problems) -> tuple[Ports, ...]:
    if isinstance(typed, int):
        typed = (typed,)
    found: list[Ports] = []
    for each in several(typed, name, problems, "ports"):
        if is_port(each):
            found.append(each)
        elif isinstance(each, tuple | list) and is_port_range(tuple(each)):
            found.append((each[0], each[1]))
        else:
            problems.add(name, f"{each!r} is neither a port nor the first and last of a range")
    return tuple(found)


def _networks(typed: object, name: str, problems: Problems) -> tuple[Network, ...]:
    # A network is itself an iterable, of its addresses.
    if isinstance(typed, Networks):
        typed = (typed,)
    found: list[Network] = []
    for each in several(typed, name, problems, "addresses and subnets"):
        if not isinstance(each, Networks):
            problems.add(name, f"{each!r} is not an address or a subnet")
            continue
        try:
            found.append(ip_network(each))
        except ValueError as error:
            problems.add(name, f"{str(each)!r} is not an address or a subnet ({error})")
    return tuple(found)
