"""The handle of a network interface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import TYPE_CHECKING, Any, Literal, cast

from actors.errors import NodeGone
from actors.protocol import Plain
from patchbay.capture.handle import Capture
from patchbay.capture.output import Destination
from patchbay.capture.selection import Selection
from patchbay.errors import ConfigError, Problem
from patchbay.link_recording import LinkRecording
from patchbay.link_stats import LinkStats
from patchbay.links.choice import EngineChoice
from patchbay.links.spec import Flows
from patchbay.topology.joints import far_end as end_of_cable
from patchbay.topology.plain import from_plain
from patchbay.topology.requests import condition_arguments
from patchbay.topology.snapshot import InterfaceSnapshot
from patchbay.values import (
    FlowMatch,
    LinkCondition,
    LinkEngine,
    Named,
    Schedule,
    Since,
    TimedCondition,
    Trace,
    name_of,
)

if TYPE_CHECKING:
    from patchbay.nodes import LabNode, Router

Direction = Literal["up", "down", "both"]

_LINK_STATS: Any = LinkStats | None
_CONDITION: Any = LinkCondition | None
_FLOWS: Any = Flows
_SCHEDULE: Any = Schedule | Trace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceStats:
    """What went over an interface since it was made, as the kernel counts it.

    Attributes:
        received_packets: packets that came in.
        sent_packets: packets that went out.
        received_bytes: bytes that came in.
        sent_bytes: bytes that went out.
        receive_errors: packets that came in broken.
        send_errors: packets that could not be sent.
        receive_drops: packets that came in and were dropped.
        send_drops: packets that were to be sent and were dropped.
        up: what the link's condition did to packets that leave; None if it has none.
        down: what it did to packets that arrive.
    """

    received_packets: int
    sent_packets: int
    received_bytes: int
    sent_bytes: int
    receive_errors: int
    send_errors: int
    receive_drops: int
    send_drops: int
    up: LinkStats | None = None
    down: LinkStats | None = None

    def since(self, before: InterfaceStats) -> InterfaceStats:
        """What happened since an earlier reading of the same interface; see `LinkStats.since`."""
        counters = {
            each.name: getattr(self, each.name) - getattr(before, each.name)
            for each in fields(self)
            if each.name not in ("up", "down")
        }
        return InterfaceStats(
            **counters,
            up=None if self.up is None else self.up.since(before.up),
            down=None if self.down is None else self.down.since(before.down),
        )

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> InterfaceStats:
        """What the lab's supervisor told."""
        links = {"up", "down"} & told.keys()
        values: dict[str, Any] = dict(told)
        values |= {each: from_plain(_LINK_STATS, told[each]) for each in links}
        return cls(**values)


