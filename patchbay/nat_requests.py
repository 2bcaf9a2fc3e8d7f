"""What clients ask of a router's NAT, and how it is answered: a part of the director."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address
from typing import Any

from actors.protocol import Plain
from patchbay.events import EventLog
from patchbay.rebindings import Rebindings
from patchbay.rules.words import CtStatus
from patchbay.topology import edit
from patchbay.topology.graph import UPLINK, find_router, outside_addresses
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain
from patchbay.topology.plan import node_plan
from patchbay.topology.steps import IPAddress
from patchbay.values import Nat, NatConfig
from patchbay.wiring.connection import NETLINK_NETFILTER
from patchbay.wiring.conntrack import ConntrackEntry, conntrack
from patchbay.wiring.kernel import Kernel

_NAT: Any = Nat | NatConfig
_Endpoint = tuple[IPAddress, int]


class NatRequests(ABC):
    """Answers the requests that are about NAT; whoever is it holds the topology."""

    _topology: Topology
    _kernel: Kernel
    _log: EventLog
    _rebindings: Rebindings

    @abstractmethod
    def _change(self, after: Topology) -> None:
        """Have the network be so, or raise and leave it as it was."""

    def on_nat_table(self, node: str) -> Plain:
        """The connections that a router translates."""
        router = find_router(self._topology, node)
        if router.nat is Nat.NONE or router.uplink.address is None:
            return []
        own = (router.uplink.address, *outside_addresses(router))
        tracked = conntrack(self._kernel.connection(node, NETLINK_NETFILTER))
        return _translations(tracked, [each.ip for each in own])

    def on_set_nat(self, node: str, nat: Plain, flush: bool) -> Plain:
        """Set how a router translates IPv4 addresses."""
        before = self._topology.routers[node].nat
        self._change(edit.set_nat(self._topology, node, from_plain(_NAT, nat)))
        self._log.add("nat_changed", node=node, nat=nat)
        # What was not translated has no way back any more; it may begin anew.
        if flush or before is Nat.NONE:
            self.on_flush_nat(node)
        return None

    def on_flush_nat(self, node: str) -> Plain:
        """Forget every connection that a router tracks, and so every mapping."""
        self._kernel.flush_conntrack(node, node_plan(self._topology, node).tables)
        self._log.add("nat_state_flushed", node=node)
        return None

    def on_rebind_nat(self, node: str, address: bool) -> Plain:
        """Have a router forget its mappings and use other ports, and another address if asked."""
        after = edit.renew_ip(self._topology, node, UPLINK) if address else self._topology
        self._rebindings.rebind(self._topology, node)
        if address:
            self._change(after)
        uplink = find_router(after, node).uplink.address
        self._log.add("nat_rebound", node=node, address=str(uplink.ip) if uplink else None)
        return None


def _translations(connections: Iterable[ConntrackEntry], outside: Collection[IPv4Address]) -> Plain:
    """Those of a router's tracked connections that are translated, as a client is told of them.

    Args:
        connections: what it tracks.
        outside: its outside addresses; what else is sent on comes from inside, and stays there.
    """
    return [
        {
            "protocol": each.protocol,
            "timeout": each.timeout,
            **{name: [str(address), port] for name, (address, port) in ends.items()},
        }
        for each in connections
        if (ends := _ends(each, outside)) is not None
    ]


def _ends(each: ConntrackEntry, outside: Collection[IPv4Address]) -> dict[str, _Endpoint] | None:
    there, back = each.original, each.reply
    if each.status & CtStatus.SNAT:
        return {
            "inside": (there.source, there.source_port),
            "outside": (back.destination, back.destination_port),
            "remote": (there.destination, there.destination_port),
        }
    if each.status & CtStatus.DNAT and there.destination in outside:
        return {
            "inside": (back.source, back.source_port),
            "outside": (there.destination, there.destination_port),
            "remote": (there.source, there.source_port),
        }
    return None
