"""What clients ask of links, and how it is answered: a part of the director."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, cast

from actors.protocol import Plain
from patchbay.events import EventLog
from patchbay.links.spec import Flows
from patchbay.topology import edit
from patchbay.topology.graph import LAN_BRIDGE
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.snapshot import interface_engines
from patchbay.values import LinkCondition, LinkEngine
from patchbay.wiring.kernel import Kernel

_CONDITION: Any = LinkCondition | None
_ENGINE: Any = LinkEngine | None
_FLOWS: Any = Flows


class LinkRequests(ABC):
    """Answers the requests that are about links; whoever is it holds the topology."""

    _topology: Topology
    _kernel: Kernel
    _log: EventLog

    @abstractmethod
    def _change(self, after: Topology) -> None:
        """Have the network be so, or raise and leave it as it was."""

    def on_set_condition(
        self,
        node: str,
        name: str,
        condition: Plain,
        direction: str,
        engine: Plain,
        flows: Plain = (),
    ) -> Plain:
        """Set what packets of an interface meet."""
        value, asked = from_plain(_CONDITION, condition), from_plain(_ENGINE, engine)
        way = cast("edit.Direction", direction)
        before = self._able(self._topology)
        self._change(
            edit.set_condition(before, node, name, value, way, asked, from_plain(_FLOWS, flows))
        )
        engines = interface_engines(self._topology, node, name)
        self._log.add(
            "link_condition_changed",
            node=node,
            iface=name,
            condition=condition,
            direction=way,
            engine={one: to_plain(engines[one]) for one in engines if way in (one, "both")},
            flows=flows,
        )
        return None

    def on_set_downlink(
        self, node: str, condition: Plain, engine: Plain, flows: Plain = ()
    ) -> Plain:
        """Set what packets from a router to its LAN meet."""
        value, asked = from_plain(_CONDITION, condition), from_plain(_ENGINE, engine)
        met = from_plain(_FLOWS, flows)
        self._change(edit.set_downlink(self._able(self._topology), node, value, asked, met))
        engines = interface_engines(self._topology, node, LAN_BRIDGE)
        self._log.add(
            "downlink_condition_changed",
            node=node,
            condition=condition,
            engine=to_plain(engines["up"]),
            flows=flows,
        )
        return None

    def _able(self, topology: Topology) -> Topology:
        """A topology that knows what this host can do with links."""
        if topology.link_features is not None:
            return topology
        return replace(topology, link_features=tuple(sorted(self._kernel.link_features)))