class Iface:
    """A network interface of a device, or one of a router: its uplink `wan` or its LAN `lan`.

    Reading asks the lab, so that a handle always tells what is so now. One whose interface was
    removed can still tell its name; everything else raises `NodeGone`.
    """

    def __init__(self, node: LabNode, name: str) -> None:
        self._node = node
        self._name = name

    def __repr__(self) -> str:
        return f"<Iface {self._name!r} of {self._node.name!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Iface):
            return NotImplemented
        return (self._node, self._name) == (other._node, other._name)

    def __hash__(self) -> int:
        return hash((self._node, self._name))

    # -- what it is

    @property
    def name(self) -> str:
        """Its name on its node, such as `eth0`."""
        return self._name

    @property
    def node(self) -> LabNode:
        """The node it belongs to."""
        return self._node

    @property
    def mac(self) -> str:
        """Its hardware address."""
        return self._now().mac

    @property
    def ip(self) -> IPv4Address | None:
        """Its IPv4 address; None where its LAN has no IPv4."""
        address = self._now().address
        return None if address is None else address.ip

    @property
    def ip6(self) -> IPv6Address | None:
        """Its global (or unique local) IPv6 address; None where its LAN has no IPv6."""
        address = self._now().address6
        return None if address is None else address.ip

    @property
    def ll6(self) -> IPv6Address | None:
        """Its link-local IPv6 address; None without IPv6."""
        return self._now().ll6

    @property
    def addresses(self) -> tuple[IPv4Interface | IPv6Interface, ...]:
        """All its addresses with their prefix lengths, those of `add_ip` last."""
        now = self._now()
        own = tuple(each for each in (now.address, now.address6) if each is not None)
        return (*own, *now.extra)

    @property
    def router(self) -> Router | None:
        """The router whose LAN it is plugged into; None at the IX or a region, and for a LAN itself."""
        return self._node.lab.router_of(self._now().lan)

    @property
    def gateway(self) -> IPv4Address | None:
        """The IPv4 address of the router whose LAN it is plugged into; None without IPv4."""
        return self._now().gateway

    @property
    def gateway6(self) -> IPv6Address | None:
        """The IPv6 address of the router whose LAN it is plugged into; None without IPv6."""
        return self._now().gateway6

    @property
    def mtu(self) -> int:
        """Its MTU in bytes."""
        return self._now().mtu

    @property
    def is_up(self) -> bool:
        """Whether it is switched on."""
        return self._now().up

    def condition(self, direction: Literal["up", "down"] = "up") -> LinkCondition | None:
        """What packets meet that leave (`up`) or arrive (`down`); None for a clean link.

        It is read back from what makes it: from the kernel's queueing disciplines, or from the
        process of the user-space engine. Where the kernel has what was asked for, as exactly as it
        can, that is what is told; else, part by part, what it has.

        Raises:
            ConfigError: that is no direction.
        """
        return self._met(direction)[0]

    def schedule(self, direction: Literal["up", "down"] = "up") -> Schedule | Trace | None:
        """What the condition of a direction follows; None if it stays what it is.

        Raises:
            ConfigError: that is no direction.
        """
        self._now()
        self._check_direction(direction)
        told = self._node.lab.request(
            "schedule", node=self._node.name, name=self._name, direction=direction
        )
        found: Schedule | Trace | None = from_plain(_SCHEDULE, told)
        return found

    def flows(self, direction: Literal["up", "down"] = "up") -> dict[FlowMatch, LinkCondition]:
        """What packets of some flows meet instead, in the order in which they are looked at.

        Raises:
            ConfigError: that is no direction.
        """
        return dict(self._met(direction)[1])

    def engine(self, direction: Literal["up", "down"] = "up") -> EngineChoice | None:
        """What makes the condition of a direction, and why that; None for a clean link.

        Raises:
            ConfigError: that is no direction.
        """
        now = self._now()
        self._check_direction(direction)
        return now.engine_up if direction == "up" else now.engine_down

    def stats(self) -> InterfaceStats:
        """What went over it, from the kernel's counters."""
        self._now()
        told = self._node.lab.request("stats", node=self._node.name, iface=self._name)
        return InterfaceStats.of(cast("dict[str, Any]", told))

    def capture(
        self,
        destination: Destination,
        *,
        filter: str | None = None,
        snaplen: int | None = None,
        far_end: bool = False,
    ) -> Capture:
        """Record the packets that go over it, as pcapng; see `Lab.capture`.

        Args:
            destination: where to.
            filter: which packets; all if not given.
            snaplen: bytes to keep of each; all if not given.
            far_end: whether the other end of its cable, the port of its LAN or the end in another
                region, is recorded beside it: what the link does to packets is between the two.

        Raises:
            ConfigError: what is wrong with the filter; or this is a LAN, which has no cable.
        """
        self._now()
        if far_end and end_of_cable(self._node.lab.topology(), self._node.name, self._name) is None:
            message = "it is a LAN and has no far end: record what is plugged into it"
            raise ConfigError(Problem(f"node {self._node.name!r}, {self._name}", message))
        selection = Selection(node=self._node.name, interface=self._name, far_end=far_end)
        return Capture.start(self._node.lab, selection, destination, filter, snaplen)

    def record_conditions(self, direction: Literal["up", "down"] = "up") -> LinkRecording:
        """Record what packets meet from now on that leave (`up`) or arrive (`down`).

        What comes of it is a trace, to be kept in a file or set again on any link.

        Raises:
            ConfigError: in that direction it takes no conditions.
        """
        self._now()
        number = self._node.lab.request(
            "record_conditions", node=self._node.name, name=self._name, direction=direction
        )
        return LinkRecording(self._node.lab, cast("int", number))

    # -- what can be done to it

    def up(self) -> None:
        """Switch it on; addresses and routes are as before it went down."""
        self._ask("set_up", up=True)

    def down(self) -> None:
        """Switch it off; its addresses stay, and come to use again with `up`."""
        self._ask("set_up", up=False)

    def replug(self, router: Named | str) -> None:
        """Plug it into the LAN of another router: it gets addresses and routes of that LAN.

        The interface stays the same one: sockets bound to it live on, and see their carrier go
        and come.
        """
        self._ask("replug", router=name_of(router))

    def renew_ip(self) -> IPv4Address | IPv6Address:
        """Give it other addresses of its LAN, as a new DHCP lease would; returns the first."""
        self._ask("renew_ip")
        address = self.ip or self.ip6
        assert address is not None, "an interface has IPv4, or IPv6, or both"
        return address

    def add_ip(self, address: IPv4Interface | IPv6Interface | str) -> None:
        """Give it one more address, such as `"10.0.1.200/24"`.

        Raises:
            ConfigError: it is none, or another host of the LAN has it.
        """
        try:
            value = ip_interface(address)
        except ValueError:
            message = f"{address!r} is not an address such as '10.0.1.200/24'"
            raise ConfigError(Problem(f"node {self._node.name!r}, {self._name}", message)) from None
        self._ask("add_ip", address=str(value))

    def set_mtu(self, mtu: int) -> None:
        """Set its MTU, in bytes."""
        self._ask("set_mtu", mtu=mtu)

    def set_condition(
        self,
        condition: TimedCondition | str | None,
        direction: Direction = "both",
        *,
        engine: LinkEngine | str | None = None,
        flows: Mapping[FlowMatch, LinkCondition | str] | None = None,
        since: Since = "now",
    ) -> None:
        """Set what packets meet from now on; no packet is lost or overtaken by the change.

        Args:
            condition: the condition, or the name of a preset; None for a clean link. With a
                `Schedule` or a `Trace` it changes by itself, until another is set.
            direction: packets that leave the node (`up`), that arrive at it (`down`), or both.
            engine: what makes it; the lab's if not given.
            flows: what packets of some flows meet instead: a condition for each, the first that
                matches holds. Each has a rate and a queue of its own. Without it no flow meets
                anything else, whatever did before.
            since: what the times of a schedule or trace count from: `now`, or the beginning of the
                `lab`.

        Raises:
            ConfigError: there is no such condition, or this host cannot make it, at any time of a
                schedule or trace.
        """
        asked = condition_arguments(condition, engine, flows, since)
        self._ask("set_condition", direction=direction, **asked)

    def remove(self) -> None:
        """Remove it; a default route that it carried moves to the next interface."""
        self._ask("remove_iface")

    # -- how

    def _ask(self, method: str, **arguments: Plain) -> None:
        self._now()
        self._node.lab.request(method, node=self._node.name, name=self._name, **arguments)

    def _met(self, direction: Literal["up", "down"]) -> tuple[LinkCondition | None, Flows]:
        self._now()
        self._check_direction(direction)
        told = self._node.lab.request(
            "condition", node=self._node.name, iface=self._name, direction=direction
        )
        condition, flows = cast("list[Plain]", told)
        return from_plain(_CONDITION, condition), from_plain(_FLOWS, flows)

    def _check_direction(self, direction: object) -> None:
        """See that one direction is asked about: `both` have no answer."""
        if direction not in ("up", "down"):
            message = f"{direction!r} is no direction to be asked about: it is 'up' or 'down'"
            raise ConfigError(Problem(f"node {self._node.name!r}, {self._name}", message))

    def _now(self) -> InterfaceSnapshot:
        for interface in self._node.interface_snapshots():
            if interface.name == self._name:
                return interface
        raise NodeGone(f"interface {self._name!r} of node {self._node.name!r} was removed")
