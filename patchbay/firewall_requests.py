"""What clients ask of a router's firewall, and how it is answered: a part of the director."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from actors.protocol import Plain
from patchbay.events import EventLog
from patchbay.topology import edit
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain
from patchbay.values import Firewall, FirewallConfig

_FIREWALL: Any = Firewall | FirewallConfig


class FirewallRequests(ABC):
    """Answers the requests that are about firewalls; whoever is it holds the topology."""

    _topology: Topology
    _log: EventLog

    @abstractmethod
    def _change(self, after: Topology) -> None:
        """Have the network be so, or raise and leave it as it was."""

    def on_set_firewall(self, node: str, firewall: Plain) -> Plain:
        """Set what a router lets through."""
        value = from_plain(_FIREWALL, firewall)
        self._change(edit.set_firewall(self._topology, node, value))
        self._log.add("firewall_changed", node=node, firewall=firewall)
        return None

    def on_set_block_icmp_frag_needed(self, node: str, block: bool) -> Plain:
        """Set whether path MTU discovery ends at a router."""
        self._change(edit.set_block_icmp_frag_needed(self._topology, node, block))
        self._log.add("pmtu_black_hole_changed", node=node, block=block)
        return None

    def on_set_port_mapping(self, node: str, on: bool) -> Plain:
        """Set whether hosts of a router's LAN can ask it for ports."""
        self._change(edit.set_port_mapping(self._topology, node, on))
        self._log.add("port_mapping_changed", node=node, on=on)
        return None

    def on_release(self, node: str, host: str) -> Plain:
        """Let a host pass the captive portal of a router."""
        self._change(edit.release(self._topology, node, host))
        self._log.add("portal_released", node=node, host=host)
        return None

    def on_hold(self, node: str, host: str) -> Plain:
        """Have the captive portal of a router hold a host back again."""
        self._change(edit.hold(self._topology, node, host))
        self._log.add("portal_held", node=node, host=host)
        return None
