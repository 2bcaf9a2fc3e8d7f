"""What kinds of router there are, and which versions of IP they speak."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from patchbay.values.firewall import Firewall
from patchbay.values.nat import Nat, NatV6Mode
from patchbay.values.parsing import NamedEnum


class IpSupport(NamedEnum):
    """Which versions of IP a router speaks, on its uplink and on its LAN."""

    V4_ONLY = "v4_only"
    V6_ONLY = "v6_only"
    DUAL_STACK = "dual_stack"

    @property
    def v4(self) -> bool:
        """Whether it speaks IPv4."""
        return self is not IpSupport.V6_ONLY

    @property
    def v6(self) -> bool:
        """Whether it speaks IPv6."""
        return self is not IpSupport.V4_ONLY


class Ipv6Provisioning(NamedEnum):
    """How hosts of a LAN get their IPv6 addresses and default route."""

    STATIC = "static"
    RA = "ra"
    """By router advertisements and SLAAC (RFC 4861, RFC 4862)."""


class _Preset(NamedTuple):
    nat: Nat
    nat_v6: NatV6Mode
    firewall: Firewall
    ip_support: IpSupport
    public: bool
    port_mapping: bool = False


class RouterPreset(NamedEnum):
    """A kind of router, as a set of values; each of them can be overridden."""

    HOME = "home"
    PUBLIC = "public"
    PUBLIC_V4 = "public_v4"
    ISP_CGNAT = "isp_cgnat"
    ISP_V6 = "isp_v6"
    CORPORATE = "corporate"
    HOTEL = "hotel"
    CLOUD = "cloud"

    @property
    def nat(self) -> Nat:
        """How it translates IPv4 addresses."""
        return _PRESETS[self].nat

    @property
    def nat_v6(self) -> NatV6Mode:
        """How it translates IPv6 addresses."""
        return _PRESETS[self].nat_v6

    @property
    def firewall(self) -> Firewall:
        """What it lets through."""
        return _PRESETS[self].firewall

    @property
    def ip_support(self) -> IpSupport:
        """Which versions of IP it speaks."""
        return _PRESETS[self].ip_support

    @property
    def port_mapping(self) -> bool:
        """Whether hosts of its LAN can ask it for ports."""
        return _PRESETS[self].port_mapping

    @property
    def public(self) -> bool:
        """Whether the LAN's subnets come from the public pools."""
        return _PRESETS[self].public


_DUAL, _V4, _V6 = IpSupport.DUAL_STACK, IpSupport.V4_ONLY, IpSupport.V6_ONLY
_ROUTED = NatV6Mode.NONE

_PRESETS: Mapping[RouterPreset, _Preset] = MappingProxyType(
    {
        RouterPreset.HOME: _Preset(Nat.HOME, _ROUTED, Firewall.BLOCK_INBOUND, _DUAL, False, True),
        RouterPreset.PUBLIC: _Preset(Nat.NONE, _ROUTED, Firewall.NONE, _DUAL, True),
        RouterPreset.PUBLIC_V4: _Preset(Nat.NONE, _ROUTED, Firewall.NONE, _V4, True),
        RouterPreset.ISP_CGNAT: _Preset(Nat.CGNAT, _ROUTED, Firewall.NONE, _DUAL, False),
        RouterPreset.ISP_V6: _Preset(Nat.NONE, NatV6Mode.NAT64, Firewall.BLOCK_INBOUND, _V6, True),
        RouterPreset.CORPORATE: _Preset(Nat.CORPORATE, _ROUTED, Firewall.CORPORATE, _DUAL, False),
        RouterPreset.HOTEL: _Preset(Nat.CORPORATE, _ROUTED, Firewall.CAPTIVE_PORTAL, _V4, False),
        RouterPreset.CLOUD: _Preset(Nat.CLOUD_NAT, _ROUTED, Firewall.NONE, _DUAL, False),
    }
)
