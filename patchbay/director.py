"""A lab inside its supervisor: the one place that changes the network, and says what it is.

Every change is the same straight line: a pure edit of the topology, the steps from the old to the
new one, the kernel told in one go, the event log. If the kernel refuses, it is as if nobody had
asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_interface
from typing import Any, ClassVar, cast

from actors.errors import NodeGone
from actors.protocol import Plain
from actors.supervisor import NodeSpec, Supervisor
from patchbay.errors import ProgramFailure, RefusedByKernel
from patchbay.etc import static_files
from patchbay.events import EventLog
from patchbay.firewall_requests import FirewallRequests
from patchbay.link_recorder import LinkRecorder
from patchbay.links.userspace.process import EngineProcess
from patchbay.nat_requests import NatRequests
from patchbay.observation import soonest
from patchbay.observer import Observer
from patchbay.player import Player
from patchbay.rebindings import Rebindings
from patchbay.region_requests import RegionRequests
from patchbay.services.running import Services
from patchbay.topology import edit
from patchbay.topology.diff import steps
from patchbay.topology.empty import new_topology
from patchbay.topology.graph import (
    find_device,
    find_interface,
    find_node,
    find_router,
    kind_of,
    node_names,
    region_of,
)
from patchbay.topology.hosts import ascii_name, dns_entry, hosts_text, resolve, same_names
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.requests import (
    DeviceRequest,
    RegionRequest,
    Request,
    RouterRequest,
    TrunkRequest,
)
from patchbay.topology.snapshot import interface_snapshots
from patchbay.topology.steps import AddNode, RemoveNode, Step
from patchbay.values import IfaceConfig, NatV6Mode
from patchbay.wiring.errors import WiringError
from patchbay.wiring.kernel import Kernel

_REQUESTS: dict[str, Any] = {
    "router": RouterRequest,
    "device": DeviceRequest,
    "region": RegionRequest,
    "region_link": TrunkRequest,
}


class LabDirector(NatRequests, RegionRequests, FirewallRequests):
    """Holds the topology of a lab and its namespaces; answers what clients ask."""

    later: ClassVar[tuple[str, ...]] = (
        "patchbay.services.announcing",
        "patchbay.services.igd",
        "patchbay.services.igd_firewall",
        "patchbay.services.leases",
        "patchbay.services.nat_pmp",
        "patchbay.services.pcp",
        "patchbay.services.pinholes",
        "patchbay.services.portal",
        "patchbay.services.soap",
        "patchbay.services.sockets",
        "patchbay.services.ssdp",
        "patchbay.services.unsolicited",
        "patchbay.wiring.packet_log",
        "patchbay.links.userspace.engine",
        "patchbay.capture.bpf",
        "patchbay.capture.recordings",
    )

    def __init__(self, supervisor: Supervisor, options: dict[str, Plain]) -> None:
        self._supervisor = supervisor
        self._topology = new_topology(
            cast("str", options["name"]),
            ipv6_provisioning=cast("str", options["ipv6_provisioning"]),
            ipv6_dad=cast("bool", options["ipv6_dad"]),
            link_engine=cast("str", options["link_engine"]),
            seed=cast("int", options["seed"]),
        )
        self._kernel = Kernel(
            dad=self._topology.ipv6_dad,
            start_engine=lambda: EngineProcess(
                supervisor.start_worker,
                lambda reason: self._log.add("link_engine_died", reason=reason),
                self._program_failed,
                supervisor,
            ),
        )
        self._program_failures: list[ProgramFailure] = []
        self._log = EventLog(cast("str | None", options["outdir"]))
        self._rebindings = Rebindings(self._kernel, self._log)
        self._supervisor.output_directory = self._log.nodes_directory
        self._services = Services(supervisor, self._kernel, self._log.add, self)
        self._observer = Observer(
            supervisor, self._kernel, self._log, lambda: self._topology, options
        )
        self._link_recorder = LinkRecorder()
        self._player = Player(supervisor.watch, self._log, lambda: self._topology, self._have)
        for name, text in static_files().items():
            self._write(name, text)
        self._apply(None, self._topology)
        self._log.add("lab_created", name=self._topology.name, seed=options["seed"])
        self._log.save_state(self._topology)

    # -- requests

    def handle(self, method: str, arguments: dict[str, Plain]) -> Plain:
        """Answer a request of a client: a change, or a question.

        What is about a node names it `node`: a handle may be older than the node's removal.
        """
        node = arguments.get("node")
        if node is not None and node not in node_names(self._topology):
            raise NodeGone(f"node {node!r} is not in this lab (any more, or yet)")
        name = f"on_{method}"
        handler: Callable[..., Plain] = getattr(
            self if hasattr(self, name) else self._observer, name
        )
        return handler(**arguments)

    def on_topology(self) -> Plain:
        """The whole topology."""
        return to_plain(self._topology)

    def on_device(self, node: str) -> Plain:
        """What a device is."""
        return to_plain(find_device(self._topology, node))

    def on_router(self, node: str) -> Plain:
        """What a router is."""
        return to_plain(find_router(self._topology, node))

    def on_interfaces(self, node: str) -> Plain:
        """The interfaces of a node, as its handle tells them."""
        return [to_plain(each) for each in interface_snapshots(self._topology, node)]

    def on_find(self, name: str) -> Plain:
        """Whether a node that a user named is a region, a router or a device."""
        return kind_of(self._topology, name)

    def on_resolve(self, name: str, node: str | None) -> Plain:
        """The address of a name, for a node or lab-wide."""
        return str(resolve(self._topology, name, node))

    def on_events(self, since: int) -> Plain:
        """The event log, from a number on."""
        return self._log.since(since)

    def on_emit(self, kind: str, fields: dict[str, Plain]) -> Plain:
        """Note an event of a user's own."""
        self._log.add(kind, **fields)
        return None

    # -- changes

    def on_build(self, topology: Plain) -> Plain:
        """Build a whole topology in a lab that is still empty."""
        given = from_plain(Topology, topology)
        settings = {each: getattr(self._topology, each) for each in ("seed", "link_engine")}
        self._change(self._able(replace(given, **settings)))
        built = self._topology
        for name in (*built.regions, *built.routers, *built.devices):
            self._added(name)
        for trunk in built.trunks:
            self._note_link(*trunk.ends)
        return None

    def on_add(self, requests: list[tuple[str, Plain]]) -> Plain:
        """Add nodes, and links between regions: all of them or none."""
        wanted: list[Request] = [from_plain(_REQUESTS[kind], plain) for kind, plain in requests]
        self._change(edit.batch(self._able(self._topology), wanted))
        for request in wanted:
            if isinstance(request, TrunkRequest):
                self._note_link(*request.ends)
            else:
                self._added(request.name)
        return None

    def on_remove(self, node: str) -> Plain:
        """Remove a router, a device or a region."""
        kind = kind_of(self._topology, node)
        self._change(edit.remove(self._topology, node))
        self._log.add(f"{kind}_removed", name=node)
        return None

    def on_add_iface(self, node: str, name: str, config: Plain) -> Plain:
        """Add an interface to a device."""
        plugged = from_plain(IfaceConfig, config)
        self._change(edit.add_iface(self._able(self._topology), node, name, plugged))
        self._iface_event("interface_added", node, name)
        return None

    def on_remove_iface(self, node: str, name: str) -> Plain:
        """Remove an interface of a device."""
        self._change(edit.remove_iface(self._topology, node, name))
        self._log.add("interface_removed", node=node, iface=name)
        return None

    def on_replug(self, node: str, name: str, router: str) -> Plain:
        """Plug an interface into the LAN of another router."""
        before = find_interface(self._topology, node, name).lan
        self._change(edit.replug(self._topology, node, name, router))
        self._iface_event("interface_replugged", node, name, from_router=before, to_router=router)
        return None

    def on_renew_ip(self, node: str, name: str) -> Plain:
        """Give an interface other addresses of its LAN."""
        self._change(edit.renew_ip(self._topology, node, name))
        self._iface_event("device_ip_changed", node, name)
        return None

    def on_add_ip(self, node: str, name: str, address: str) -> Plain:
        """Give an interface one more address."""
        self._change(edit.add_ip(self._topology, node, name, ip_interface(address)))
        self._iface_event("device_ip_added", node, name, address=address)
        return None

    def on_set_up(self, node: str, name: str, up: bool) -> Plain:
        """Switch an interface on or off."""
        self._change(edit.set_up(self._topology, node, name, up))
        self._log.add("link_up" if up else "link_down", node=node, iface=name)
        return None

    def on_set_mtu(self, node: str, name: str, mtu: int | None) -> Plain:
        """Set the MTU of an interface."""
        self._change(edit.set_mtu(self._topology, node, name, mtu))
        self._log.add("mtu_changed", node=node, iface=name, mtu=mtu)
        return None

    def on_set_default_route(self, node: str, name: str) -> Plain:
        """Have a device's default route leave by another interface."""
        self._change(edit.set_default_route(self._topology, node, name))
        self._log.add("default_route_changed", node=node, iface=name)
        return None

    def on_set_nat_v6(self, node: str, mode: Plain) -> Plain:
        """Set how a router translates IPv6 addresses."""
        self._change(edit.set_nat_v6(self._topology, node, from_plain(NatV6Mode, mode)))
        self._log.add("nat_v6_changed", node=node, nat_v6=mode)
        return None

    def on_dns_entry(self, name: str, addresses: list[str], node: str | None) -> Plain:
        """Have a name resolve, on one node or on all."""
        after = self._topology
        for address in addresses:
            after = dns_entry(after, name, address, node)
        self._change(after)
        self._log.add("dns_entry_added", name=name, addresses=[*addresses], node=node)
        return None

    # -- the supervisor

    def node_died(self, name: str, reason: str) -> None:
        """Note that the process of a node ended by itself."""
        self._log.add("node_died", node=name, reason=reason)

    def node_restarted(self, name: str) -> None:
        """Note that a node has a new process."""
        self._log.add("node_restarted", node=name)

    def idle(self) -> float | None:
        """Do what was put off; seconds until the next call, None if nothing is due."""
        if self._log.due() == 0.0:
            self._log.save_due()
        self._rebindings.run_due(self._topology, self.on_rebind_nat)
        self._services.expire()
        return soonest(
            self._rebindings.or_sooner(self._log.due()),
            self._kernel.tidy_links(),
            self._observer.turn(),
            self._services.due(),
        )

    def last_words(self) -> Plain:
        """The packet programs that have failed."""
        self._kernel.engines.listen()
        return to_plain(self._program_failures)

    def _program_failed(self, failure: ProgramFailure) -> None:
        self._program_failures.append(failure)
        self._log.add(
            "packet_program_failed",
            link=failure.link,
            program=failure.program,
            reason=failure.reason,
        )

    def close(self) -> None:
        """Finish the event log; the kernel takes the rest."""
        self._observer.close()
        self._log.add("lab_closed")
        self._log.close(self._topology)

    # -- how a change is made

    def _added(self, name: str) -> None:
        kind = kind_of(self._topology, name)
        node = self._topology.regions.get(name) or find_node(self._topology, name)
        told = cast("dict[str, Plain]", to_plain(node))
        if kind == "router":
            told["region"] = region_of(self._topology, name)
        self._log.add(f"{kind}_added", **told)

    def _iface_event(self, kind: str, node: str, name: str, **fields: Plain) -> None:
        interface = cast("dict[str, Plain]", to_plain(find_interface(self._topology, node, name)))
        self._log.add(kind, **{"node": node, "iface": name, **fields, "state": interface})

    @property
    def topology(self) -> Topology:
        """What the network is now, for the services of routers."""
        return self._topology

    def change(self, after: Topology) -> None:
        """Have the network be so, for the services of routers."""
        self._change(after)

    def _change(self, after: Topology) -> None:
        self._have(after)
        self._log.save_state(after)

    def _have(self, after: Topology) -> None:
        before = self._topology
        try:
            self._apply(before, after)
        except WiringError as error:
            raise RefusedByKernel(str(error)) from error
        try:
            self._services.follow(after)
        except OSError as error:
            self._apply(after, before)
            raise RefusedByKernel(f"a router cannot serve its LAN: {error.strerror}") from error
        self._topology = after
        self._observer.follow(after)
        self._rebindings.follow(after)
        self._player.follow(after)
        self._link_recorder.follow(after)

    def _apply(self, before: Topology | None, after: Topology) -> None:
        """Tell the kernel, fork the actors of new nodes, stop those of removed ones."""
        plan = steps(before, after)
        made = [step for step in plan if isinstance(step, AddNode)]
        given_up = [step for step in plan if isinstance(step, RemoveNode)]
        rest = [step for step in plan if not isinstance(step, (AddNode, RemoveNode))]
        new = [step.node for step in made]
        added: list[str] = []
        try:
            self._write_names(before, after)
            # actors start on one core while the rest is made and wired on the other
            self._supervisor.start_nodes(self._made(made, after, added))
            self._kernel.apply_all(rest)
            try:
                self._supervisor.wait_ready(new)
            except BaseException:
                self._kernel.apply_all(_inverse(rest))
                raise
        except BaseException:
            self._supervisor.stop_nodes(added)
            if before is not None:
                self._write_names(after, before)
            self._kernel.apply_all([RemoveNode(node=name) for name in reversed(added)])
            raise
        if given_up:
            self._supervisor.stop_nodes([step.node for step in given_up])
            self._kernel.apply_all(given_up)

    def _made(
        self, wanted: Iterable[AddNode], topology: Topology, added: list[str]
    ) -> Iterator[NodeSpec]:
        """Make the namespaces of nodes, each when its actor is asked for; `added` says which."""
        for step in wanted:
            self._kernel.apply(step)
            added.append(step.node)
            yield self._spec(step.node, topology)

    def _spec(self, name: str, topology: Topology) -> NodeSpec:
        own = f"hosts.{name}" if name in topology.node_names else "hosts"
        return NodeSpec(
            name=name,
            hostname=ascii_name(name),
            namespace=self._kernel.descriptor(name),
            files={**{f"/etc/{file}": file for file in static_files()}, "/etc/hosts": own},
            environment=self._observer.environment,
        )

    def _write_names(self, before: Topology | None, after: Topology) -> None:
        """Rewrite the hosts files in place: whoever has one open sees the new names."""
        if before is not None and same_names(before, after):
            return
        self._write("hosts", hosts_text(after, None))
        for node in after.node_names:
            self._write(f"hosts.{node}", hosts_text(after, node))
            if before is not None and node in node_names(before) and node not in before.node_names:
                self._supervisor.replace_file(node, "/etc/hosts", f"hosts.{node}")

    def _write(self, name: str, text: str) -> None:
        with open(self._supervisor.hidden.path(name), "w", encoding="utf-8") as file:
            file.write(text)


def _inverse(done: Sequence[Step]) -> list[Step]:
    """The steps that undo others; what was given up for good stays so."""
    inverses = (each.inverse() for each in reversed(done))
    return [inverse for inverse in inverses if inverse is not None]
