"""From what stands behind a key to the value it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Protocol, TypeVar

from patchbay.errors import ConfigError, Problem, Problems, nearest
from patchbay.links.spec import Flows
from patchbay.topology.toml.keys import kebab
from patchbay.values import (
    DelayTable,
    DeliveryOpportunities,
    DropList,
    Firewall,
    FirewallAction,
    FirewallConfig,
    FirewallDirection,
    FirewallProtocol,
    FirewallRule,
    FlowMatch,
    FourState,
    GilbertElliott,
    IpSupport,
    Ipv6Provisioning,
    JitterDistribution,
    LinkCondition,
    LinkEngine,
    Nat,
    NatConfig,
    NatFiltering,
    NatMapping,
    NatPooling,
    NatPorts,
    NatTimeouts,
    NatV6Mode,
    PortForward,
    PortPolicy,
    Ports,
    QueueDiscipline,
    RouterPreset,
    Slots,
    parse,
    parse_mac,
)
from patchbay.values.parsing import canonical

_T = TypeVar("_T")
Parser = Callable[[object], object]


class NameCheck(Protocol):
    """A check of a name, such as `check_node_name`."""

    def __call__(self, name: str, problems: Problems, place: str) -> None: ...


def mistake(message: str, near: str | None = None) -> ConfigError:
    """What is wrong with a value; the place is the caller's to say."""
    return ConfigError(Problem("", message, near))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise mistake(f"{value!r} is not a string")
    return value


def _named(kind: type[_T], value: object) -> _T:
    """A value by its name; the place is the caller's to say."""
    try:
        return parse(kind, _text(value))
    except ConfigError as error:
        raise ConfigError(
            Problem("", each.message, each.nearest) for each in error.problems
        ) from None


def preset(value: object) -> RouterPreset:
    """Read a preset of a router."""
    return _named(RouterPreset, value)


def nat_v6(value: object) -> NatV6Mode:
    """Read a way of IPv6 NAT."""
    return _named(NatV6Mode, value)


def ip_support(value: object) -> IpSupport:
    """Read which versions of IP there are."""
    return _named(IpSupport, value)


def provisioning(value: object) -> Ipv6Provisioning:
    """Read how hosts get their IPv6 addresses."""
    return _named(Ipv6Provisioning, value)


def flows(value: object) -> Flows:
    """Read what packets of flows meet: an array of tables, each with `match` and `condition`."""
    if not isinstance(value, list):
        raise mistake(f"{value!r} is not an array of tables")
    return tuple(_flow(each) for each in value)


def _flow(value: object) -> tuple[FlowMatch, LinkCondition]:
    flow = made(_Flow, entries(value), {"match": _match, "condition": condition})
    return flow.match, flow.condition


def _match(value: object) -> FlowMatch:
    names = FlowMatch.__slots__
    parsers: dict[str, Parser] = {**dict.fromkeys(names, as_is), "port": _port_or_ports}
    return made(FlowMatch, entries(value), parsers)


def drops(value: object) -> DropList:
    """Read a drop list."""
    parsers = {**dict.fromkeys(DropList.__slots__, as_is), "match": _match}
    return made(DropList, entries(value), parsers)


def _program(value: object) -> None:
    raise mistake("a packet program is a Python function: set it once the file is loaded")


def _opportunities(value: object) -> DeliveryOpportunities:
    """Read an array of milliseconds, or a text of them with spaces between."""
    if isinstance(value, str):
        return DeliveryOpportunities(value)
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        raise mistake(f"{value!r} is not an array of milliseconds")
    return DeliveryOpportunities(value)


def _port_or_ports(value: object) -> object:
    return _ports(value) if isinstance(value, list) else value


_ALL_PACKETS = FlowMatch()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flow:
    match: FlowMatch = _ALL_PACKETS
    condition: LinkCondition = LinkCondition.LAN


def engine(value: object) -> LinkEngine:
    """Read what makes a link condition."""
    return _named(LinkEngine, value)


def network(value: object) -> IPv4Network:
    """Read an IPv4 subnet."""
    return _named(IPv4Network, value)


def network6(value: object) -> IPv6Network:
    """Read an IPv6 subnet."""
    return _named(IPv6Network, value)


