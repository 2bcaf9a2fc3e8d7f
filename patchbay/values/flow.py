"""Which packets belong to a flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from types import MappingProxyType

from patchbay.errors import Problems, nearest
from patchbay.values.parsing import is_int, is_port, is_port_range

PROTOCOLS: Mapping[str, int] = MappingProxyType(
    {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132}
)
"""Protocols that have a name here, and their numbers (IANA)."""


@dataclass(frozen=True, slots=True, init=False)
class FlowMatch:
    """Packets that a condition is for: those that match in everything that is not None.

    Attributes:
        protocol: number of the protocol above IP (IANA); also taken by name, such as "udp".
        port: first and last port, of the source or of the destination; one of TCP, UDP or SCTP.
            A single port may be given as a number.
        address: a network that the source or the destination is in; a single address is one.
        dscp: codepoint of differentiated services (RFC 2474), 0 to 63.
    """

    protocol: int | None
    port: tuple[int, int] | None
    address: IPv4Network | IPv6Network | None
    dscp: int | None

    def __init__(
        self,
        *,
        protocol: int | str | None = None,
        port: int | tuple[int, int] | None = None,
        address: IPv4Network | IPv6Network | IPv4Address | IPv6Address | str | None = None,
        dscp: int | None = None,
    ) -> None:
        """Say what packets have to be like.

        Raises:
            ConfigError: values that are none, or contradict each other; all of them are told.
        """
        problems = Problems()
        put = object.__setattr__
        put(self, "protocol", _protocol(protocol, problems))
        put(self, "port", _ports(port, problems))
        put(self, "address", _network(address, problems))
        put(self, "dscp", dscp)
        if self.port is not None and self.protocol not in (None, 6, 17, 132):
            problems.add("port", f"protocol {protocol!r} has no ports")
        if dscp is not None and not (is_int(dscp) and 0 <= dscp <= 63):
            problems.add("dscp", f"{dscp!r} is not a whole number from 0 to 63")
        problems.check()


def _protocol(value: int | str | None, problems: Problems) -> int | None:
    if isinstance(value, str):
        name = value.strip().lower()
        if name in PROTOCOLS:
            return PROTOCOLS[name]
        problems.add(
            "protocol",
            f"{value!r} is not a number or one of {', '.join(PROTOCOLS)}",
            nearest(name, PROTOCOLS),
        )
    elif value is not None and not (is_int(value) and 0 <= value <= 255):
        problems.add("protocol", f"{value!r} is not a whole number from 0 to 255")
    else:
        return value
    return None


def _ports(value: int | tuple[int, int] | None, problems: Problems) -> tuple[int, int] | None:
    if value is None:
        return None
    if is_int(value) and is_port(value):
        return value, value
    if isinstance(value, tuple | list) and is_port_range(tuple(value)):
        return value[0], value[1]
    problems.add("port", f"{value!r} is not a port from 1 to 65535, or the first and the last one")
    return None


def _network(
    value: IPv4Network | IPv6Network | IPv4Address | IPv6Address | str | None, problems: Problems
) -> IPv4Network | IPv6Network | None:
    if value is None:
        return None
    try:
        return ip_network(value, strict=False)
    except ValueError:
        problems.add("address", f"{str(value)!r} is not an IP address or network")
        return None
