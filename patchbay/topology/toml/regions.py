"""Regions, the links between them and partitions, from a file and into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from patchbay.errors import ConfigError, Problem
from patchbay.topology.model import Lane, Partition, Region, Topology, Trunk
from patchbay.topology.requests import LaneRequest, RegionRequest, TrunkRequest
from patchbay.topology.toml import timelines, values
from patchbay.topology.toml.configs import dump_condition, dump_flows
from patchbay.topology.toml.keys import (
    LINK_FIELDS,
    LINK_NUMBERS,
    LINK_SHORT,
    PARTITION_KEYS,
    REGION_KEYS,
    REGION_LINK_KEYS,
    kebab,
)
from patchbay.topology.toml.lines import Path
from patchbay.topology.toml.packets import dump_drops
from patchbay.topology.toml.tables import File, Table
from patchbay.topology.toml.writing import Value, key, table
from patchbay.values import LinkCondition, RegionLink, TimedCondition

# ---- reading ----------------------------------------------------------------------------------


def read_region(
    file: File, path: Path, name: str, data: Mapping[str, object]
) -> tuple[Table, RegionRequest, tuple[TrunkRequest, ...]]:
    """Read a table `[region.NAME]`: the region, and the links of its `latencies`."""
    own = Table(file, path, f"region {name!r}", data, REGION_KEYS)
    request = RegionRequest(
        name=name,
        transit=bool(own.get("transit", bool)),
        downstream=own.parsed("downstream", values.network),
        downstream6=own.parsed("downstream6", values.network6),
        number=own.get("number", int),
    )
    links: list[TrunkRequest] = []
    for other, latency in (own.get("latencies", dict) or {}).items():
        try:
            link = LaneRequest(condition=RegionLink.good(latency).met)
        except ConfigError as error:
            file.extend((*path, "latencies", other), f"region {name!r}, {other}", error.problems)
        else:
            links.append(TrunkRequest(ends=(name, other), link=link, back=link))
    return own, request, tuple(links)


def read_link(
    file: File, path: Path, data: Mapping[str, object]
) -> tuple[Table, TrunkRequest | None]:
    """Read a table `[[region-link]]`; None for a link of which nothing can be made."""
    own = Table(file, path, "region-link", data, REGION_LINK_KEYS)
    ends = own.parsed("between", _two_names)
    if "between" not in own:
        own.problem("between", "it is missing: two regions in an array")
    there = _lane(own)
    reverse = own.get("back", dict)
    back = there
    if reverse is not None:
        back = _lane(Table(file, (*path, "back"), "region-link, back", reverse, LINK_FIELDS))
    if ends is None or there is None or back is None:
        return own, None
    return own, TrunkRequest(
        ends=ends,
        link=there,
        back=back,
        broken=bool(own.get("broken", bool)),
        reroute=bool(own.get("reroute", bool)),
        number=own.get("number", int),
    )


def read_partition(
    file: File, path: Path, data: Mapping[str, object]
) -> tuple[Table, Partition | None]:
    """Read a table `[[partition]]`; None for one of which nothing can be made."""
    own = Table(file, path, "partition", data, PARTITION_KEYS)
    sides = own.parsed("sides", _sides)
    if "sides" not in own:
        own.problem("sides", "it is missing: an array of arrays of nodes")
    one_way = bool(own.get("one_way", bool))
    return own, None if sides is None else Partition(sides=sides, one_way=one_way)


def _lane(own: Table) -> LaneRequest | None:
    """Read what packets meet in one direction; None with a mistake in it."""
    if "condition" in own:
        for name in LINK_SHORT:
            if name in own:
                own.problem(name, "give either this or a condition, which can have it too")
        condition = own.parsed("condition", timelines.condition)
        if condition is None:
            return None
    else:
        link = _link(own)
        if link is None:
            return None
        condition = link.met
    return LaneRequest(
        condition=condition,
        engine=own.parsed("engine", values.engine),
        flows=own.parsed("flows", values.flows) or (),
    )


def _link(own: Table) -> RegionLink | None:
    latency, jitter, loss, rate = (own.parsed(name, _number) for name in LINK_NUMBERS)
    drops = own.parsed("drops", values.drops)
    try:
        return RegionLink(latency or 0, jitter or 0, loss or 0, rate, drops=drops)
    except ConfigError as error:
        for each in error.problems:
            own.problem(each.place, each.message)
        return None


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(Problem("", f"{value!r} is not a number"))
    return value


def _sides(value: object) -> tuple[tuple[str, ...], ...]:
    sides = value if isinstance(value, list) else []
    if not sides or not all(_is_side(side) for side in sides):
        raise ConfigError(Problem("", f"{value!r} is not an array of arrays of nodes"))
    return tuple(tuple(side) for side in sides)


def _is_side(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _two_names(value: object) -> tuple[str, str]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(e, str) for e in value):
        return value[0], value[1]
    raise ConfigError(Problem("", f"{value!r} is not an array of two names"))


# ---- writing ----------------------------------------------------------------------------------


def region_requests(topology: Topology) -> tuple[RegionRequest | TrunkRequest, ...]:
    """The requests for regions and links that leave all to allocation."""
    regions = (RegionRequest(name=name) for name in topology.regions)
    trunks = (
        TrunkRequest(ends=each.ends, link=LaneRequest(), back=LaneRequest())
        for each in topology.trunks
    )
    return tuple(chain(regions, trunks))


def numbers(topology: Topology) -> list[int]:
    """The numbers of its regions, then those of its links."""
    every: Iterator[Region | Trunk] = chain(topology.regions.values(), topology.trunks)
    return [each.number for each in every]


def dump_regions(topology: Topology, *, subnets: bool, numbered: bool) -> Iterator[str]:
    """Write the tables of regions and their links.

    Args:
        topology: the lab.
        subnets: whether to write what else would come out otherwise.
        numbered: the same for numbers.
    """
    for region in topology.regions.values():
        found: dict[str, Value] = {"transit": True} if region.transit else {}
        if subnets:
            found["downstream"] = str(region.downstream)
            found["downstream6"] = str(region.downstream6)
        if numbered:
            found["number"] = region.number
        yield table(f"[{key('region', region.name)}]", found)
    for trunk in topology.trunks:
        entries: dict[str, Value] = {"between": [*trunk.ends], **_fields(trunk.link)}
        if trunk.back != trunk.link:
            entries["back"] = _fields(trunk.back)
        if trunk.broken:
            entries["broken"] = True
        if trunk.reroute:
            entries["reroute"] = True
        if numbered:
            entries["number"] = trunk.number
        yield table("[[region-link]]", entries)


def dump_partitions(topology: Topology) -> Iterator[str]:
    """Write the tables of partitions."""
    for partition in topology.partitions:
        entries: dict[str, Value] = {"sides": [[*side] for side in partition.sides]}
        if partition.one_way:
            entries["one-way"] = True
        yield table("[[partition]]", entries)


def _fields(lane: Lane) -> Mapping[str, Value]:
    found = dict(_condition(lane.timed_condition))
    if lane.engine is not None:
        found["engine"] = kebab(lane.engine)
    if lane.flows:
        found["flows"] = dump_flows(lane.flows)
    return found


def _condition(condition: TimedCondition | None) -> Mapping[str, Value]:
    """What packets meet, in few words where these are enough."""
    if condition is None:
        return {}
    link = _short(condition) if isinstance(condition, LinkCondition) else None
    if link is None:
        return {"condition": timelines.dump(condition, dump_condition)}
    given = {name: getattr(link, name) for name in LINK_NUMBERS}
    found: dict[str, Value] = {kebab(name): value for name, value in given.items() if value}
    if link.drops is not None:
        found["drops"] = dump_drops(link.drops)
    return found


def _short(condition: LinkCondition) -> RegionLink | None:
    """The `RegionLink` that has this very condition; None if there is none."""
    rate = None if condition.rate_kbit is None else condition.rate_kbit / 1000
    link = RegionLink(
        condition.latency_ms, condition.jitter_ms, condition.loss_pct, rate, drops=condition.drops
    )
    return link if link.condition == condition else None
