"""Carries out steps: from what a plan says to what the kernel has, all of it or nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from patchbay.links.userspace.process import EngineProcess
from patchbay.rules.encode import emptied, replacement
from patchbay.rules.model import Table
from patchbay.rules.rebinding import rebound
from patchbay.topology import steps
from patchbay.topology.steps import AddCable, AddNode, Cable, Route, Step
from patchbay.wiring import cables, chains, messages, readers, sysctl
from patchbay.wiring.chains import Discipline
from patchbay.wiring.connection import NETLINK_NETFILTER, NETLINK_ROUTE, Connection
from patchbay.wiring.conntrack import ConntrackEntry, conntrack, flush_conntrack, forget
from patchbay.wiring.errors import WiringError
from patchbay.wiring.links import Links
from patchbay.wiring.namespace import Namespace, Whereabouts
from patchbay.wiring.netlink import Message
from patchbay.wiring.readers import InterfaceAddress, KernelNeighbour, KernelRoute, KernelRule, Link
from patchbay.wiring.settling import await_own_addresses
from patchbay.wiring.sysctl import Lack

_ALREADY_SO: dict[type[Step], frozenset[int]] = {
    steps.RemoveInterface: frozenset({errno.ENODEV}),
    steps.RemoveAddress: frozenset({errno.ENODEV, errno.EADDRNOTAVAIL}),
    steps.RemoveRoute: frozenset({errno.ENODEV, errno.ESRCH}),
    steps.RemoveNeighbour: frozenset({errno.ENODEV, errno.ENOENT}),
}
"""Refusals that say no more than: there is nothing of it left to remove."""


class Kernel:
    """The namespaces of a lab's nodes, and the one way to change what is in them.

    For one thread of a process that may change its own network namespace: root, or root in its
    user namespace. Between calls the process is in the namespace that it was in at first.

    Attributes:
        lacks: sysctls that this host does not let a namespace set, in the order they came up.
    """

    def __init__(
        self, *, dad: bool = False, start_engine: Callable[[], EngineProcess] | None = None
    ) -> None:
        """Hold no node yet.

        Args:
            dad: whether new IPv6 addresses go through duplicate address detection (RFC 4862 5.4).
            start_engine: starts the process that makes link conditions in user space; None where
                there is to be none.
        """
        self.lacks: list[Lack] = []
        self._dad = dad
        self._whereabouts = Whereabouts()
        self._nodes: dict[str, Namespace] = {}
        self._first_values: dict[str, str | None] = {}
        self._far_ends: dict[tuple[str, str], tuple[str, str]] = {}
        self._links = Links(self._nodes.get, self._within, start_engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close_all()

    @property
    def nodes(self) -> Collection[str]:
        """The names of the nodes that have a namespace."""
        return self._nodes.keys()

    @property
    def link_features(self) -> frozenset[str]:
        """What this kernel can do with links, in the words of `patchbay.links.choice`."""
        return self._links.features(self._bare_namespace)

    @contextmanager
    def _bare_namespace(self) -> Iterator[Namespace]:
        """A namespace that nothing else is in, for a while."""
        namespace = Namespace(self._whereabouts.enter_new(), self._whereabouts.enter)
        try:
            yield namespace
        finally:
            self._whereabouts.leave(namespace.descriptor)
            namespace.close()

    def tidy_links(self) -> float | None:
        """Make plain links of those that are clean again and quiet.

        Returns:
            Seconds until the next look; None if there is nothing to look after.
        """
        try:
            return self._links.tidy()
        finally:
            self._whereabouts.go_home()

    @property
    def engines(self) -> Links:
        """What makes link conditions: the kernel's disciplines, and the user-space engine."""
        return self._links

    def disciplines(self, node: str, interface: str) -> tuple[Discipline, ...]:
        """The queueing disciplines of an interface, the first one first."""
        connection = self.connection(node)
        return chains.disciplines(connection, self._node(node).index(interface))

    def adopt(self, node: str, descriptor: int) -> None:
        """Take a namespace made elsewhere as a node's; the descriptor stays the caller's.

        Raises:
            ValueError: the node has a namespace.
        """
        if node in self._nodes:
            raise ValueError(f"{node} has a namespace already")
        self._nodes[node] = Namespace(os.dup(descriptor), self._whereabouts.enter)

    def descriptor(self, node: str) -> int:
        """The descriptor of a node's namespace, to pass on or to duplicate, not to close."""
        return self._node(node).descriptor

    def connection(self, node: str, protocol: int = NETLINK_ROUTE) -> Connection:
        """A netlink connection in a node's namespace, the same one every time."""
        try:
            return self._node(node).connection(protocol)
        finally:
            self._whereabouts.go_home()

    def links(self, node: str) -> tuple[Link, ...]:
        """The interfaces of a node."""
        return readers.links(self.connection(node))

    def addresses(self, node: str) -> tuple[InterfaceAddress, ...]:
        """The addresses of a node."""
        return readers.addresses(self.connection(node))

    def routes(self, node: str) -> tuple[KernelRoute, ...]:
        """The unicast routes of a node, of all tables."""
        return readers.routes(self.connection(node))

    def rules(self, node: str) -> tuple[KernelRule, ...]:
        """The policy rules of a node."""
        return readers.rules(self.connection(node))

    def neighbours(self, node: str) -> tuple[KernelNeighbour, ...]:
        """The neighbours that a node knows."""
        return readers.neighbours(self.connection(node))

    def conntrack(self, node: str) -> tuple[ConntrackEntry, ...]:
        """The connections that a node's netfilter keeps track of."""
        return conntrack(self.connection(node, NETLINK_NETFILTER))

    def flush_conntrack(self, node: str, tables: Iterable[Table] = ()) -> None:
        """Have a node's netfilter forget all connections; their translations end with them.

        Args:
            node: whose.
            tables: tables that it has, whose sets are emptied with it.
        """
        connection = self.connection(node, NETLINK_NETFILTER)
        connection.transact(emptied(tables))
        flush_conntrack(connection)

    def rebind(self, node: str, tables: tuple[Table, ...], room: int) -> None:
        """Have a node forget all connections, and use other ports than theirs for a while.

        Args:
            node: whose.
            tables: tables that it has.
            room: how many ports it has to choose from; if most of them are in use, those will be
                used again.
        """
        connection = self.connection(node, NETLINK_NETFILTER)
        used = {entry.mark for entry in conntrack(connection)}
        connection.transact(rebound(tables, used if 2 * len(used) <= room else ()))
        flush_conntrack(connection)

    @contextmanager
    def inside(self, node: str) -> Iterator[None]:
        """Be in a node's namespace: what is opened there belongs to it."""
        with self._within(self._node(node)):
            yield

    @contextmanager
    def _within(self, namespace: Namespace) -> Iterator[None]:
        self._whereabouts.enter(namespace.descriptor)
        try:
            yield
        finally:
            self._whereabouts.go_home()

    def close(self, node: str) -> None:
        """Give a node's namespace up; the kernel ends it once no process is in it either."""
        namespace = self._node(node)
        self._links.leaving(node)
        del self._nodes[node]
        self._whereabouts.leave(namespace.descriptor)
        namespace.close()

    def close_all(self) -> None:
        """Give up all namespaces. The object is of no use afterwards."""
        for node in list(self._nodes):
            self.close(node)
        self._whereabouts.close()

    def apply(self, step: Step) -> None:
        """Carry out one step, all of it or nothing.

        Raises:
            WiringError: the kernel refused it.
        """
        self.apply_all([step])

    def apply_all(self, plan: Iterable[Step]) -> None:
        """Carry out steps in order; if one fails, undo those before it, the last one first.

        Raises:
            WiringError: the kernel refused a step. Its `undoing` says what could not be undone.
        """
        done: list[Step] = []
        try:
            for step in plan:
                self._attempt(step)
                done.append(step)
            for step in done:
                if isinstance(step, AddCable):
                    self._plug_in(step)
            self._finish(done)
        except BaseException as error:
            undoing = tuple(self._undo(done))
            if isinstance(error, WiringError):
                error.undoing = undoing
            else:
                for failure in undoing:
                    error.add_note(f"while undoing what came before it: {failure}")
            raise
        finally:
            self._whereabouts.go_home()

    def _plug_in(self, step: AddCable) -> None:
        cable = step.cable
        if self._links.plugged_elsewhere(cable):
            return
        try:
            cables.plug_in(self._node(cable.node), self._node(cable.peer_node), cable)
        except OSError as error:
            raise WiringError(step, error) from error

    def _finish(self, done: Collection[Step]) -> None:
        """Wait until interfaces that steps have changed are what they say they are."""
        for (node, interface), step in _changed(done).items():
            if node not in self._nodes:
                continue
            try:
                if self._dad:  # then addresses come when it is over
                    readers.link(self._node(node).route, interface)
                else:
                    await_own_addresses(self._node(node), interface)
            except OSError as error:
                if error.errno != errno.ENODEV:  # a later step took it away
                    raise WiringError(step, error) from error

    def _undo(self, done: list[Step]) -> Iterator[WiringError]:
        for step in reversed(done):
            inverse = step.inverse()
            if inverse is None:
                continue
            try:
                self._attempt(inverse)
            except WiringError as error:
                yield error

    def _attempt(self, step: Step) -> None:
        try:
            self._carry_out(step)
        except OSError as error:
            if error.errno not in _ALREADY_SO.get(type(step), ()):
                raise WiringError(step, error) from error

    def _carry_out(self, step: Step) -> None:
        match step:
            case steps.AddNode():
                self._add_node(step)
            case steps.RemoveNode(node=node):
                self.close(node)
            case steps.AddBridge(node=node):
                cables.add_bridge(self._node(node), step)
            case steps.AddCable(cable=cable):
                cables.add_cable(self._node(cable.node), self._node(cable.peer_node), cable)
                self._note_far_end(cable)
                self._links.laid(cable)
                if cable.node_bridge is not None:
                    self._settle(cable.node, cable.interface)
            case steps.MoveCable(before=before, after=after):
                source, target = self._node(before.peer_node), self._node(after.peer_node)
                with self._links.moving(before, after):
                    cables.move_cable(source, target, before, after)
                    self._note_far_end(after)
                    self._settle(after.node, after.interface)
            case steps.SetCondition(node=node, interface=name, link=link, old=old):
                # the host's features are known before anything leans on them
                _ = self.link_features
                self._links.set(node, name, link, old)
            case steps.SetTables(node=node, tables=tables, old=old):
                connection = self._node(node).connection(NETLINK_NETFILTER)
                connection.transact(replacement(old, tables))
            case steps.SetSysctl(node=node, key=key, value=value):
                self._set_sysctl(node, key, value)
            case steps.Forget(node=node, host=host, outside=outside):
                forget(self._node(node).connection(NETLINK_NETFILTER), host, outside)
            case _:
                node, message = self._message(step)
                self._node(node).route.ask(message)
                if isinstance(step, steps.SetLink) and step.up is not None:
                    self._settle(node, step.interface)
                if isinstance(step, steps.RemoveInterface):
                    self._links.removed(node, step.interface)

    def _note_far_end(self, cable: Cable) -> None:
        self._far_ends[cable.node, cable.interface] = (cable.peer_node, cable.peer_interface)

    def _settle(self, node: str, interface: str) -> None:
        """Have both ends of a cable act on whether it is connected.

        The kernel does that when it finds the time, a second later perhaps, and packets are lost
        until a bridge sees its port connected. It does so at once for an interface that somebody
        asks after (Linux 6.8 on).
        """
        ends = [(node, interface), self._far_ends.get((node, interface))]
        for end in ends:
            if end is not None and end[0] in self._nodes:
                readers.link(self._node(end[0]).route, end[1])

    def _message(self, step: Step) -> tuple[str, Message]:
        """The one message that carries a step out, and the node to send it in."""
        match step:
            case steps.RemoveInterface(node=node, interface=name):
                return node, messages.delete_link(name)
            case steps.SetLink(node=node, interface=name, mtu=mtu, up=up):
                return node, messages.set_link(name, mtu=mtu, up=up)
            case steps.AddAddress(node=node, interface=name, address=address):
                index = self._node(node).index(name)
                return node, messages.new_address(index, address, dad=self._dad)
            case steps.RemoveAddress(node=node, interface=name, address=address):
                return node, messages.delete_address(self._node(node).index(name), address)
            case steps.SetRoute(node=node, route=route):
                return node, messages.new_route(self._exit(node, route), route)
            case steps.RemoveRoute(node=node, route=route):
                return node, messages.delete_route(self._exit(node, route), route)
            case steps.AddRule(node=node, rule=rule):
                return node, messages.new_rule(rule)
            case steps.RemoveRule(node=node, rule=rule):
                return node, messages.delete_rule(rule)
            case steps.SetNeighbour(node=node, neighbour=entry):
                return node, messages.new_neighbour(self._node(node).index(entry.interface), entry)
            case steps.RemoveNeighbour(node=node, neighbour=entry):
                index = self._node(node).index(entry.interface)
                return node, messages.delete_neighbour(index, entry)
            case _:
                raise TypeError(f"nothing in a kernel does {step}")

    def _exit(self, node: str, route: Route) -> int | None:
        """The index of the interface that a route leads to; None for a black hole."""
        return None if route.interface is None else self._node(node).index(route.interface)

    def _add_node(self, step: AddNode) -> None:
        if step.node in self._nodes:
            raise FileExistsError(errno.EEXIST, f"{step.node} has a namespace already")
        namespace = Namespace(self._whereabouts.enter_new(), self._whereabouts.enter)
        self._nodes[step.node] = namespace
        try:
            self._set_first_sysctls(step)
            namespace.route.ask(messages.set_link("lo", up=True))
        except BaseException:
            self.close(step.node)
            raise

    def _set_first_sysctls(self, step: AddNode) -> None:
        """Set those that a new namespace of this host does not have anyhow.

        All new namespaces of a host are alike.
        """
        for key, _ in step.sysctls:
            if key not in self._first_values:
                self._first_values[key] = sysctl.read(key)
        for key, value in step.sysctls:
            if self._first_values[key] != value:
                self._set_sysctl(step.node, key, value)
        self._node(step.node).release_sysctls()

    def _set_sysctl(self, node: str, key: str, value: str) -> None:
        if reason := self._node(node).write_sysctl(key, value):
            self.lacks.append(Lack(node=node, key=key, value=value, reason=reason))

    def _node(self, name: str) -> Namespace:
        try:
            return self._nodes[name]
        except KeyError:
            raise LookupError(f"no namespace is held for a node {name!r}") from None


def _changed(done: Iterable[Step]) -> dict[tuple[str, str], Step]:
    """The interfaces that steps connect or give addresses to, each with the step that did."""
    found: dict[tuple[str, str], Step] = {}
    for step in done:
        match step:
            case steps.AddCable(cable=cable) | steps.MoveCable(after=cable):
                if cable.bridge is not None:
                    found[cable.peer_node, cable.bridge] = step
                if cable.node_bridge is not None:
                    found[cable.node, cable.node_bridge] = step
            case steps.SetLink(node=node, interface=name, up=True):
                found[node, name] = step
            case steps.AddAddress(node=node, interface=name):
                found[node, name] = step
    return found