def address(value: object) -> IPv4Interface:
    """Read an IPv4 address, with or without its prefix length."""
    return _named(IPv4Interface, value)


def address6(value: object) -> IPv6Interface:
    """Read an IPv6 address, with or without its prefix length."""
    return _named(IPv6Interface, value)


def mac(value: object) -> str:
    """Read a hardware address."""
    return parse_mac(_text(value), "")


def macs(value: object) -> tuple[str, ...]:
    """Read an array of hardware addresses."""
    if not isinstance(value, list):
        raise mistake(f"{value!r} is not an array of hardware addresses")
    return tuple(map(mac, value))


def condition(value: object) -> LinkCondition:
    """Read a link condition: the name of a preset, or a table of its fields."""
    if not isinstance(value, dict):
        return _named(LinkCondition, value)
    return made(LinkCondition, value, _CONDITION_FIELDS)


def nat(value: object) -> Nat | NatConfig:
    """Read a NAT: the name of a kind, or a table of the fields of `NatConfig`."""
    if not isinstance(value, dict):
        return _named(Nat, value)
    return made(NatConfig, _custom(value), _NAT_FIELDS)


def firewall(value: object) -> Firewall | FirewallConfig:
    """Read a firewall: the name of a kind, or a table of the fields of `FirewallConfig`."""
    if not isinstance(value, dict):
        return _named(Firewall, value)
    return made(FirewallConfig, _custom(value), _FIREWALL_FIELDS)


def _custom(value: Mapping[str, object]) -> Mapping[str, object]:
    """What stands in `{ custom = {...} }`, as another dialect of these files has it."""
    inner = value.get("custom")
    return inner if len(value) == 1 and isinstance(inner, dict) else value


def made(kind: type[_T], value: Mapping[str, object], parsers: Mapping[str, Parser]) -> _T:
    """Make a dataclass of a table, with all that is wrong in it told at once."""
    problems = Problems()
    found: dict[str, object] = {}
    for typed, each in value.items():
        name = canonical(typed)
        if name not in parsers:
            near = nearest(kebab(name), [kebab(known) for known in parsers])
            problems.add(typed, "there is no such key", near)
        elif name in found:
            problems.add(typed, "it is given twice")
        else:
            try:
                found[name] = parsers[name](each)
            except ConfigError as error:
                problems.extend(error, typed)
    problems.check()
    return kind(**found)


def as_is(value: object) -> object:
    """Leave it to the value that it is a part of to find out whether it is right."""
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise mistake(f"{value!r} is not true or false")
    return value


