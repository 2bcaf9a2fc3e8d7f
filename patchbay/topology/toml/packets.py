"""Which packets something is for, as values of a file: flows and drop lists, and no programs."""

from __future__ import annotations

from collections.abc import Iterator

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.links.spec import Flows
from patchbay.topology.graph import interfaces
from patchbay.topology.model import Topology
from patchbay.topology.toml.writing import Value
from patchbay.values import DropList, FlowMatch, LinkCondition, PacketProgram


def dump_match(match: FlowMatch) -> Value:
    """Write which packets belong to a flow."""
    found: dict[str, Value] = {}
    if match.protocol is not None:
        found["protocol"] = match.protocol
    if match.port is not None:
        found["port"] = list(match.port)
    if match.address is not None:
        found["address"] = str(match.address)
    if match.dscp is not None:
        found["dscp"] = match.dscp
    return found


def dump_drops(drops: DropList) -> Value:
    """Write a drop list."""
    found: dict[str, Value] = {}
    if drops.packets:
        found["packets"] = list(drops.packets)
    if drops.flow_packets:
        found["flow-packets"] = list(drops.flow_packets)
    if drops.between_ms:
        found["between-ms"] = [list(pair) for pair in drops.between_ms]
    if drops.match is not None:
        found["match"] = dump_match(drops.match)
    return found


def check_programs(topology: Topology) -> None:
    """See that no link has a packet program: a function cannot be written into a file.

    Raises:
        ConfigError: there are such links; all of them are told.
    """
    problems = Problems()
    for place, condition in _conditions(topology):
        if condition is not None and condition.program is not None:
            problems.extend(refusal(condition.program), place)
    problems.check()


def refusal(program: PacketProgram) -> ConfigError:
    """What is wrong with a program that is to be written."""
    return ConfigError(
        Problem(
            "program",
            f"{program} is Python and cannot be written into a file: set None in its place first,"
            " and set it again once the file is loaded",
        )
    )


def _conditions(topology: Topology) -> Iterator[tuple[str, LinkCondition | None]]:
    for node, interface in interfaces(topology):
        place = f"node {node!r}, {interface.name}"
        yield from _with_flows(f"{place}, up", interface.condition_up, interface.flows_up)
        yield from _with_flows(f"{place}, down", interface.condition_down, interface.flows_down)
    for router in topology.routers.values():
        place = f"router {router.name!r}, downlink"
        yield from _with_flows(place, router.downlink, router.downlink_flows)
    for trunk in topology.trunks:
        ends = " - ".join(trunk.ends)
        for place, lane in (("", trunk.link), (", back", trunk.back)):
            yield from _with_flows(f"region-link {ends}{place}", lane.condition, lane.flows)


def _with_flows(
    place: str, condition: LinkCondition | None, flows: Flows
) -> Iterator[tuple[str, LinkCondition | None]]:
    yield place, condition
    for number, (_, each) in enumerate(flows, 1):
        yield f"{place}, flow {number}", each
