"""What a person asked to be added: routers, devices, regions; as typed, each value parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias, TypeVar

from actors.protocol import Plain
from patchbay.errors import ConfigError, Problems
from patchbay.links.spec import Flows
from patchbay.topology.model import IX
from patchbay.topology.plain import to_plain
from patchbay.values import (
    Firewall,
    FirewallConfig,
    FlowMatch,
    IfaceConfig,
    IpSupport,
    LinkCondition,
    LinkEngine,
    Named,
    Nat,
    NatConfig,
    NatV6Mode,
    RegionCondition,
    RouterPreset,
    Since,
    TimedCondition,
    check_flag,
    check_since,
    is_int,
    name_of,
    parse,
    parse_condition,
    parse_firewall,
    parse_flows,
    parse_nat,
    parse_region_condition,
)

_T = TypeVar("_T")
_FlowsAsTyped: TypeAlias = Mapping[FlowMatch, LinkCondition | str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterRequest:
    """A router to be added. None leaves a value to the preset, or to its default."""

    name: str
    preset: RouterPreset | None = None
    upstream: str = IX
    region: str | None = None
    nat: Nat | NatConfig | None = None
    nat_v6: NatV6Mode | None = None
    ip_support: IpSupport | None = None
    firewall: Firewall | FirewallConfig | None = None
    block_icmp_frag_needed: bool = False
    released: tuple[str, ...] = ()
    port_mapping: bool | None = None
    downlink: TimedCondition | None = None
    downlink_engine: LinkEngine | None = None
    downlink_flows: Flows = ()
    downstream: IPv4Network | None = None
    downstream6: IPv6Network | None = None
    mtu: int | None = None

    @property
    def maps_ports(self) -> bool:
        """Whether hosts of its LAN can ask it for ports."""
        if self.port_mapping is None:
            return self.preset is not None and self.preset.port_mapping
        return self.port_mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """A device to be added, with interfaces in this order."""

    name: str
    ifaces: tuple[tuple[str, IfaceConfig], ...] = ()
    default_via: str | None = None
    """None for the first interface."""
    mtu: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRequest:
    """A region to be added. None leaves a value to be chosen."""

    name: str
    transit: bool = False
    downstream: IPv4Network | None = None
    downstream6: IPv6Network | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRequest:
    """What packets shall meet in one direction of a link between two regions."""

    condition: TimedCondition | None = None
    engine: LinkEngine | None = None
    flows: Flows = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkRequest:
    """A link between two regions to be added."""

    ends: tuple[str, str]
    link: LaneRequest
    back: LaneRequest
    broken: bool = False
    reroute: bool = False
    number: int | None = None
    """None for the lowest free one."""

    @property
    def name(self) -> str:
        """What it is called in mistakes."""
        return f"{self.ends[0]} - {self.ends[1]}"


Request = RouterRequest | DeviceRequest | RegionRequest | TrunkRequest


def router_request(
    name: str,
    *,
    preset: RouterPreset | str | None = None,
    upstream: Named | str | None = None,
    region: Named | str | None = None,
    nat: Nat | NatConfig | str | None = None,
    nat_v6: NatV6Mode | str | None = None,
    ip_support: IpSupport | str | None = None,
    firewall: Firewall | FirewallConfig | str | None = None,
    block_icmp_frag_needed: bool = False,
    port_mapping: bool | None = None,
    downlink: TimedCondition | str | None = None,
    downstream: IPv4Network | str | None = None,
    downstream6: IPv6Network | str | None = None,
    mtu: int | None = None,
) -> RouterRequest:
    """Turn what was typed for `add_router` into a request.

    Raises:
        ConfigError: values that are none; all of them are told.
    """
    problems = Problems()
    place = f"router {name!r}"
    _check_types(name, mtu, problems, place)

    def read(kind: type[_T], value: object, what: str) -> _T | None:
        return _read(kind, value, what, problems, place)

    parsed_nat: Nat | NatConfig | None = None
    parsed_firewall: Firewall | FirewallConfig | None = None
    try:
        parsed_nat = None if nat is None else parse_nat(nat)
    except ConfigError as error:
        problems.extend(error, place)
    try:
        parsed_firewall = None if firewall is None else parse_firewall(firewall)
    except ConfigError as error:
        problems.extend(error, place)
    parsed_downlink: TimedCondition | None = None
    try:
        parsed_downlink = None if downlink is None else parse_condition(downlink, "downlink")
    except ConfigError as error:
        problems.extend(error, place)
    flags = {"block_icmp_frag_needed": block_icmp_frag_needed, "port_mapping": port_mapping}
    for what, flag in flags.items():
        if flag is not None:
            check_flag(flag, f"{place}, {what}", problems)
    request = RouterRequest(
        name=name,
        preset=read(RouterPreset, preset, "preset"),
        upstream=IX if upstream is None else _read_name(upstream, problems, f"{place}, upstream"),
        region=None if region is None else _read_name(region, problems, f"{place}, region"),
        nat=parsed_nat,
        nat_v6=read(NatV6Mode, nat_v6, "nat_v6"),
        ip_support=read(IpSupport, ip_support, "ip_support"),
        firewall=parsed_firewall,
        block_icmp_frag_needed=bool(block_icmp_frag_needed),
        port_mapping=None if port_mapping is None else bool(port_mapping),
        downlink=parsed_downlink,
        downstream=read(IPv4Network, downstream, "downstream"),
        downstream6=read(IPv6Network, downstream6, "downstream6"),
        mtu=mtu,
    )
    problems.check()
    return request


def device_request(
    name: str,
    gateway: Named | str | None = None,
    *,
    condition: TimedCondition | str | None = None,
    ifaces: Mapping[str, IfaceConfig | Named | str] | None = None,
    default_via: str | None = None,
    mtu: int | None = None,
) -> DeviceRequest:
    """Turn what was typed for `add_device` into a request.

    Raises:
        ConfigError: values that are none, or contradict each other; all of them are told.
    """
    problems = Problems()
    place = f"device {name!r}"
    _check_types(name, mtu, problems, place)
    configs: list[tuple[str, IfaceConfig]] = []
    if gateway is not None:
        if ifaces:
            problems.add(place, "give either a gateway, for one eth0, or ifaces")
        try:
            configs.append(("eth0", IfaceConfig(gateway, condition=condition)))
        except ConfigError as error:
            problems.extend(error, place)
    elif condition is not None:
        problems.add(place, "a condition goes with a gateway, or into an IfaceConfig")
    given: object = ifaces
    if not isinstance(given, Mapping | None):
        problems.add(f"{place}, ifaces", f"{given!r} is no mapping from names to routers")
        ifaces = None
    for iface, config in (ifaces or {}).items():
        try:
            configs.append((iface, as_config(config)))
        except ConfigError as error:
            problems.extend(error, f"{place}, {iface}")
    problems.check()
    return DeviceRequest(name=name, ifaces=tuple(configs), default_via=default_via, mtu=mtu)


def lan_asked_for(request: RouterRequest) -> str:
    """Return the LAN that a router asks to be plugged into: that of its region, or another."""
    in_region = request.region is not None and request.upstream == IX
    return request.region or IX if in_region else request.upstream


def region_request(
    name: str,
    *,
    transit: bool = False,
    downstream: IPv4Network | str | None = None,
    downstream6: IPv6Network | str | None = None,
) -> RegionRequest:
    """Turn what was typed for `add_region` into a request.

    Raises:
        ConfigError: values that are none; all of them are told.
    """
    problems = Problems()
    place = f"region {name!r}"
    _check_types(name, None, problems, place)
    request = RegionRequest(
        name=name,
        transit=bool(transit),
        downstream=_read(IPv4Network, downstream, "downstream", problems, place),
        downstream6=_read(IPv6Network, downstream6, "downstream6", problems, place),
    )
    problems.check()
    return request


def trunk_request(
    one: Named | str,
    other: Named | str,
    link: RegionCondition | str | None,
    back: RegionCondition | str | None,
    flows: _FlowsAsTyped = None,
    back_flows: _FlowsAsTyped = None,
    engine: LinkEngine | str | None = None,
) -> TrunkRequest:
    """Turn what was typed for `link_regions` into a request.

    Raises:
        ConfigError: values that are none; all of them are told.
    """
    problems = Problems()
    place = "link between regions"
    names = _read_name(one, problems, place), _read_name(other, problems, place)
    there, reverse = _lane_requests(problems, place, link, back, flows, back_flows, engine)
    problems.check()
    return TrunkRequest(ends=names, link=there, back=reverse)


def lane_requests(
    one: str,
    other: str,
    link: RegionCondition | str | None,
    back: RegionCondition | str | None,
    flows: _FlowsAsTyped,
    back_flows: _FlowsAsTyped,
    engine: LinkEngine | str | None,
) -> tuple[LaneRequest, LaneRequest]:
    """Turn what was typed for `update_region_link` into a request for either direction.

    Raises:
        ConfigError: values that are none; all of them are told.
    """
    problems = Problems()
    place = f"link between regions {one!r} and {other!r}"
    lanes = _lane_requests(problems, place, link, back, flows, back_flows, engine)
    problems.check()
    return lanes


def _lane_requests(
    problems: Problems,
    place: str,
    link: RegionCondition | str | None,
    back: RegionCondition | str | None,
    flows: _FlowsAsTyped,
    back_flows: _FlowsAsTyped,
    engine: LinkEngine | str | None,
) -> tuple[LaneRequest, LaneRequest]:
    """What is said of one direction only holds for both."""
    asked = _read(LinkEngine, engine, "engine", problems, place)
    there = _lane_request(problems, place, link, flows, asked)
    if back is None and back_flows is None:
        return there, there
    reverse = _lane_request(
        problems,
        f"{place}, back",
        link if back is None else back,
        flows if back_flows is None else back_flows,
        asked,
    )
    return there, reverse


def _lane_request(
    problems: Problems,
    place: str,
    condition: RegionCondition | str | None,
    flows: _FlowsAsTyped,
    engine: LinkEngine | None,
) -> LaneRequest:
    try:
        met = parse_region_condition(condition, place)
        return LaneRequest(
            condition=met, engine=engine, flows=parse_flows(flows, f"{place}, flows")
        )
    except ConfigError as error:
        problems.extend(error)
        return LaneRequest()


def condition_arguments(
    condition: TimedCondition | str | None,
    engine: LinkEngine | str | None,
    flows: _FlowsAsTyped,
    since: Since,
) -> dict[str, Plain]:
    """Turn what was typed for a condition into what the lab is asked with.

    Raises:
        ConfigError: values that are none.
    """
    return {
        "condition": None if condition is None else to_plain(parse_condition(condition)),
        "engine": None if engine is None else to_plain(parse(LinkEngine, engine, "engine")),
        "flows": to_plain(parse_flows(flows)),
        "since": check_since(since),
    }


def as_config(value: IfaceConfig | Named | str) -> IfaceConfig:
    """Return an `IfaceConfig`: a bare router is one of it."""
    return value if isinstance(value, IfaceConfig) else IfaceConfig(value)


def _read(kind: type[_T], value: object, what: str, problems: Problems, place: str) -> _T | None:
    try:
        return None if value is None else parse(kind, value, what)
    except ConfigError as error:
        problems.extend(error, place)
        return None


def _read_name(value: Named | str, problems: Problems, place: str) -> str:
    try:
        return name_of(value)
    except ConfigError as error:
        problems.extend(error, place)
        return ""


def _check_types(name: object, mtu: object, problems: Problems, place: str) -> None:
    """Add a problem for what could not even travel to where everything else is checked."""
    if not isinstance(name, str):
        problems.add(place, f"{name!r} is no name: a name is text")
    if mtu is not None and not is_int(mtu):
        problems.add(f"{place}, mtu", f"{mtu!r} is not a number of bytes")
