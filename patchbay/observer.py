"""What clients ask a lab's supervisor to see: packets, counters, how well the host kept time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, cast

from actors.errors import NodeGone
from actors.protocol import Plain
from actors.supervisor import Supervisor
from patchbay.capture.keys import KeyLog
from patchbay.events import EventLog
from patchbay.fidelity import Fidelity, Totals
from patchbay.link_counters import of_disciplines, of_engine
from patchbay.link_stats import LinkStats
from patchbay.links.userspace.process import EngineDied
from patchbay.observation import Counters, Metrics, Wakefulness, soonest
from patchbay.topology.graph import node_names
from patchbay.topology.joints import far_end
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.snapshot import InterfaceSnapshot, interface_snapshots
from patchbay.values import LinkCondition, LinkEngine
from patchbay.wiring.kernel import Kernel

if TYPE_CHECKING:
    from patchbay.capture.recordings import Recordings


class Observer:
    """Looks, and changes nothing; the director passes on the requests that it does not answer."""

    def __init__(
        self,
        supervisor: Supervisor,
        kernel: Kernel,
        log: EventLog,
        topology: Callable[[], Topology],
        options: dict[str, Plain],
    ) -> None:
        """Begin to observe what the lab's options ask for.

        Args:
            supervisor: whose process this is.
            kernel: the namespaces of the nodes.
            log: where events go.
            topology: the network as it is now.
            options: those of the lab.
        """
        self._supervisor = supervisor
        self._kernel = kernel
        self._log = log
        self._topology = topology
        directory = cast("str | None", options["outdir"])
        self._key_log = KeyLog(directory) if options["tls_keys"] else None
        self._recordings: Recordings | None = None
        """Made with the first recording, which loads what it takes: most labs have none."""
        self._wakefulness = Wakefulness(
            cast("float | None", options["max_lag_ms"]),
            lambda lag: self._log.add("timing_untrusted", lag_ms=round(lag, 3)),
        )
        every = cast("float | None", options["metrics_every"])
        self._metrics = Metrics(
            directory, every, lambda: self._counters(node_names(self._topology()))
        )

    # -- the director

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for everything that runs on nodes."""
        return {} if self._key_log is None else self._key_log.environment

    def follow(self, topology: Topology) -> None:
        """Take a change of the network into account that the kernel has made."""
        if self._recordings is not None:
            self._recordings.follow(topology)

    def turn(self) -> float | None:
        """Do what is due; seconds until the next time, None if there is none."""
        return soonest(self._wakefulness.turn(self._supervisor.overslept), self._metrics.turn())

    def close(self) -> None:
        """Finish what is being written."""
        self._metrics.close()

    # -- requests

    def on_capture(
        self, selection: Plain, program: bytes, filter_text: str, snaplen: int | None
    ) -> Plain:
        """Start a recording; its client's channel and the file come with the request."""
        from patchbay.capture.bpf import unpacked
        from patchbay.capture.recordings import Recordings
        from patchbay.capture.selection import Selection

        if self._recordings is None:
            self._recordings = Recordings(
                self._supervisor,
                self._kernel,
                on_end=lambda number: self._log.add("capture_ended", capture=number),
                on_lack=lambda number, reason: self._log.add(
                    "capture_incomplete", capture=number, reason=reason
                ),
            )
        chosen = from_plain(Selection, selection)
        keys = [] if self._key_log is None else [self._key_log.descriptor]
        number = self._recordings.start(
            self._topology(),
            chosen,
            unpacked(program),
            filter_text=filter_text,
            snaplen=snaplen,
            given=[*self._supervisor.given, *keys],
        )
        self._log.add(
            "capture_started",
            capture=number,
            node=chosen.node,
            iface=chosen.interface,
            filter=filter_text,
        )
        return number

    def on_condition(self, node: str, iface: str, direction: str) -> Plain:
        """What packets of an interface meet, and those of flows, as the engine has it."""
        named = {each.name: each for each in interface_snapshots(self._topology(), node)}
        snapshot = named.get(iface)
        if snapshot is None:
            raise NodeGone(f"interface {iface!r} of node {node!r} was removed")
        if direction == "up":
            place: tuple[str, str] | None = (node, iface)
            asked, flows = snapshot.condition_up, snapshot.flows_up
        else:
            place = far_end(self._topology(), node, iface)
            asked, flows = snapshot.condition_down, snapshot.flows_down
        if place is not None:
            with suppress(EngineDied):  # its death is an event; what it had was this
                found, flows = self._kernel.engines.read(*place)
                if found != (asked or LinkCondition.LAN):
                    asked = None if found.perfect else found
        return [to_plain(asked), to_plain(flows)]

    def on_stats(self, node: str, iface: str) -> Plain:
        """The counters of an interface."""
        return cast("Plain", self._counters([node])[node][iface])

    def on_all_stats(self) -> Plain:
        """The counters of all interfaces, by node and name."""
        return cast("Plain", self._counters(node_names(self._topology())))

    def _counters(self, nodes: Iterable[str]) -> Counters:
        topology = self._topology()
        found: Counters = {}
        for node in nodes:
            links = {link.name: link for link in self._kernel.links(node)}
            found[node] = {
                each.name: {
                    **asdict(links[each.name].statistics),
                    **self._of_links(topology, node, each),
                }
                for each in interface_snapshots(topology, node)
                if each.name in links
            }
        return found

    def _of_links(
        self, topology: Topology, node: str, interface: InterfaceSnapshot
    ) -> dict[str, Plain]:
        """What the conditions of an interface did, by direction; nothing for a plain cable."""
        found: dict[str, Plain] = {}
        near, far = (node, interface.name), far_end(topology, node, interface.name)
        for direction, place, engine in (
            ("up", near, interface.engine_up),
            ("down", far, interface.engine_down),
        ):
            if engine is not None and place is not None:
                found[direction] = to_plain(self._of_link(place, engine.engine))
        return found

    def _of_link(self, place: tuple[str, str], engine: LinkEngine) -> LinkStats | None:
        """What was done to packets that left by an end of a cable."""
        if engine is LinkEngine.KERNEL:
            return of_disciplines(self._kernel.disciplines(*place))
        try:
            told = self._kernel.engines.stats(*place)
        except EngineDied:
            return None  # its death is an event, and an error for whoever changes a link
        return None if told is None else of_engine(cast("dict[str, Any]", told))

    def on_fidelity(self, since: Plain) -> Plain:
        """What the host did since a moment; since the lab began if that is None."""
        before = self._wakefulness.begin if since is None else from_plain(Totals, since)
        after = replace(self._wakefulness.totals(), late=self._kernel.engines.late())
        return to_plain(Fidelity.between(before, after))
