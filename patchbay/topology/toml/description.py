"""What a file says of a lab: requests for its nodes, and what requests cannot say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from ipaddress import IPv4Interface, IPv6Interface
from types import MappingProxyType

from patchbay.errors import Problems
from patchbay.links.spec import Flows
from patchbay.topology.available import check_condition
from patchbay.topology.domains import check_overlaps
from patchbay.topology.draft import Draft
from patchbay.topology.graph import UPLINK, interfaces, lan_of
from patchbay.topology.macs import interface_mac
from patchbay.topology.model import Address, Interface, Partition, Topology
from patchbay.topology.partitions import partition
from patchbay.topology.playing import JUST_NOW, timed_conditions
from patchbay.topology.requests import DeviceRequest, Request, RouterRequest, lan_asked_for
from patchbay.topology.subnets import LAB
from patchbay.values import Ipv6Provisioning, LinkEngine, TimedCondition, check_mtu

Place = tuple[str, str]
"""An interface in a lab: the name of its node and its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What is to be so at an interface, whatever its request made of it. None leaves it."""

    cable: int | None = None
    port: int | None = None
    mac: str | None = None
    address: IPv4Interface | None = None
    address6: IPv6Interface | None = None
    extra: tuple[Address, ...] | None = None
    mtu: int | None = None
    up: bool | None = None
    condition_up: TimedCondition | None = None
    condition_down: TimedCondition | None = None
    engine_up: LinkEngine | None = None
    engine_down: LinkEngine | None = None
    flows_up: Flows | None = None
    flows_down: Flows | None = None

    def apply(self, interface: Interface) -> Interface:
        """Return the interface with these details; its hardware address follows its cable."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        changes = {name: value for name, value in given.items() if value is not None}
        if "cable" in changes and interface.mac == interface_mac(interface.cable):
            changes.setdefault("mac", interface_mac(changes["cable"]))
        for way in ("up", "down"):
            if f"condition_{way}" in changes:
                now, playing = JUST_NOW.with_playing(changes[f"condition_{way}"])
                changes |= {f"condition_{way}": now, f"playing_{way}": playing}
        return replace(interface, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A lab as a file has it.

    Attributes:
        name: the lab's name; None if the file leaves it open.
        ipv6_dad: whether nodes run duplicate address detection.
        ipv6_provisioning: how hosts get their IPv6 addresses.
        link_engine: what makes link conditions that do not say it themselves.
        requests: nodes and links, in the order written.
        details: by node and interface.
        partitions: sets of nodes that are cut off from each other.
        names: lab-wide entries of the hosts file: name, address.
        node_names: entries that only one node sees.
    """

    name: str | None = None
    ipv6_dad: bool = False
    ipv6_provisioning: Ipv6Provisioning = Ipv6Provisioning.STATIC
    link_engine: LinkEngine = LinkEngine.AUTO
    requests: tuple[Request, ...] = ()
    details: Mapping[Place, Details] = field(default_factory=lambda: MappingProxyType({}))
    partitions: tuple[Partition, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    node_names: Mapping[str, tuple[tuple[str, str], ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def topology(self, default_name: str = "lab") -> Topology:
        """Build the topology, with addresses for all that the file leaves open.

        Raises:
            ConfigError: it cannot be had; all that is wrong is told.
        """
        draft = Draft(
            Topology(
                name=default_name if self.name is None else self.name,
                ipv6_dad=self.ipv6_dad,
                ipv6_provisioning=self.ipv6_provisioning,
                link_engine=self.link_engine,
                names=self.names,
                node_names=self.node_names,
            )
        )
        for request in self.requests:
            if isinstance(request, RouterRequest):
                chosen = self.details.get((request.name, UPLINK), Details())
                for address in (chosen.address, chosen.address6):
                    if address is not None:
                        draft.ledger.keep(lan_asked_for(request), address)
        draft.add_all(self.requests)
        plain = self._in_order(draft.topology())
        counted = _changed(plain, self._numbers(plain))
        topology = _changed(counted, self.details)
        _check(topology, self.details)
        return reduce(partition, self.partitions, topology)

    def _in_order(self, topology: Topology) -> Topology:
        """Have the nodes in the order written, where the draft has those plugged into first."""
        names = [request.name for request in self.requests]
        routers = {name: topology.routers[name] for name in names if name in topology.routers}
        devices = {name: topology.devices[name] for name in names if name in topology.devices}
        return replace(
            topology, routers=MappingProxyType(routers), devices=MappingProxyType(devices)
        )

    def _numbers(self, topology: Topology) -> Mapping[Place, Details]:
        """Number cables and ports in the order written too."""
        chosen = set(_chosen_macs(self.requests, self.details.values()))
        cables = (n for n in range(1, 1 << 32) if interface_mac(n) not in chosen)
        ports: dict[str, int] = {}
        numbers: dict[Place, Details] = {}
        by_place = {(owner, each.name): each for owner, each in interfaces(topology)}
        for place in _places(self.requests):
            interface = by_place[place]
            cable, port = next(cables), ports.get(interface.lan, 0)
            ports[interface.lan] = port + 1
            own = interface.mac if interface.mac in chosen else interface_mac(cable)
            numbers[place] = Details(cable=cable, port=port, mac=own)
        return numbers


def _places(requests: Iterable[Request]) -> Iterator[Place]:
    for request in requests:
        if isinstance(request, DeviceRequest):
            yield from ((request.name, name) for name, _ in request.ifaces)
        elif isinstance(request, RouterRequest):
            yield request.name, UPLINK


def _chosen_macs(requests: Iterable[Request], details: Iterable[Details]) -> Iterator[str]:
    for request in requests:
        if isinstance(request, DeviceRequest):
            yield from (config.mac for _, config in request.ifaces if config.mac is not None)
    yield from (each.mac for each in details if each.mac is not None)


def _changed(topology: Topology, changes: Mapping[Place, Details]) -> Topology:
    def changed(owner: str, interface: Interface) -> Interface:
        details = changes.get((owner, interface.name))
        return interface if details is None else details.apply(interface)

    return replace(
        topology,
        routers=MappingProxyType(
            {
                name: replace(router, uplink=changed(name, router.uplink))
                for name, router in topology.routers.items()
            }
        ),
        devices=MappingProxyType(
            {
                name: replace(
                    device, interfaces=tuple(changed(name, each) for each in device.interfaces)
                )
                for name, device in topology.devices.items()
            }
        ),
    )


def _check(topology: Topology, details: Mapping[Place, Details]) -> None:
    """Raise `ConfigError` for details that contradict each other or the lab."""
    problems = Problems()
    owners: dict[tuple[str, object], str] = {}
    for owner, interface in interfaces(topology):
        place = f"node {owner!r}, {interface.name}"
        taken = [
            ("", "cable", interface.cable),
            ("", "mac", interface.mac),
            (interface.lan, "port", interface.port),
            *((interface.lan, "address", each.ip) for each in _addresses(interface)),
        ]
        for lan, what, value in taken:
            other = owners.setdefault((f"{what} {lan}", value), owner)
            if other is not owner:
                problems.add(f"{place}, {what}", f"{value} is that of node {other!r}")
        if (owner, interface.name) in details:
            _check_subnets(topology, interface, problems, place)
            for condition in timed_conditions(interface):
                check_condition(topology, condition, problems, f"{place}, condition")
            if interface.mtu is not None:
                check_mtu(interface.mtu, problems, f"{place}, mtu", v6=bool(interface.address6))
    changed = {owner for owner, _ in details} & topology.routers.keys()
    if changed:
        check_overlaps(topology, changed, problems)
    problems.check()


def _addresses(interface: Interface) -> list[Address]:
    own = (interface.address, interface.address6)
    return [*(each for each in own if each is not None), *interface.extra]


def _check_subnets(
    topology: Topology, interface: Interface, problems: Problems, place: str
) -> None:
    lan = lan_of(topology, interface.lan)
    subnets = (LAB if lan.grows else lan.network, lan.network6)
    for address, subnet in zip((interface.address, interface.address6), subnets, strict=True):
        if address is not None and (subnet is None or address.ip not in subnet):
            problems.add(
                f"{place}, address{'6' * (address.version == 6)}",
                f"{address} is not in the LAN of {interface.lan!r}, which has {subnet or 'none'}",
            )
