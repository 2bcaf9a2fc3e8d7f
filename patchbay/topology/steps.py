"""What can be done to a kernel: one frozen dataclass a step, each with its inverse.

`plan.steps(before, after)` makes them, `wiring` carries them out. A step says the old value beside
the new one wherever undoing it needs that. Nothing here knows how a step is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from patchbay.links.choice import EngineChoice
from patchbay.links.spec import LinkSpec
from patchbay.rules.model import Table
from patchbay.topology.model import Address

Network = IPv4Network | IPv6Network
IPAddress = IPv4Address | IPv6Address

MAIN_TABLE = 254
"""The kernel's main routing table (RT_TABLE_MAIN)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route to a network, in one of the routing tables."""

    destination: Network
    """`0.0.0.0/0` or `::/0` for the default route."""
    interface: str | None
    """None for a black hole: what goes there is lost without a word."""
    via: IPAddress | None = None
    """The next hop; None for a network on the link itself. It may be IPv6 for IPv4 (RFC 8950)."""
    source: IPAddress | None = None
    """Preferred source address."""
    table: int = MAIN_TABLE
    mtu: int | None = None
    """Bytes that the way takes, if that is less than the interface does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A policy rule: traffic from this source looks up this table."""

    source: Network
    """`0.0.0.0/0` or `::/0` for every source."""
    table: int
    priority: int
    interface: str | None = None
    """Only traffic that comes in by this interface; `lo` for the node's own. None for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A permanent neighbour: known from the start, no ARP or neighbour discovery needed."""

    interface: str
    address: IPAddress
    mac: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """A veth pair: an interface of a node and the port of a bridge it is plugged into."""

    number: int
    node: str
    interface: str
    mac: str
    mtu: int
    peer_node: str
    peer_interface: str
    peer_mac: str
    peer_mtu: int
    bridge: str | None
    """The bridge at the peer that the peer's end is a port of; None for an end of its own."""
    node_bridge: str | None = None
    """The bridge at the node that the node's end is a port of, and up: a cable between bridges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What packets meet that leave by an interface."""

    spec: LinkSpec
    choice: EngineChoice
    mtu: int
    """Bytes that the interface takes."""


class Step:
    """Base of all steps."""

    __slots__ = ()

    def inverse(self) -> Step | None:
        """The step that undoes this one; None where there is nothing to go back to."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNode(Step):
    """Make a network namespace with these sysctls (key in dots, below `net`) and `lo` up."""

    node: str
    sysctls: tuple[tuple[str, str], ...]

    def inverse(self) -> Step:
        return RemoveNode(node=self.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNode(Step):
    """Give a namespace up, with all that is in it. Always among the last steps."""

    node: str

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddBridge(Step):
    """Make a bridge, and set it up."""

    node: str
    name: str
    mac: str
    mtu: int

    def inverse(self) -> Step:
        return RemoveInterface(node=self.node, interface=self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCable(Step):
    """Make a veth pair, both ends in place, the port in its bridge and up; the node's end down."""

    cable: Cable

    def inverse(self) -> Step:
        return RemoveInterface(node=self.cable.node, interface=self.cable.interface)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveCable(Step):
    """Pull the peer's end out of one bridge and plug it into another, in another node perhaps.

    Only the peer's node and bridge differ between the two; MTUs and names stay. The node's own
    end stays what it is, with its index, addresses and sockets: it sees its carrier go and come,
    as with a real cable.
    """

    before: Cable
    after: Cable

    def inverse(self) -> Step:
        return MoveCable(before=self.after, after=self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveInterface(Step):
    """Delete an interface; a veth's other end goes with it. Always among the last steps."""

    node: str
    interface: str

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLink(Step):
    """Set the MTU and the administrative state of an interface. None leaves a value as it is."""

    node: str
    interface: str
    mtu: int | None = None
    up: bool | None = None
    old_mtu: int | None = None
    old_up: bool | None = None

    def inverse(self) -> Step:
        return replace(self, mtu=self.old_mtu, up=self.old_up, old_mtu=self.mtu, old_up=self.up)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCondition(Step):
    """Have packets that leave by an interface meet something else; None for nothing.

    What is on its way arrives, and nothing overtakes it.
    """

    node: str
    interface: str
    link: Link | None
    old: Link | None = None

    def inverse(self) -> Step:
        return replace(self, link=self.old, old=self.link)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAddress(Step):
    """Give an interface an address."""

    node: str
    interface: str
    address: Address

    def inverse(self) -> Step:
        return RemoveAddress(node=self.node, interface=self.interface, address=self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveAddress(Step):
    """Take an address from an interface; one that is gone already is no error."""

    node: str
    interface: str
    address: Address

    def inverse(self) -> Step:
        return AddAddress(node=self.node, interface=self.interface, address=self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRoute(Step):
    """Add a route, or put it in place of the one with its destination and table."""

    node: str
    route: Route
    old: Route | None = None

    def inverse(self) -> Step:
        if self.old is None:
            return RemoveRoute(node=self.node, route=self.route)
        return SetRoute(node=self.node, route=self.old, old=self.route)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRoute(Step):
    """Remove a route; one that the kernel took away by itself is no error."""

    node: str
    route: Route

    def inverse(self) -> Step:
        return SetRoute(node=self.node, route=self.route)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRule(Step):
    """Add a policy rule."""

    node: str
    rule: Rule

    def inverse(self) -> Step:
        return RemoveRule(node=self.node, rule=self.rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveRule(Step):
    """Remove a policy rule."""

    node: str
    rule: Rule

    def inverse(self) -> Step:
        return AddRule(node=self.node, rule=self.rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNeighbour(Step):
    """Add a permanent neighbour, or put it in place of the one with its address."""

    node: str
    neighbour: Neighbour
    old: Neighbour | None = None

    def inverse(self) -> Step:
        if self.old is None:
            return RemoveNeighbour(node=self.node, neighbour=self.neighbour)
        return SetNeighbour(node=self.node, neighbour=self.old, old=self.neighbour)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveNeighbour(Step):
    """Remove a permanent neighbour; one that went with its interface is no error."""

    node: str
    neighbour: Neighbour

    def inverse(self) -> Step:
        return SetNeighbour(node=self.node, neighbour=self.neighbour)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTables(Step):
    """Put nftables tables of a node in place of old ones, in one transaction; others stay."""

    node: str
    tables: tuple[Table, ...]
    old: tuple[Table, ...] = ()

    def inverse(self) -> Step:
        return SetTables(node=self.node, tables=self.old, old=self.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget(Step):
    """Forget the IPv4 connections that a node tracks. Always among the last steps.

    What was forgotten stays so: the hosts of a connection begin it anew if they send again.
    """

    node: str
    host: IPAddress | None = None
    """Only those of this host of its LANs; None for all."""
    outside: IPAddress | None = None
    """Only those that are translated to this address; None for all."""

    def inverse(self) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSysctl(Step):
    """Set a sysctl of a node's namespace (key in dots, below `net`)."""

    node: str
    key: str
    value: str
    old: str

    def inverse(self) -> Step:
        return replace(self, value=self.old, old=self.value)
