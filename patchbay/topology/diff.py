"""The steps from one topology to the next: only for what differs, in an order the kernel accepts.

Nodes, bridges and cables are made first, then links, addresses, and what leans on addresses; what
is given up goes last, so that nothing is ever without its replacement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from patchbay.topology import facts as make
from patchbay.topology import steps as step
from patchbay.topology import sysctls
from patchbay.topology.facts import Facts
from patchbay.topology.graph import ancestors
from patchbay.topology.model import IX, Device, Router, Topology
from patchbay.topology.steps import Cable, Step

_T = TypeVar("_T")
_Node = TypeVar("_Node", Router, Device)
_K = TypeVar("_K", bound=tuple[object, ...])


def steps(before: Topology | None, after: Topology | None) -> tuple[Step, ...]:
    """Return what to do to a kernel that has `before` so that it has `after`.

    Args:
        before: the network that is there; None for no namespace at all, not even the IX.
        after: the network to have; None for nothing.
    """
    changed = _Changed(before, after)
    old = Facts() if before is None else _facts(before, changed)
    new = Facts() if after is None else _facts(after, changed)
    return tuple(_Diff(old, new, _replaced(before, after)).steps())


class _Changed:
    """Whose facts can differ between two topologies."""

    def __init__(self, before: Topology | None, after: Topology | None) -> None:
        self.all = (
            before is None
            or after is None
            or (before.ipv6_dad, before.ipv6_provisioning)
            != (after.ipv6_dad, after.ipv6_provisioning)
        )
        self.routers: set[str] = set()
        self.devices: set[str] = set()
        self.lans: set[str] = set()
        if before is None or after is None or self.all:
            return
        routers = _different(before.routers, after.routers)
        self.devices = _different(before.devices, after.devices)
        for topology in (before, after):
            self._add_below(topology, routers)
        self.routers |= routers
        self.lans |= routers
        for topology in (before, after):
            self._add_lans(topology)

    def _add_below(self, topology: Topology, routers: set[str]) -> None:
        """Add what is plugged into routers that changed, and the routers below them."""
        if not routers:
            return
        for router in topology.routers.values():
            if not routers.isdisjoint(ancestors(topology, router)):
                self.routers.add(router.name)
        for device in topology.devices.values():
            if any(interface.lan in routers for interface in device.interfaces):
                self.devices.add(device.name)

    def _add_lans(self, topology: Topology) -> None:
        for name in self.routers:
            if (router := topology.routers.get(name)) is not None:
                self.lans.add(router.uplink.lan)
        for name in self.devices:
            if (device := topology.devices.get(name)) is not None:
                self.lans.update(interface.lan for interface in device.interfaces)


def _different(before: Mapping[str, _Node], after: Mapping[str, _Node]) -> set[str]:
    if before is after:
        return set()
    names = {name for name, node in before.items() if after.get(name) is not node}
    names |= {name for name in after if name not in before}
    return {name for name in names if before.get(name) != after.get(name)}


def _facts(topology: Topology, changed: _Changed) -> Facts:
    facts = Facts()
    if changed.all:
        make.ix_facts(facts, topology)
        make.lan_facts(facts, topology, (IX, *topology.routers))
    else:
        known = [name for name in changed.lans if name == IX or name in topology.routers]
        make.lan_facts(facts, topology, known)
    for router in topology.routers.values():
        if changed.all or router.name in changed.routers:
            make.router_facts(facts, topology, router)
    for device in topology.devices.values():
        if changed.all or device.name in changed.devices:
            make.device_facts(facts, topology, device)
    return facts


def _replaced(before: Topology | None, after: Topology | None) -> set[str]:
    """Return the names that mean another node than before."""
    if before is None or after is None:
        return set()
    names = before.routers.keys() & after.devices.keys()
    names |= before.devices.keys() & after.routers.keys()
    if before.routers is not after.routers:
        for name in before.routers.keys() & after.routers.keys():
            if before.routers[name].uplink.cable != after.routers[name].uplink.cable:
                names.add(name)
    return set(names)


class _Diff:
    """Two tables of facts, and the steps from one to the other."""

    def __init__(self, old: Facts, new: Facts, replaced: set[str]) -> None:
        self.early: list[Step] = []
        old = self._clear_the_way(old, new, replaced)
        self.old, self.new = old, new
        self.gone = {node for node in old.nodes if node not in new.nodes}
        """Nodes that are given up; all that is in them goes with them."""
        self.unplugged = [cable for key, cable in old.cables.items() if key not in new.cables]
        self.dead = {
            end
            for cable in self.unplugged
            for end in ((cable.node, cable.interface), (cable.peer_node, cable.peer_interface))
        } | {key for key in old.bridges if key not in new.bridges}
        """Interfaces that are given up; their addresses, routes and neighbours go with them."""

    def _clear_the_way(self, old: Facts, new: Facts, replaced: set[str]) -> Facts:
        """Begin by giving up what is in the way of something new of the same name.

        Single edits never lead to this: it is for topologies that are several edits apart.
        """
        ends = {
            (cable.peer_node, cable.peer_interface): cable.number for cable in new.cables.values()
        }
        in_the_way = []
        for key, cable in old.cables.items():
            other = new.cables.get(key)
            peer = (cable.peer_node, cable.peer_interface)
            if (
                not replaced.isdisjoint((cable.node, cable.peer_node))
                or (other is not None and (other.number, other.mac) != (cable.number, cable.mac))
                or (other is None and peer in ends)
            ):
                in_the_way.append(cable)
        if not in_the_way and not replaced:
            return old
        dead = set()
        for cable in in_the_way:
            self.early.append(step.RemoveInterface(node=cable.node, interface=cable.interface))
            dead.add((cable.node, cable.interface))
        for node in sorted(replaced):
            self.early.append(step.RemoveNode(node=node))
        return Facts(
            nodes={key: value for key, value in old.nodes.items() if key not in replaced},
            bridges=_keep(old.bridges, replaced),
            cables={key: value for key, value in old.cables.items() if key not in dead},
            up={key: value for key, value in old.up.items() if key not in dead},
            addresses={
                key: value
                for key, value in _keep(old.addresses, replaced).items()
                if key[:2] not in dead
            },
            routes={
                key: value
                for key, value in _keep(old.routes, replaced).items()
                if (key[0], value.interface) not in dead
            },
            rules=_keep(old.rules, replaced),
            neighbours={
                key: value
                for key, value in _keep(old.neighbours, replaced).items()
                if key[:2] not in dead
            },
            tables={key: value for key, value in old.tables.items() if key not in replaced},
        )

    def steps(self) -> list[Step]:
        return [
            *self.early,
            *self._nodes(),
            *self._wires(),
            *self._links(),
            *self._addresses(),
            *self._around_addresses(),
            *self._removals(),
        ]

    def _nodes(self) -> list[Step]:
        found: list[Step] = []
        for node, wanted in self.new.nodes.items():
            had = self.old.nodes.get(node)
            if had is None:
                found.append(step.AddNode(node=node, sysctls=wanted))
            elif had != wanted:
                found += _sysctls(node, dict(had), dict(wanted))
        return found

    def _wires(self) -> list[Step]:
        found: list[Step] = []
        for (node, name), bridge in self.new.bridges.items():
            if (node, name) not in self.old.bridges:
                found.append(step.AddBridge(node=node, name=name, mac=bridge.mac, mtu=bridge.mtu))
        for key, cable in self.new.cables.items():
            had = self.old.cables.get(key)
            if had is None:
                found.append(step.AddCable(cable=cable))
            elif _peer(had) != _peer(cable):
                moved = replace(cable, mtu=had.mtu, peer_mtu=had.peer_mtu)
                found.append(step.MoveCable(before=had, after=moved))
        return found

    def _links(self) -> list[Step]:
        found: list[Step] = []
        for (node, name), bridge in self.new.bridges.items():
            had = self.old.bridges.get((node, name))
            if had is not None:
                found += _mtu(node, name, had.mtu, bridge.mtu)
        for key, cable in self.new.cables.items():
            before = self.old.cables.get(key)
            if before is not None:
                found += _mtu(
                    cable.peer_node, cable.peer_interface, before.peer_mtu, cable.peer_mtu
                )
                found += _mtu(cable.node, cable.interface, before.mtu, cable.mtu)
        for (node, name), up in self.new.up.items():
            if up and not self.old.up.get((node, name), False):
                found.append(step.SetLink(node=node, interface=name, up=True, old_up=False))
        return found

    def _addresses(self) -> list[Step]:
        return [
            step.AddAddress(node=node, interface=name, address=address)
            for node, name, address in _missing(self.new.addresses, self.old.addresses)
        ]

    def _around_addresses(self) -> list[Step]:
        old, new = self.old, self.new
        found: list[Step] = [
            step.AddRule(node=node, rule=rule) for node, rule in _missing(new.rules, old.rules)
        ]
        for route_key, route in new.routes.items():
            had = old.routes.get(route_key)
            if had != route:
                found.append(step.SetRoute(node=route_key[0], route=route, old=had))
        for key, neighbour in new.neighbours.items():
            known = old.neighbours.get(key)
            if known != neighbour:
                found.append(step.SetNeighbour(node=key[0], neighbour=neighbour, old=known))
        for node in (*new.tables, *(node for node in old.tables if node not in new.tables)):
            tables, before = new.tables.get(node, ()), old.tables.get(node, ())
            if tables != before and node in new.nodes:
                found.append(step.SetTables(node=node, tables=tables, old=before))
        return found

    def _removals(self) -> list[Step]:
        old, new = self.old, self.new
        found: list[Step] = []
        for route_key, route in old.routes.items():
            if route_key not in new.routes and not self._lost(route_key[0], route.interface):
                found.append(step.RemoveRoute(node=route_key[0], route=route))
        for node, rule in _missing(old.rules, new.rules):
            if node not in self.gone:
                found.append(step.RemoveRule(node=node, rule=rule))
        for key, neighbour in old.neighbours.items():
            if key not in new.neighbours and not self._lost(key[0], neighbour.interface):
                found.append(step.RemoveNeighbour(node=key[0], neighbour=neighbour))
        for (node, name), up in new.up.items():
            if not up and old.up.get((node, name), False):
                found.append(step.SetLink(node=node, interface=name, up=False, old_up=True))
        for node, name, address in _missing(old.addresses, new.addresses):
            if not self._lost(node, name):
                found.append(step.RemoveAddress(node=node, interface=name, address=address))
        found += [
            step.RemoveInterface(node=cable.node, interface=cable.interface)
            for cable in self.unplugged
            # A cable between nodes that both go leaves nothing to make room for.
            if not (cable.node in self.gone and cable.peer_node in self.gone)
        ]
        found += [
            step.RemoveInterface(node=node, interface=name)
            for node, name in _missing(old.bridges, new.bridges)
            if node not in self.gone
        ]
        found += [step.RemoveNode(node=node) for node in old.nodes if node in self.gone]
        return found

    def _lost(self, node: str, interface: str) -> bool:
        """Whether what is on an interface goes by itself."""
        return node in self.gone or (node, interface) in self.dead


def _keep(table: Mapping[_K, _T], replaced: set[str]) -> dict[_K, _T]:
    """Return the facts of a table that are not on nodes that were replaced."""
    return {key: value for key, value in table.items() if key[0] not in replaced}


def _missing(here: Mapping[_K, object], there: Mapping[_K, object]) -> list[_K]:
    return [key for key in here if key not in there]


def _peer(cable: Cable) -> tuple[str, str, str | None]:
    return cable.peer_node, cable.peer_interface, cable.bridge


def _mtu(node: str, interface: str, before: int, after: int) -> list[Step]:
    if before == after:
        return []
    return [step.SetLink(node=node, interface=interface, mtu=after, old_mtu=before)]


def _sysctls(node: str, had: dict[str, str], wanted: dict[str, str]) -> list[Step]:
    found: list[Step] = []
    for key in {**wanted, **had}:
        value = wanted.get(key) or sysctls.default(key)
        old = had.get(key) or sysctls.default(key)
        if value != old:
            found.append(step.SetSysctl(node=node, key=key, value=value, old=old))
    return found
