"""Which packets something is for, as values of a file: flows and drop lists."""

from __future__ import annotations

from patchbay.topology.toml.writing import Value
from patchbay.values import DropList, FlowMatch


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
