"""What routers do to the addresses of packets: known kinds of NAT, and NAT spelled out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from patchbay.errors import Problems
from patchbay.values.parsing import NamedEnum, is_int, is_port_range, parse, put


class NatMapping(NamedEnum):
    """For which packets a NAT uses one external address and port again (RFC 4787 4.1)."""

    ENDPOINT_INDEPENDENT = "endpoint_independent"
    ADDRESS_DEPENDENT = "address_dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address_and_port_dependent"


class NatFiltering(NamedEnum):
    """From whom a NAT lets packets in to a mapping (RFC 4787 5)."""

    ENDPOINT_INDEPENDENT = "endpoint_independent"
    ADDRESS_DEPENDENT = "address_dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address_and_port_dependent"


@dataclass(frozen=True, slots=True, kw_only=True)
class NatTimeouts:
    """How long a NAT remembers an idle flow, in seconds.

    Attributes:
        udp: until a UDP flow has seen packets both ways for a while.
        udp_stream: from then on.
        tcp_established: an open TCP connection.
    """

    udp: int = 30
    udp_stream: int = 300
    tcp_established: int = 7200

    def __post_init__(self) -> None:
        problems = Problems()
        for name in ("udp", "udp_stream", "tcp_established"):
            value = getattr(self, name)
            if not is_int(value) or not 1 <= value < 2**31:
                problems.add(name, f"{value!r} is not a whole number of seconds from 1 on")
        problems.check()


@dataclass(frozen=True, slots=True, init=False)
class NatConfig:
    """An IPv4 NAT, spelled out.

    Attributes:
        mapping: when an external port is used again.
        filtering: who may send to it.
        hairpin: whether hosts of the LAN reach each other by their external addresses.
        timeouts: how long idle flows are remembered.
        ports: first and last external port; None for any, the internal one where it is free.
    """

    mapping: NatMapping
    filtering: NatFiltering
    hairpin: bool
    timeouts: NatTimeouts
    ports: tuple[int, int] | None

    def __init__(
        self,
        mapping: NatMapping | str = NatMapping.ENDPOINT_INDEPENDENT,
        filtering: NatFiltering | str = NatFiltering.ADDRESS_AND_PORT_DEPENDENT,
        hairpin: bool = False,
        timeouts: NatTimeouts | None = None,
        ports: tuple[int, int] | None = None,
    ) -> None:
        problems = Problems()
        put(self, "mapping", NatMapping, mapping, problems)
        put(self, "filtering", NatFiltering, filtering, problems)
        object.__setattr__(self, "hairpin", bool(hairpin))
        object.__setattr__(self, "timeouts", NatTimeouts() if timeouts is None else timeouts)
        object.__setattr__(self, "ports", None if ports is None else tuple(ports))
        if self.ports is not None and not is_port_range(self.ports):
            problems.add("ports", f"{ports!r} is not a first and a last port from 1 to 65535")
        problems.check()


class Nat(NamedEnum):
    """What a router does to IPv4 packets that leave its LAN, as known kinds of NAT do."""

    NONE = "none"
    HOME = "home"
    CORPORATE = "corporate"
    CLOUD_NAT = "cloud_nat"
    FULL_CONE = "full_cone"
    CGNAT = "cgnat"

    @property
    def config(self) -> NatConfig | None:
        """The same NAT, spelled out; None for `NONE`."""
        return _NATS[self]


_NATS: Mapping[Nat, NatConfig | None] = MappingProxyType(
    {
        Nat.NONE: None,
        Nat.HOME: NatConfig(),
        Nat.CORPORATE: NatConfig(
            mapping=NatMapping.ADDRESS_AND_PORT_DEPENDENT,
            timeouts=NatTimeouts(udp_stream=120, tcp_established=3600),
        ),
        Nat.CLOUD_NAT: NatConfig(
            mapping=NatMapping.ADDRESS_AND_PORT_DEPENDENT,
            timeouts=NatTimeouts(udp_stream=350, tcp_established=3600),
        ),
        Nat.FULL_CONE: NatConfig(filtering=NatFiltering.ENDPOINT_INDEPENDENT, hairpin=True),
        # RFC 6888 asks of a carrier-grade NAT what RFC 4787 does: hosts behind it can be reached.
        # Its timeouts are the least that RFC 4787 REQ-5 and RFC 5382 REQ-5 allow.
        Nat.CGNAT: NatConfig(
            filtering=NatFiltering.ENDPOINT_INDEPENDENT,
            hairpin=True,
            timeouts=NatTimeouts(udp=120, udp_stream=300, tcp_established=7440),
        ),
    }
)


class NatV6Mode(NamedEnum):
    """What a router does to IPv6 packets that leave its LAN."""

    NONE = "none"
    """They are routed."""
    NPTV6 = "nptv6"
    """The prefix is translated, one to one (RFC 6296)."""
    MASQUERADE = "masquerade"
    NAT64 = "nat64"
    """Those to 64:ff9b::/96 become IPv4 (RFC 6146)."""


def parse_nat(value: object, place: str = "nat") -> Nat | NatConfig:
    """Return a NAT: a kind of it, its name, or a `NatConfig`."""
    return value if isinstance(value, NatConfig) else parse(Nat, value, place)
