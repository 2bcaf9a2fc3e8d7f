"""The plan: what the kernel is told, node by node, in a form to read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TypeVar

from patchbay.rules import text
from patchbay.rules.model import Table
from patchbay.topology.diff import all_facts, steps
from patchbay.topology.facts import Facts
from patchbay.topology.model import Address, Topology
from patchbay.topology.steps import MAIN_TABLE, Cable, Link, Neighbour, Route, Rule
from patchbay.values import LinkCondition

__all__ = ["BridgePlan", "NodePlan", "Plan", "node_plan", "plan", "steps"]


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BridgePlan:
    """A bridge of a node."""

    name: str
    mac: str
    mtu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """All that a node's namespace is told.

    Attributes:
        sysctls: kernel settings in the order they are made, keys in dots below `net`.
        cables: those with an end on this node.
        down: interfaces that are not up.
        addresses: pairs of an interface and an address.
        links: pairs of an interface and what packets meet that leave by it.
    """

    name: str
    sysctls: tuple[tuple[str, str], ...]
    bridges: tuple[BridgePlan, ...]
    cables: tuple[Cable, ...]
    down: tuple[str, ...]
    addresses: tuple[tuple[str, Address], ...]
    links: tuple[tuple[str, Link], ...]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]
    neighbours: tuple[Neighbour, ...]
    tables: tuple[Table, ...]

    def __str__(self) -> str:
        lines = [self.name]
        lines += [
            f"  bridge {bridge.name} mtu {bridge.mtu}{self._at(bridge.name)}"
            for bridge in self.bridges
        ]
        for cable in self.cables:
            if cable.node == self.name:
                down = " down" if cable.interface in self.down else ""
                bridge = "" if cable.bridge is None else f", {cable.bridge}"
                lines.append(
                    f"  {cable.interface} mtu {cable.mtu}{down}{self._at(cable.interface)}"
                    f" -> {cable.peer_interface} of {cable.peer_node}{bridge}"
                )
            elif cable.bridge is None:
                lines.append(
                    f"  {cable.peer_interface} mtu {cable.peer_mtu}"
                    f" -> {cable.interface} of {cable.node}"
                )
        lines += [
            f"  link {name} {condition_text(link.spec.condition)} by {link.choice}"
            for name, link in self.links
        ]
        lines += [f"  {_route_text(route)}" for route in self.routes]
        lines += [f"  {_rule_text(rule)}" for rule in self.rules]
        lines += [f"  {line}" for line in text.ruleset(self.tables).splitlines()]
        return "\n".join(lines)

    def _at(self, interface: str) -> str:
        return "".join(f" {address}" for name, address in self.addresses if name == interface)


@dataclass(frozen=True, slots=True)
class Plan:
    """What all nodes of a lab are told, the IX first; printable."""

    name: str
    nodes: tuple[NodePlan, ...]

    def __str__(self) -> str:
        return "\n\n".join((f"lab {self.name}", *map(str, self.nodes)))


def plan(topology: Topology) -> Plan:
    """Return the plan of a whole lab."""
    facts = all_facts(topology)
    return Plan(topology.name, tuple(_NodePlans(facts).of(name) for name in facts.nodes))


def node_plan(topology: Topology, name: str) -> NodePlan:
    """Return the plan of one node.

    Raises:
        KeyError: there is no such node.
    """
    return _NodePlans(all_facts(topology)).of(name)


class _NodePlans:
    """The facts of a lab, sorted by node once."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._cables: defaultdict[str, list[Cable]] = defaultdict(list)
        for cable in facts.cables.values():
            for node in dict.fromkeys((cable.node, cable.peer_node)):
                self._cables[node].append(cable)
        self._bridges = _by_node(
            (node, BridgePlan(name, bridge.mac, bridge.mtu))
            for (node, name), bridge in facts.bridges.items()
        )
        self._down = _by_node((node, name) for (node, name), up in facts.up.items() if not up)
        self._addresses = _by_node(
            (node, (name, address)) for node, name, address in facts.addresses
        )
        self._links = _by_node((node, (name, link)) for (node, name), link in facts.links.items())
        self._routes = _by_node((key[0], route) for key, route in facts.routes.items())
        self._rules = _by_node(facts.rules)
        self._neighbours = _by_node(
            (key[0], neighbour) for key, neighbour in facts.neighbours.items()
        )

    def of(self, name: str) -> NodePlan:
        return NodePlan(
            name=name,
            sysctls=self._facts.nodes[name],
            bridges=tuple(self._bridges[name]),
            cables=tuple(self._cables[name]),
            down=tuple(self._down[name]),
            addresses=tuple(self._addresses[name]),
            links=tuple(self._links[name]),
            routes=tuple(self._routes[name]),
            rules=tuple(self._rules[name]),
            neighbours=tuple(self._neighbours[name]),
            tables=self._facts.tables.get(name, ()) + self._facts.partitions.get(name, ()),
        )


def _by_node(pairs: Iterable[tuple[str, _T]]) -> defaultdict[str, list[_T]]:
    sorted_out: defaultdict[str, list[_T]] = defaultdict(list)
    for node, value in pairs:
        sorted_out[node].append(value)
    return sorted_out


def condition_text(condition: LinkCondition) -> str:
    """The fields of a condition that are not as they are by default."""
    default = LinkCondition()
    return " ".join(
        f"{each.name}={value}"
        for each in fields(condition)
        if (value := getattr(condition, each.name)) != getattr(default, each.name)
    )


def _route_text(route: Route) -> str:
    kind = "default" if route.destination.prefixlen == 0 else str(route.destination)
    via = "" if route.via is None else f" via {route.via}"
    source = "" if route.source is None else f" src {route.source}"
    table = "" if route.table == MAIN_TABLE else f" table {route.table}"
    mtu = "" if route.mtu is None else f" mtu {route.mtu}"
    if route.interface is None:
        return f"route blackhole {kind}{table}"
    return f"route {kind}{via} dev {route.interface}{source}{table}{mtu}"


def _rule_text(rule: Rule) -> str:
    source = "all" if rule.source.prefixlen == 0 else str(rule.source)
    interface = "" if rule.interface is None else f" iif {rule.interface}"
    return f"rule from {source}{interface} table {rule.table}"
