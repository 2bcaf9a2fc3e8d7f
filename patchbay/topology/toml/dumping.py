"""From a topology to the text of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from patchbay.errors import ConfigError
from patchbay.topology.graph import UPLINK, interfaces
from patchbay.topology.macs import interface_mac
from patchbay.topology.model import IX, Device, Interface, Router, Topology
from patchbay.topology.playing import timed_conditions
from patchbay.topology.requests import DeviceRequest, Request, RouterRequest
from patchbay.topology.toml import timelines
from patchbay.topology.toml.configs import (
    dump_condition,
    dump_firewall,
    dump_flows,
    dump_nat,
)
from patchbay.topology.toml.description import Description, Place
from patchbay.topology.toml.keys import DEVICE_KEYS, kebab
from patchbay.topology.toml.packets import check_programs
from patchbay.topology.toml.regions import dump_partitions, dump_regions, numbers, region_requests
from patchbay.topology.toml.writing import Value, key, table
from patchbay.values import (
    Firewall,
    IfaceConfig,
    IpSupport,
    Ipv6Provisioning,
    LinkEngine,
    Nat,
    NatV6Mode,
)


def dump(topology: Topology) -> str:
    """Write a topology as TOML: `load(dump(topology)).topology()` is equal to it.

    What would come out the same if it were left out is left out.

    Raises:
        ConfigError: links have packet programs, which a file cannot hold.
    """
    check_programs(topology)
    nodes = _in_order(topology)
    chosen = _Chosen.of(topology, nodes)
    parts = [table("[lab]", _lab(topology))]
    parts += dump_regions(topology, subnets=chosen.subnets, numbered=chosen.region_numbers)
    for node in nodes:
        if isinstance(node, Router):
            parts.append(table("[[router]]", _router(topology, node, chosen.subnets)))
            uplink = _interface(node.name, node.uplink, chosen)
            if uplink:
                parts.append(table(f"[router.{key(UPLINK)}]", uplink))
        else:
            parts += _device(node, chosen)
    parts += dump_partitions(topology)
    parts += [
        table("[[dns]]", {"name": name, "address": address}) for name, address in topology.names
    ]
    parts += [
        table("[[dns]]", {"name": name, "address": address, "node": node})
        for node, entries in topology.node_names.items()
        for name, address in entries
    ]
    return "\n\n".join(parts) + "\n"


def _in_order(topology: Topology) -> list[Router | Device]:
    """Routers and devices in the order in which they were added, as their cables tell."""
    routers, devices = list(topology.routers.values()), list(topology.devices.values())
    nodes: list[Router | Device] = []
    while routers and devices:
        cables = [interface.cable for interface in devices[0].interfaces]
        behind = min(cables, default=0) > routers[0].uplink.cable
        nodes.append(routers.pop(0) if behind else devices.pop(0))
    return nodes + routers + devices


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What must be written because it would come out otherwise."""

    subnets: bool
    addresses: frozenset[str]
    """LANs whose hosts have their addresses written: all of them, or one would shift the next."""
    numbers: frozenset[Place]
    region_numbers: bool

    @classmethod
    def of(cls, topology: Topology, nodes: list[Router | Device]) -> _Chosen:
        everything = list(interfaces(topology))
        try:
            requests = (*region_requests(topology), *map(_request, nodes))
            plain = Description(requests=requests).topology()
        except ConfigError:
            # Nothing can be left to an allocation that does not come about.
            return cls(
                True,
                frozenset(each.lan for _, each in everything),
                frozenset((owner, each.name) for owner, each in everything),
                True,
            )
        built = {(owner, each.name): each for owner, each in interfaces(plain)}
        pairs = [(owner, each, built[owner, each.name]) for owner, each in everything]
        return cls(
            any(
                (router.downstream, router.downstream6)
                != (plain.routers[name].downstream, plain.routers[name].downstream6)
                for name, router in topology.routers.items()
            )
            or any(
                (region.downstream, region.downstream6)
                != (plain.regions[name].downstream, plain.regions[name].downstream6)
                for name, region in topology.regions.items()
            ),
            frozenset(
                each.lan
                for _, each, other in pairs
                if (each.address, each.address6) != (other.address, other.address6)
            ),
            frozenset(
                (owner, each.name)
                for owner, each, other in pairs
                if (each.cable, each.port) != (other.cable, other.port)
            ),
            numbers(topology) != numbers(plain),
        )


def _request(node: Router | Device) -> Request:
    """The request for a node that leaves all to allocation, but for what was chosen for it."""
    if isinstance(node, Router):
        return RouterRequest(
            name=node.name,
            upstream=node.upstream,
            preset=node.preset,
            nat=None if node.preset and node.nat == node.preset.nat else node.nat,
            ip_support=node.ip_support,
        )
    configs = []
    for interface in node.interfaces:
        own = None if interface.mac == interface_mac(interface.cable) else interface.mac
        configs.append((interface.name, IfaceConfig(interface.lan, mac=own)))
    return DeviceRequest(name=node.name, ifaces=tuple(configs))


