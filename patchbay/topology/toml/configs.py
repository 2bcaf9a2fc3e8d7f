"""Conditions, NATs and firewalls as values of a file: a name, or a table of what is not as usual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum

from patchbay.links.spec import Flows
from patchbay.topology.toml.keys import kebab
from patchbay.topology.toml.packets import dump_drops, dump_match, refusal
from patchbay.topology.toml.writing import Value
from patchbay.values import (
    DelayTable,
    DeliveryOpportunities,
    DropList,
    Firewall,
    FirewallConfig,
    FirewallRule,
    FourState,
    GilbertElliott,
    LinkCondition,
    Nat,
    NatConfig,
    NatTimeouts,
    PacketProgram,
    PortForward,
    PortPolicy,
    Slots,
)

_Table = (
    LinkCondition | NatConfig | NatTimeouts | FirewallConfig | GilbertElliott | FourState | Slots
)


def dump_condition(condition: LinkCondition) -> Value:
    """Write what packets meet: the name of a preset, or a table."""
    for name, preset in LinkCondition.PRESETS.items():
        if condition == preset:
            return kebab(name)
    return _fields(condition, LinkCondition())


def dump_flows(flows: Flows) -> Value:
    """Write what packets of flows meet."""
    return [
        {"match": dump_match(match), "condition": dump_condition(condition)}
        for match, condition in flows
    ]


def dump_nat(nat: Nat | NatConfig) -> Value:
    """Write a NAT: its name, or a table."""
    return kebab(nat) if isinstance(nat, Nat) else _fields(nat, NatConfig())


def dump_firewall(firewall: Firewall | FirewallConfig) -> Value:
    """Write a firewall: its name, or a table."""
    if isinstance(firewall, Firewall):
        return kebab(firewall)
    return _fields(firewall, FirewallConfig())


def _forward(forward: PortForward) -> Mapping[str, Value]:
    found: dict[str, Value] = {
        "protocol": forward.protocol,
        "port": forward.port,
        "host": str(forward.host),
    }
    if forward.host_port != forward.port:
        found["host-port"] = forward.host_port
    return found


def _rule(rule: FirewallRule) -> Mapping[str, Value]:
    found: dict[str, Value] = {
        "action": kebab(rule.action),
        "direction": kebab(rule.direction),
    }
    if rule.protocol is not None:
        found["protocol"] = kebab(rule.protocol)
    for name, ports in (("ports", rule.ports), ("source-ports", rule.source_ports)):
        if ports:
            found[name] = [list(each) if isinstance(each, tuple) else each for each in ports]
    for name, networks in (("source", rule.source), ("destination", rule.destination)):
        if networks:
            found[name] = [str(each) for each in networks]
    return found


def _fields(of: _Table, default: _Table | None = None) -> Mapping[str, Value]:
    """The fields of a dataclass that are not as they are by default, or None."""
    found: dict[str, Value] = {}
    for each in fields(of):
        value = getattr(of, each.name)
        if value == (each.default if default is None else getattr(default, each.name)):
            continue
        if isinstance(value, Enum):
            found[kebab(each.name)] = kebab(value)
        elif isinstance(value, PortPolicy):
            found[kebab(each.name)] = list(value.ports or ())
        elif isinstance(value, DelayTable):
            found[kebab(each.name)] = list(value.deviations)
        elif isinstance(value, PacketProgram):
            raise refusal(value)  # one of a schedule or trace; others have been looked for
        elif isinstance(value, DeliveryOpportunities):
            found[kebab(each.name)] = value.times
        elif isinstance(value, DropList):
            found[kebab(each.name)] = dump_drops(value)
        elif isinstance(value, NatTimeouts | GilbertElliott | FourState | Slots):
            found[kebab(each.name)] = _fields(value)
        elif each.name == "rules":
            found["rules"] = [_rule(rule) for rule in value]
        elif each.name in ("addresses", "exempt"):
            found[each.name] = list(map(str, value))
        elif each.name == "one_to_one":
            found[kebab(each.name)] = {str(inside): str(outside) for inside, outside in value}
        elif each.name == "forwards":
            found[each.name] = list(map(_forward, value))
        else:
            found[kebab(each.name)] = list(value) if isinstance(value, tuple) else value
    return found