def _whole_numbers(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        raise mistake(f"{value!r} is not an array of ports")
    return tuple(value)


def _ports(value: object) -> tuple[int, int]:
    numbers = _whole_numbers(value)
    if len(numbers) != 2:
        raise mistake(f"{value!r} is not the first and the last port")
    return numbers[0], numbers[1]


def _policy(value: object) -> PortPolicy:
    return PortPolicy(_whole_numbers(value))


def _action(value: object) -> FirewallAction:
    return _named(FirewallAction, value)


def _direction(value: object) -> FirewallDirection:
    return _named(FirewallDirection, value)


def _protocol(value: object) -> FirewallProtocol:
    return _named(FirewallProtocol, value)


def _rule_ports(value: object) -> tuple[Ports, ...]:
    """Read an array of ports and of pairs of the first and last port of a range, or one port."""
    if type(value) is int:
        return (value,)
    if not isinstance(value, list):
        raise mistake(f"{value!r} is not an array of ports")
    return tuple(each if type(each) is int else _ports(each) for each in value)


def _networks(value: object) -> tuple[str, ...]:
    """Read an array of addresses and subnets, or one of them."""
    return tuple(map(_text, value if isinstance(value, list) else [value]))


def _rules(value: object) -> tuple[FirewallRule, ...]:
    if not isinstance(value, list):
        raise mistake(f"{value!r} is not an array of rules")
    return tuple(map(_rule, value))


def _rule(value: object) -> FirewallRule:
    if not isinstance(value, dict):
        raise mistake(f"{value!r} is not a table of a rule's fields")
    problems = Problems()
    for name in ("action", "direction"):
        if name not in map(canonical, value):
            problems.add(name, "a rule needs one")
    problems.check()
    return made(FirewallRule, value, _FIREWALL_RULE_FIELDS)


def _mapping(value: object) -> NatMapping:
    return _named(NatMapping, value)


def _filtering(value: object) -> NatFiltering:
    return _named(NatFiltering, value)


def _timeouts(value: object) -> NatTimeouts:
    return _numbers(NatTimeouts, NatTimeouts.__slots__, value)


def _distribution(value: object) -> JitterDistribution | DelayTable:
    return DelayTable(value) if isinstance(value, list) else _named(JitterDistribution, value)


def _loss_model(value: object) -> GilbertElliott | FourState:
    """A model by its fields: one with transitions between numbered states is of four states."""
    if any(canonical(name) in FourState.__slots__ for name in entries(value)):
        return _numbers(FourState, FourState.__slots__, value)
    return _numbers(GilbertElliott, GilbertElliott.__slots__, value)


def _discipline(value: object) -> QueueDiscipline:
    return _named(QueueDiscipline, value)


def _slots(value: object) -> Slots:
    return _numbers(Slots, Slots.__slots__, value)


def entries(value: object) -> Mapping[str, object]:
    """Read a table."""
    if not isinstance(value, dict):
        raise mistake(f"{value!r} is not a table")
    return value


def _numbers(kind: type[_T], names: Iterable[str], value: object) -> _T:
    """Make a dataclass whose fields are numbers of a table."""
    return made(kind, entries(value), dict.fromkeys(names, as_is))


def _port_choice(value: object) -> NatPorts:
    return _named(NatPorts, value)


def _pooling(value: object) -> NatPooling:
    return _named(NatPooling, value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise mistake(f"{value!r} is not an array")
    return tuple(map(_text, value))


def _pairs(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise mistake(f"{value!r} is not a table of internal and external addresses")
    return {inside: _text(outside) for inside, outside in value.items()}


def _forwards(value: object) -> tuple[PortForward, ...]:
    if not isinstance(value, list):
        raise mistake(f"{value!r} is not an array of tables")
    return tuple(map(_forward, value))


def _forward(value: object) -> PortForward:
    if not isinstance(value, dict):
        raise mistake(f"{value!r} is not a table")
    missing = {"protocol", "port", "host"} - {canonical(each) for each in value}
    if missing:
        raise mistake(f"a forward needs {' and '.join(sorted(missing))}")
    return made(PortForward, value, dict.fromkeys(PortForward.__slots__, as_is))


_CONDITION_FIELDS: Mapping[str, Parser] = {
    **dict.fromkeys(LinkCondition.__slots__, as_is),
    "jitter_distribution": _distribution,
    "loss_model": _loss_model,
    "queue_discipline": _discipline,
    "slots": _slots,
    "drops": drops,
    "program": _program,
    "opportunities": _opportunities,
}
_NAT_FIELDS: Mapping[str, Parser] = {
    **dict.fromkeys(NatConfig.__slots__, as_is),
    "mapping": _mapping,
    "filtering": _filtering,
    "tcp_mapping": _mapping,
    "tcp_filtering": _filtering,
    "port_choice": _port_choice,
    "pooling": _pooling,
    "hairpin": _flag,
    "parity": _flag,
    "inbound_refresh": _flag,
    "rebind_address": _flag,
    "timeouts": _timeouts,
    "ports": _ports,
    "addresses": _texts,
    "exempt": _texts,
    "one_to_one": _pairs,
    "forwards": _forwards,
}
_FIREWALL_RULE_FIELDS: Mapping[str, Parser] = {
    "action": _action,
    "direction": _direction,
    "protocol": _protocol,
    "ports": _rule_ports,
    "source_ports": _rule_ports,
    "source": _networks,
    "destination": _networks,
}
_FIREWALL_FIELDS: Mapping[str, Parser] = {
    "block_inbound": _flag,
    "outbound_tcp": _policy,
    "outbound_udp": _policy,
    "outbound_icmp": _flag,
    "rules": _rules,
    "refuse": _action,
    "stateful": _flag,
    "filtering": _filtering,
    "allow_ipsec": _flag,
    "block_spoofed": _flag,
    "block_icmp_frag_needed": _flag,
    "captive_portal": _flag,
    "refuse_syn_after": as_is,
}
