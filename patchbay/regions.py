"""Regions: the handles of parts of the world, and what a lab does with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, cast

from actors.connection import Connection
from actors.protocol import Plain
from patchbay.nodes import LabNode, Router
from patchbay.topology import model
from patchbay.topology.graph import region_of
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.requests import (
    Request,
    lane_requests,
    region_request,
    trunk_request,
)
from patchbay.values import (
    FlowMatch,
    LinkCondition,
    LinkEngine,
    Named,
    RegionCondition,
    RegionLink,
    Since,
    check_since,
    name_of,
)

if TYPE_CHECKING:
    from patchbay.lab import Lab


class Region(LabNode):
    """A part of the world, such as a continent: a network that routers are plugged into.

    It reaches the IX without delay, and the regions that it is linked with as their links say. Code
    can run on it as on any node: it is the router between its own network and all others.
    """

    @property
    def downstream(self) -> IPv4Network:
        """The IPv4 subnet of its LAN; a LAN of more than 250 routers has further ones."""
        return self._model().downstream

    @property
    def downstream6(self) -> IPv6Network:
        """The IPv6 subnet of its LAN."""
        return self._model().downstream6

    @property
    def transit(self) -> bool:
        """Whether regions without a link of their own reach each other through it."""
        return self._model().transit

    @property
    def routers(self) -> list[Router]:
        """The routers in it, also those behind others, in the order they were added."""
        topology = self._lab.topology()
        names = [name for name in topology.routers if region_of(topology, name) == self._name]
        return [Router(self._lab, self._connection, name) for name in names]

    @property
    def linked(self) -> list[Region]:
        """The regions it is linked with, whether or not the link is broken."""
        trunks = [each.ends for each in self._lab.topology().trunks if self._name in each.ends]
        names = [one if other == self._name else other for one, other in trunks]
        return [Region(self._lab, self._connection, name) for name in names]

    def set_transit(self, transit: bool) -> None:
        """Set whether regions without a link of their own reach each other through it."""
        self._lab.request("set_transit", node=self._name, transit=bool(transit))

    def _model(self) -> model.Region:
        return from_plain(model.Region, self._lab.request("region", node=self._name))


class LabRegions(ABC):
    """What a lab does with regions and the links between them."""

    _connection: Connection

    @abstractmethod
    def request(self, method: str, **arguments: Plain) -> Plain:
        """Ask the lab's supervisor."""

    @abstractmethod
    def topology(self) -> Topology:
        """The whole network as it is now."""

    @abstractmethod
    def _add(self, *requests: Request) -> None:
        """Have something added, now or with the batch that is open."""

    # -- adding and finding

    def add_region(
        self,
        name: str,
        *,
        transit: bool = False,
        downstream: IPv4Network | str | None = None,
        downstream6: IPv6Network | str | None = None,
    ) -> Region:
        """Add a region, which reaches the IX, and no other region until it is linked with it.

        Args:
            name: any text without white space and slashes, at most 63 bytes, that no node has.
            transit: whether regions without a link of their own reach each other through it.
            downstream: IPv4 subnet of its LAN, that of its routers' uplinks; the next free /24 if
                not given.
            downstream6: IPv6 subnet of its LAN; the next free /64 if not given.

        Raises:
            ConfigError: all that is wrong with it; nothing was added.
        """
        request = region_request(
            name, transit=transit, downstream=downstream, downstream6=downstream6
        )
        self._add(request)
        return self._handle(name)

    def add_world(
        self, links: Mapping[tuple[str, str], RegionCondition | str] = RegionLink.WORLD
    ) -> Mapping[str, Region]:
        """Add regions and the links between them: by default five parts of the world.

        These are `us`, `eu`, `asia`, `oceania` and `south-america`, each linked with each other;
        the latencies are those between data centres of a large cloud provider.

        Args:
            links: what packets meet between two regions, by the names of these.

        Returns:
            The regions, by name.

        Raises:
            ConfigError: all that is wrong with them; nothing was added.
        """
        names = list(dict.fromkeys(name for pair in links for name in pair))
        regions = [region_request(name) for name in names]
        trunks = [trunk_request(one, other, link, None) for (one, other), link in links.items()]
        self._add(*regions, *trunks)
        return {name: self._handle(name) for name in names}

    @property
    def regions(self) -> list[Region]:
        """Every region, in the order they were added."""
        return [self._handle(name) for name in self.topology().regions]

    def region_of(self, router: Named | str) -> Region | None:
        """The region that a router is in, by itself or behind others; None if it is in none."""
        told = cast("str | None", self.request("region_of", node=name_of(router)))
        return None if told is None else self._handle(told)

    def _handle(self, name: str) -> Region:
        return Region(cast("Lab", self), self._connection, name)

    # -- links

    def link_regions(
        self,
        a: Named | str,
        b: Named | str,
        link: RegionCondition | str | None = None,
        *,
        back: RegionCondition | str | None = None,
        flows: Mapping[FlowMatch, LinkCondition | str] | None = None,
        back_flows: Mapping[FlowMatch, LinkCondition | str] | None = None,
        engine: LinkEngine | str | None = None,
    ) -> None:
        """Link two regions: all that is in one reaches all that is in the other, by IPv4 and IPv6.

        Args:
            a: a region.
            b: another one.
            link: what packets from `a` to `b` meet, such as `RegionLink.good(80)`: a condition as
                any link takes it, the name of a preset, a `Schedule` or a `Trace`; nothing if not
                given.
            back: what packets from `b` to `a` meet; the same if not given.
            flows: what packets of some flows from `a` to `b` meet instead: a condition for each,
                the first that matches holds.
            back_flows: the same for packets from `b` to `a`; the same as `flows` if not given.
            engine: what makes it; the lab's if not given.

        Raises:
            ConfigError: there is no such region or condition, they are linked already, or this
                host cannot make the condition.
        """
        self._add(trunk_request(a, b, link, back, flows, back_flows, engine))

    def update_region_link(
        self,
        a: Named | str,
        b: Named | str,
        link: RegionCondition | str | None,
        *,
        back: RegionCondition | str | None = None,
        flows: Mapping[FlowMatch, LinkCondition | str] | None = None,
        back_flows: Mapping[FlowMatch, LinkCondition | str] | None = None,
        engine: LinkEngine | str | None = None,
        since: Since = "now",
    ) -> None:
        """Set what packets between two linked regions meet; no packet is lost by the change.

        Args:
            a: a region.
            b: another one.
            link: what packets from `a` to `b` meet; None for nothing.
            back: what packets from `b` to `a` meet; the same if not given.
            flows: what packets of some flows from `a` to `b` meet instead; without it no flow
                meets anything else, whatever did before.
            back_flows: the same for packets from `b` to `a`; the same as `flows` if not given.
            engine: what makes it; the lab's if not given.
            since: what the times of a schedule or trace count from: `now`, or the beginning of the
                `lab`.

        Raises:
            ConfigError: they are not linked, there is no such condition, or this host cannot make
                it, at any time of a schedule or trace.
        """
        one, other = name_of(a), name_of(b)
        there, reverse = lane_requests(one, other, link, back, flows, back_flows, engine)
        self.request(
            "update_region_link",
            one=one,
            other=other,
            link=to_plain(there),
            back=to_plain(reverse),
            since=check_since(since),
        )

    def unlink_regions(self, a: Named | str, b: Named | str) -> None:
        """Remove the link between two regions.

        Raises:
            ConfigError: they are not linked.
        """
        self.request("unlink_regions", one=name_of(a), other=name_of(b))

    def break_region_link(self, a: Named | str, b: Named | str, *, reroute: bool = False) -> None:
        """Break the link between two regions, as when a cable is cut: packets get lost.

        Args:
            a: a region.
            b: another one.
            reroute: whether packets between the two go around it instead, over the links of as few
                other regions as possible, and of several such ways by that of the least latency.

        Raises:
            ConfigError: they are not linked, or there is no way around.
        """
        self.request("break_region_link", one=name_of(a), other=name_of(b), reroute=bool(reroute))

    def restore_region_link(self, a: Named | str, b: Named | str) -> None:
        """Mend a broken link between two regions.

        Raises:
            ConfigError: they are not linked, or the link is not broken.
        """
        self.request("restore_region_link", one=name_of(a), other=name_of(b))
