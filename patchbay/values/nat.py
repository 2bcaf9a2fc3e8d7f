"""What routers do to the addresses of packets: known kinds of NAT."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from patchbay.values.nat_config import NatConfig, NatFiltering, NatMapping, NatTimeouts
from patchbay.values.parsing import NamedEnum, parse


class Nat(NamedEnum):
    """What a router does to IPv4 packets that leave its LAN, as known kinds of NAT do."""

    NONE = "none"
    HOME = "home"
    """Does what RFC 4787, RFC 5382 and RFC 5508 say that a NAT must."""
    HOME_LEGACY = "home_legacy"
    """Has the shorter timeouts of many home routers, which those RFCs forbid, and no hairpin."""
    CORPORATE = "corporate"
    CLOUD_NAT = "cloud_nat"
    FULL_CONE = "full_cone"
    CGNAT = "cgnat"
    """Does what RFC 6888 asks of a carrier-grade NAT."""
    OPEN = "full_cone"
    MODERATE = "home"
    STRICT = "corporate"

    @property
    def config(self) -> NatConfig | None:
        """The same NAT, spelled out; None for `NONE`."""
        return _NATS[self]


_LEGACY = NatTimeouts(udp=30, udp_stream=300, tcp_established=7200)

_NATS: Mapping[Nat, NatConfig | None] = MappingProxyType(
    {
        Nat.NONE: None,
        Nat.HOME: NatConfig(hairpin=True),
        Nat.HOME_LEGACY: NatConfig(timeouts=_LEGACY),
        Nat.CORPORATE: NatConfig(
            mapping=NatMapping.ADDRESS_AND_PORT_DEPENDENT,
            timeouts=NatTimeouts(udp=30, udp_stream=120, tcp_established=3600),
        ),
        Nat.CLOUD_NAT: NatConfig(
            mapping=NatMapping.ADDRESS_AND_PORT_DEPENDENT,
            timeouts=NatTimeouts(udp=30, udp_stream=350, tcp_established=3600),
        ),
        Nat.FULL_CONE: NatConfig(
            filtering=NatFiltering.ENDPOINT_INDEPENDENT, hairpin=True, timeouts=_LEGACY
        ),
        # RFC 6888: reachable as RFC 4787 would have it (REQ-1, REQ-7), a limit for each host
        # (REQ-4), two minutes until a port is another's (REQ-8), blocks of ports (REQ-14). The
        # numbers of REQ-4 and REQ-14 are the carrier's to choose: with blocks of 64 there are
        # enough for a thousand hosts to an address.
        Nat.CGNAT: NatConfig(
            filtering=NatFiltering.ENDPOINT_INDEPENDENT,
            hairpin=True,
            block_size=64,
            quota=2048,
            hold_down=120,
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
