"""What a router lets through, and how that is changed: a part of its handle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from patchbay.topology import model
from patchbay.topology.plain import to_plain
from patchbay.values import (
    Firewall,
    FirewallConfig,
    Named,
    Pinhole,
    PortMapping,
    name_of,
    parse_firewall,
    parse_flag,
)

if TYPE_CHECKING:
    from patchbay.lab import Lab


class RouterFirewall(ABC):
    """The firewall of a router; whoever is it knows which one."""

    _lab: Lab
    _name: str

    @abstractmethod
    def _model(self) -> model.Router:
        """What the router is now."""

    @property
    def firewall(self) -> Firewall | FirewallConfig:
        """What it lets through."""
        return self._model().firewall

    @property
    def block_icmp_frag_needed(self) -> bool:
        """Whether path MTU discovery ends here; its firewall can end it as well."""
        return self._model().block_icmp_frag_needed

    def set_firewall(self, firewall: Firewall | FirewallConfig | str) -> None:
        """Set what it lets through, in one transaction."""
        value = to_plain(parse_firewall(firewall))
        self._lab.request("set_firewall", node=self._name, firewall=value)

    def set_block_icmp_frag_needed(self, block: bool = True) -> None:
        """Make it a black hole for path MTU discovery, or end that.

        Nobody learns from it, or through it, that packets are too long: "fragmentation needed" of
        ICMP and "packet too big" of ICMPv6 are dropped, those about its own MTU too.
        """
        flag = parse_flag(block, "block")
        self._lab.request("set_block_icmp_frag_needed", node=self._name, block=flag)

    @property
    def port_mapping(self) -> bool:
        """Whether hosts of its LAN can ask it for ports."""
        return self._model().port_mapping

    @property
    def port_mappings(self) -> tuple[PortMapping, ...]:
        """The ports that hosts of its LAN have asked for, and have now."""
        return self._model().port_mappings

    @property
    def pinholes(self) -> tuple[Pinhole, ...]:
        """The ways in over IPv6 that hosts of its LAN have asked for, and have now."""
        return self._model().pinholes

    def set_port_mapping(self, on: bool = True) -> None:
        """Set whether hosts of its LAN can ask for ports, by UPnP-IGD, NAT-PMP and PCP.

        It needs IPv4 NAT. With the protocols, the ports and the ways in that were asked for end.
        """
        self._lab.request("set_port_mapping", node=self._name, on=parse_flag(on, "on"))

    def release(self, host: Named | str) -> None:
        """Let a host pass its captive portal, on all interfaces that are plugged into its LAN.

        Raises:
            ConfigError: the host is not plugged into its LAN.
        """
        self._lab.request("release", node=self._name, host=name_of(host))

    def hold(self, host: Named | str) -> None:
        """Have its captive portal hold a host back again, open connections too; see `release`."""
        self._lab.request("hold", node=self._name, host=name_of(host))
