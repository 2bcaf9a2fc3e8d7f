"""The steps from one topology to the next: only for what differs, in an order the kernel accepts.

Nodes, bridges and cables are made first, then links, addresses, and what leans on addresses; what
is given up goes last, so that nothing is ever without its replacement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from typing import TypeVar

from patchbay.topology import facts as make
from patchbay.topology import region_facts, sysctls
from patchbay.topology import steps as step
from patchbay.topology.domains import hides
from patchbay.topology.facts import Facts
from patchbay.topology.forgetting import forgotten
from patchbay.topology.graph import ancestors, outside_addresses
from patchbay.topology.model import IX, Device, Region, Router, Topology
from patchbay.topology.partitions import partition_tables
from patchbay.topology.steps import Cable, Step

_T = TypeVar("_T")
_Node = TypeVar("_Node", Router, Device, Region)
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
    found = _Diff(old, new, _replaced(before, after)).steps()
    if before is not None and after is not None:
        changed_nodes = changed.routers | changed.devices
        found += forgotten(before, after, old.outside, new.outside, changed_nodes)
    return tuple(found)


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
        self.partitions = any(each is not None and each.partitions for each in (before, after))
        """Whether there are partitions: what they lose depends on everything."""
        self.regions = self.all
        """Whether regions or links between them changed, and so routes to all that is in them."""
        if before is None or after is None or self.all:
            return
        regions = _different(before.regions, after.regions)
        self.regions = bool(regions) or before.trunks != after.trunks
        routers = _different(before.routers, after.routers)
        # What a router does to packets is its own affair, while it hides as much as before.
        inwardly = {name for name in routers if _only_inwardly(before.routers, after.routers, name)}
        self.routers |= inwardly
        routers -= inwardly
        self.devices = _different(before.devices, after.devices)
        for topology in (before, after):
            self._add_below(topology, routers | regions)
        self.routers |= routers
        self.lans |= routers | regions
        for topology in (before, after):
            self._add_lans(topology)

    def _add_below(self, topology: Topology, above: set[str]) -> None:
        """Add what is plugged into routers and regions that changed, and the routers below them."""
        if not above:
            return
        for router in topology.routers.values():
            if not above.isdisjoint(ancestors(topology, router)):
                self.routers.add(router.name)
        for device in topology.devices.values():
            if any(interface.lan in above for interface in device.interfaces):
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


def all_facts(topology: Topology) -> Facts:
    """Return the facts of a whole lab, the IX first."""
    return _facts(topology, _Changed(None, topology))


def _only_inwardly(before: Mapping[str, Router], after: Mapping[str, Router], name: str) -> bool:
    """Whether no other node can tell the difference between two states of a router."""
    if name not in before or name not in after:
        return False
    old, new = before[name], after[name]
    alike = replace(
        old,
        nat=new.nat,
        firewall=new.firewall,
        released=new.released,
        port_mapping=new.port_mapping,
        port_mappings=new.port_mappings,
        pinholes=new.pinholes,
    )
    if alike != new:
        return False
    return hides(old, 4) == hides(new, 4) and outside_addresses(old) == outside_addresses(new)


def _facts(topology: Topology, changed: _Changed) -> Facts:
    """Return the facts that can differ; of regions before those of routers, which lean on them."""
    facts = Facts()
    every = (IX, *topology.regions, *topology.routers)
    lans = [name for name in every if changed.all or name in changed.lans]
    routers = topology.routers.values()
    if changed.all:
        make.ix_facts(facts, topology)
    if changed.regions:
        region_facts.regions_facts(facts, topology)
    make.lan_facts(facts, topology, lans)
    for router in routers:
        if changed.all or router.name in changed.routers:
            make.router_facts(facts, topology, router)
    region_facts.routes_between(
        facts,
        topology,
        [each for each in routers if changed.regions or each.name in changed.routers],
        topology.regions if changed.regions else lans,
    )
    for device in topology.devices.values():
        if changed.all or device.name in changed.devices:
            make.device_facts(facts, topology, device)
    if changed.partitions:
        facts.partitions.update(partition_tables(topology))
    return facts


def _replaced(before: Topology | None, after: Topology | None) -> set[str]:
    """Return the names that mean another node than before."""
    if before is None or after is None:
        return set()
    names: set[str] = set()
    had = (before.routers.keys(), before.devices.keys(), before.regions.keys())
    has = (after.routers.keys(), after.devices.keys(), after.regions.keys())
    for kind, other in permutations(range(len(had)), 2):
        names |= had[kind] & has[other]
    if before.routers is not after.routers:
        for name in before.routers.keys() & after.routers.keys():
            if before.routers[name].uplink.cable != after.routers[name].uplink.cable:
                names.add(name)
    for name in before.regions.keys() & after.regions.keys():
        if before.regions[name].number != after.regions[name].number:
            names.add(name)
    return names


class _Diff:
    """Two tables of facts, and the steps from one to the other."""

    def __init__(self, old: Facts, new: Facts, replaced: set[str]) -> None:
        self.early: list[Step] = []
        old = self._clear_the_way(old, new, replaced)
        self.old, self.new = old, new
        self.gone = {node for node in old.nodes if node not in new.nodes}
        """Nodes that are given up; all that is in them goes with them."""
        self.unplugged = [cable for key, cable in old.cables.items() if key not in new.cables]
        self.dead = {end for cable in self.unplugged for end in _ends(cable)} | {
            key for key in old.bridges if key not in new.bridges
        }
        """Interfaces that are given up; their addresses, routes and neighbours go with them."""
        self._moved = {
            (cable.peer_node, cable.peer_interface)
            for key, cable in old.cables.items()
            if key in new.cables and new.cables[key].peer_node != cable.peer_node
        }
        """Ports that are carried to another node, where they were."""

    def _clear_the_way(self, old: Facts, new: Facts, replaced: set[str]) -> Facts:
        """Begin by giving up what is in the way of something new of the same name.

        Single edits never lead to this: it is for topologies that are several edits apart.
        """
        taken = {end: (key, cable) for key, cable in new.cables.items() for end in _ends(cable)}
        in_the_way = [
            cable
            for key, cable in old.cables.items()
            if not replaced.isdisjoint((cable.node, cable.peer_node))
            or any(end in taken and not _same(key, cable, *taken[end]) for end in _ends(cable))
        ]
        if not in_the_way and not replaced:
            return old
        dead: set[tuple[str, str]] = set()
        for cable in in_the_way:
            self.early.append(step.RemoveInterface(node=cable.node, interface=cable.interface))
            dead.update(_ends(cable))
        for node in sorted(replaced):
            self.early.append(step.RemoveNode(node=node))
        return Facts(
            nodes={key: value for key, value in old.nodes.items() if key not in replaced},
            bridges=_keep(old.bridges, replaced),
            cables={key: value for key, value in old.cables.items() if key not in dead},
            links={
                key: value
                for key, value in _keep(old.links, replaced).items()
                if key not in dead | {(each.peer_node, each.peer_interface) for each in in_the_way}
            },
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
            partitions={key: value for key, value in old.partitions.items() if key not in replaced},
            outside={key: value for key, value in old.outside.items() if key not in replaced},
        )

    def steps(self) -> list[Step]:
        return [
            *self.early,
            *self._nodes(),
            *self._unplugged_conditions(),
            *self._wires(),
            *self._conditions(),
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

    def _unplugged_conditions(self) -> list[Step]:
        """A port that is carried to another node leaves there what packets met on it."""
        return [
            step.SetCondition(node=node, interface=name, link=None, old=had)
            for (node, name), had in self.old.links.items()
            if (node, name) in self._moved
        ]

    def _conditions(self) -> list[Step]:
        """What packets meet from now on; before links come up, so that none meets less."""
        found: list[Step] = []
        for (node, name), link in self.new.links.items():
            had = None if (node, name) in self._moved else self.old.links.get((node, name))
            if had != link:
                found.append(step.SetCondition(node=node, interface=name, link=link, old=had))
        for (node, name), had in self.old.links.items():
            if (node, name) in self.new.links or (node, name) in self._moved:
                continue
            if not self._lost(node, name):
                found.append(step.SetCondition(node=node, interface=name, link=None, old=had))
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
        for has, had_ in ((new.tables, old.tables), (new.partitions, old.partitions)):
            for node in dict.fromkeys((*has, *had_)):
                tables, before = has.get(node, ()), had_.get(node, ())
                if tables != before and node not in self.gone:
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

    def _lost(self, node: str, interface: str | None) -> bool:
        """Whether what is on an interface goes by itself."""
        return node in self.gone or (node, interface) in self.dead


def _keep(table: Mapping[_K, _T], replaced: set[str]) -> dict[_K, _T]:
    """Return the facts of a table that are not on nodes that were replaced."""
    return {key: value for key, value in table.items() if key[0] not in replaced}


def _missing(here: Mapping[_K, object], there: Mapping[_K, object]) -> list[_K]:
    return [key for key in here if key not in there]


def _ends(cable: Cable) -> tuple[tuple[str, str], tuple[str, str]]:
    return (cable.node, cable.interface), (cable.peer_node, cable.peer_interface)


def _same(key: tuple[str, str], cable: Cable, other_key: tuple[str, str], other: Cable) -> bool:
    """Whether a cable can become another: by being plugged in elsewhere, if it is in a bridge."""
    return (
        key == other_key
        and (cable.number, cable.mac) == (other.number, other.mac)
        and (cable.bridge is not None or _peer(cable) == _peer(other))
    )


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