def _lab(topology: Topology) -> Mapping[str, Value]:
    found: dict[str, Value] = {"name": topology.name}
    if topology.ipv6_dad:
        found["ipv6-dad"] = True
    if topology.ipv6_provisioning is not Ipv6Provisioning.STATIC:
        found["ipv6-provisioning"] = kebab(topology.ipv6_provisioning)
    if topology.link_engine is not LinkEngine.AUTO:
        found["link-engine"] = kebab(topology.link_engine)
    return found


def _router(topology: Topology, router: Router, subnets: bool) -> Mapping[str, Value]:
    preset = router.preset
    found: dict[str, Value] = {"name": router.name}
    if preset is not None:
        found["preset"] = kebab(preset)
    if router.upstream != IX:
        found["region" if router.upstream in topology.regions else "upstream"] = router.upstream
    if router.nat != (preset.nat if preset else Nat.NONE):
        found["nat"] = dump_nat(router.nat)
    if router.nat_v6 is not (preset.nat_v6 if preset else NatV6Mode.NONE):
        found["nat-v6"] = kebab(router.nat_v6)
    if router.ip_support is not (preset.ip_support if preset else IpSupport.DUAL_STACK):
        found["ip-support"] = kebab(router.ip_support)
    if router.firewall != (preset.firewall if preset else Firewall.NONE):
        found["firewall"] = dump_firewall(router.firewall)
    if router.block_icmp_frag_needed:
        found["block-icmp-frag-needed"] = True
    if router.port_mapping is not (preset.port_mapping if preset else False):
        found["port-mapping"] = router.port_mapping
    if router.released:
        found["released"] = list(router.released)
    playing = router.downlink_playing
    downlink = router.downlink if playing is None else playing.timeline
    if downlink is not None:
        found["downlink"] = timelines.dump(downlink, dump_condition)
    if router.downlink_engine is not None:
        found["downlink-engine"] = kebab(router.downlink_engine)
    if router.downlink_flows:
        found["downlink-flows"] = dump_flows(router.downlink_flows)
    if subnets and router.downstream is not None:
        found["downstream"] = str(router.downstream)
    if subnets and router.downstream6 is not None:
        found["downstream6"] = str(router.downstream6)
    if router.mtu is not None:
        found["mtu"] = router.mtu
    return found


def _device(device: Device, chosen: _Chosen) -> Iterator[str]:
    names = {interface.name for interface in device.interfaces}
    found: dict[str, Value] = {}
    if device.default_via not in (None, *(each.name for each in device.interfaces[:1])):
        found[_unlike("default-via", names)] = str(device.default_via)
    if device.mtu is not None:
        found[_unlike("mtu", names)] = device.mtu
    if found or not device.interfaces:
        yield table(f"[{key('device', device.name)}]", found)
    for interface in device.interfaces:
        entries = {
            "gateway": interface.lan,
            **_interface(device.name, interface, chosen),
        }
        yield table(f"[{key('device', device.name, interface.name)}]", entries)


def _unlike(name: str, others: set[str]) -> str:
    """A spelling of a key of a device that none of its interfaces has for a name."""
    spellings = DEVICE_KEYS[name]
    return next(each for each in spellings if each not in others)


def _interface(owner: str, interface: Interface, chosen: _Chosen) -> dict[str, Value]:
    found: dict[str, Value] = {}
    up, down = timed_conditions(interface)
    if up is not None and up == down:
        found["condition"] = timelines.dump(up, dump_condition)
    else:
        if up is not None:
            found["condition-up"] = timelines.dump(up, dump_condition)
        if down is not None:
            found["condition-down"] = timelines.dump(down, dump_condition)
    if interface.engine_up is not None:
        found["engine-up"] = kebab(interface.engine_up)
    if interface.engine_down is not None:
        found["engine-down"] = kebab(interface.engine_down)
    if interface.flows_up:
        found["flows-up"] = dump_flows(interface.flows_up)
    if interface.flows_down:
        found["flows-down"] = dump_flows(interface.flows_down)
    if interface.lan in chosen.addresses:
        if interface.address is not None:
            found["address"] = str(interface.address)
        if interface.address6 is not None:
            found["address6"] = str(interface.address6)
    if interface.extra:
        found["addresses"] = [str(address) for address in interface.extra]
    if interface.mac != interface_mac(interface.cable):
        found["mac"] = interface.mac
    if interface.mtu is not None:
        found["mtu"] = interface.mtu
    if not interface.up:
        found["up"] = False
    if (owner, interface.name) in chosen.numbers:
        found["cable"] = interface.cable
        found["port"] = interface.port
    return found
