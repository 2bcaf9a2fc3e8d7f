"""What clients ask of links, and how it is answered: a part of the director."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, cast

from actors.protocol import Plain
from patchbay.events import EventLog
from patchbay.link_recorder import LinkRecorder
from patchbay.links.spec import Flows
from patchbay.player import Player, described
from patchbay.topology import edit
from patchbay.topology.graph import LAN_BRIDGE
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.playing import Way, playing_at
from patchbay.topology.snapshot import interface_engines
from patchbay.values import LinkEngine, TimedCondition, condition_now
from patchbay.wiring.kernel import Kernel

_CONDITION: Any = TimedCondition | None
_ENGINE: Any = LinkEngine | None
_FLOWS: Any = Flows


class LinkRequests(ABC):
    """Answers the requests that are about links; whoever is it holds the topology."""

    _topology: Topology
    _kernel: Kernel
    _log: EventLog
    _player: Player
    _link_recorder: LinkRecorder

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
        since: str = "now",
    ) -> Plain:
        """Set what packets of an interface meet."""
        value, asked = from_plain(_CONDITION, condition), from_plain(_ENGINE, engine)
        way, begun = cast("edit.Direction", direction), self._player.begun(since)
        before, met = self._able(self._topology), from_plain(_FLOWS, flows)
        self._change(edit.set_condition(before, node, name, value, way, asked, met, begun))
        engines = interface_engines(self._topology, node, name)
        self._log.add(
            "link_condition_changed",
            node=node,
            iface=name,
            condition=to_plain(condition_now(value, begun.elapsed)),
            direction=way,
            engine={one: to_plain(engines[one]) for one in engines if way in (one, "both")},
            flows=flows,
            schedule=described(value),
        )
        return None

    def on_set_downlink(
        self, node: str, condition: Plain, engine: Plain, flows: Plain = (), since: str = "now"
    ) -> Plain:
        """Set what packets from a router to its LAN meet."""
        value, asked = from_plain(_CONDITION, condition), from_plain(_ENGINE, engine)
        met, begun = from_plain(_FLOWS, flows), self._player.begun(since)
        self._change(edit.set_downlink(self._able(self._topology), node, value, asked, met, begun))
        engines = interface_engines(self._topology, node, LAN_BRIDGE)
        self._log.add(
            "downlink_condition_changed",
            node=node,
            condition=to_plain(condition_now(value, begun.elapsed)),
            engine=to_plain(engines["up"]),
            flows=flows,
            schedule=described(value),
        )
        return None

    def on_schedule(self, node: str, name: str, direction: str) -> Plain:
        """What the condition of an interface follows; None if it stays what it is."""
        place = (node, name, cast("Way", direction))
        playing = playing_at(self._topology, place)
        return None if playing is None else to_plain(playing.timeline)

    def on_record_conditions(self, node: str, name: str, direction: str) -> Plain:
        """Begin to record what packets of an interface meet; a number for it."""
        return self._link_recorder.start(self._topology, (node, name, cast("Way", direction)))

    def on_recorded_conditions(self, number: int, stop: bool) -> Plain:
        """What was recorded."""
        return to_plain(self._link_recorder.trace(number, stop=stop))

    def _able(self, topology: Topology) -> Topology:
        """A topology that knows what this host can do with links."""
        if topology.link_features is not None:
            return topology
        return replace(topology, link_features=tuple(sorted(self._kernel.link_features)))
