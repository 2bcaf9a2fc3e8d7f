"""Regions and their links in a topology in the making."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchbay.errors import Problems, nearest
from patchbay.topology import available
from patchbay.topology.graph import region_of
from patchbay.topology.model import Lane, Region, Topology, Trunk
from patchbay.topology.playing import JUST_NOW, Begun
from patchbay.topology.requests import (
    LaneRequest,
    RegionRequest,
    RouterRequest,
    TrunkRequest,
    lan_asked_for,
)
from patchbay.values import IpSupport

if TYPE_CHECKING:
    from patchbay.topology.draft import Draft


def add_region(draft: Draft, request: RegionRequest) -> None:
    """Add a region, with a subnet of either version of IP."""
    place, before = f"region {request.name!r}", len(draft.problems)
    draft.check_name(request.name, place)
    if request.number in {region.number for region in draft.regions.values()}:
        draft.problems.add(f"{place}, number", f"{request.number} is that of another region")
    downstream = draft.subnet(request, IpSupport.DUAL_STACK, place, public=True)
    downstream6 = draft.subnet6(request, IpSupport.DUAL_STACK, place, public=True)
    if downstream is None or downstream6 is None or len(draft.problems) > before:
        draft.failed.add(request.name)
        return
    region = Region(
        name=request.name,
        number=draft.ledger.region() if request.number is None else request.number,
        downstream=downstream,
        downstream6=downstream6,
        transit=request.transit,
    )
    draft.regions[region.name] = region
    draft.ledger.enter_region(region)


def add_trunk(draft: Draft, request: TrunkRequest) -> None:
    """Add a link between two regions that are there."""
    one, other = request.ends
    place, before = trunk_place(one, other), len(draft.problems)
    for name in dict.fromkeys(request.ends):
        if name not in draft.regions and name not in draft.failed:
            near = nearest(name, draft.regions)
            draft.problems.add(place, f"there is no region {name!r}", near)
    if one == other:
        draft.problems.add(place, "a region cannot be linked with itself")
    if any({one, other} == set(trunk.ends) for trunk in draft.trunks):
        draft.problems.add(place, "they are linked already")
    if request.number in {trunk.number for trunk in draft.trunks}:
        draft.problems.add(f"{place}, number", f"{request.number} is that of another link")
    check_lanes(draft.base, draft.problems, place, request.link, request.back)
    if len(draft.problems) == before and draft.failed.isdisjoint(request.ends):
        trunk = Trunk(
            number=draft.ledger.trunk() if request.number is None else request.number,
            ends=request.ends,
            link=lane_of(request.link, JUST_NOW),
            back=lane_of(request.back, JUST_NOW),
            broken=request.broken,
            reroute=request.reroute,
        )
        draft.trunks.append(trunk)
        draft.ledger.enter_trunk(trunk)


def upstream_of(draft: Draft, request: RouterRequest, place: str) -> str:
    """Return the LAN that a router is to be plugged into; the IX if its region is none.

    A region that is none, or is not the one that its upstream is in, is a mistake.
    """
    region, upstream = request.region, request.upstream
    if region is None or region in draft.failed:
        return lan_asked_for(request)
    if region not in draft.regions:
        near = nearest(region, draft.regions)
        draft.problems.add(f"{place}, region", f"there is no region {region!r}", near)
        return upstream
    if upstream in draft.routers or upstream in draft.regions:
        at = region_of(draft, upstream)
        if at != region:
            where = "in no region" if at is None else f"in region {at!r}"
            message = f"its upstream {upstream!r} is {where}, not in {region!r}"
            draft.problems.add(f"{place}, region", message)
    return lan_asked_for(request)


def lane_of(request: LaneRequest, begun: Begun) -> Lane:
    """Return what packets meet in a direction; a schedule or a trace has begun as it says."""
    now, playing = begun.with_playing(request.condition)
    return Lane(condition=now, engine=request.engine, flows=request.flows, playing=playing)


def check_lanes(
    topology: Topology, problems: Problems, place: str, link: LaneRequest, back: LaneRequest
) -> None:
    """Add a problem unless what packets are to meet on a link between regions can be had."""
    check_lane(topology, problems, place, link)
    if back != link:
        check_lane(topology, problems, f"{place}, back", back)


def check_lane(topology: Topology, problems: Problems, place: str, lane: LaneRequest) -> None:
    """The same for one direction."""
    available.check_condition(topology, lane.condition, problems, place, lane.engine, lane.flows)


def trunk_place(one: str, other: str) -> str:
    """What a link between regions is called in mistakes."""
    return f"link between regions {one!r} and {other!r}"
