"""From the text of a file to a description of a lab."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface
from types import MappingProxyType

from patchbay.errors import ConfigError, Problem, Problems, nearest
from patchbay.topology.graph import UPLINK
from patchbay.topology.model import IX, Address, Partition
from patchbay.topology.names import check_interface_name, check_node_name
from patchbay.topology.requests import DeviceRequest, Request, RouterRequest, TrunkRequest
from patchbay.topology.toml import timelines, values
from patchbay.topology.toml.description import Description, Details, Place
from patchbay.topology.toml.keys import (
    DEVICE_KEYS,
    DNS_KEYS,
    INTERFACE_KEYS,
    LAB_KEYS,
    ROUTER_KEYS,
    TABLES,
    kebab,
)
from patchbay.topology.toml.lines import Path, find_lines
from patchbay.topology.toml.regions import read_link, read_partition, read_region
from patchbay.topology.toml.tables import File, Table
from patchbay.values import IfaceConfig, Ipv6Provisioning, LinkEngine


def load(text: str, *, source: str = "<toml>") -> Description:
    """Read the text of a file.

    Args:
        text: TOML 1.0; what it may say stands in the docstring of this package.
        source: what to call the file in mistakes.

    Raises:
        ConfigError: it is no TOML, or there are unknown keys or names, values of a wrong type or
            names that are given twice; all of them are told, with their lines.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(Problem(source, f"this is no TOML: {error}")) from None
    file = File(source, find_lines(text))
    top = Table(file, (), "", data, TABLES)
    lab = Table(file, ("lab",), "lab", _table(top.get("lab", dict)), LAB_KEYS)
    reading = _Reading(file)
    for name, region in _table(top.get("region", dict)).items():
        if isinstance(region, dict):
            reading.region(("region", name), name, region)
        else:
            file.problem(("region", name), f"region {name!r}", "this is not a table")
    for path, link in _tables(top, "region_link"):
        reading.region_link(path, link)
    for path, router in _tables(top, "router"):
        reading.router(path, router)
    devices = _table(top.get("device", dict))
    for name, device in devices.items():
        if isinstance(device, dict):
            reading.device(("device", name), name, device)
        else:
            file.problem(("device", name), f"device {name!r}", "this is not a table")
    for path, entry in _tables(top, "dns"):
        reading.entry(path, entry)
    for path, entry in _tables(top, "partition"):
        reading.partition(path, entry)
    reading.check_names()
    description = Description(
        name=lab.get("name", str),
        ipv6_dad=bool(lab.get("ipv6_dad", bool)),
        ipv6_provisioning=lab.parsed("ipv6_provisioning", values.provisioning)
        or Ipv6Provisioning.STATIC,
        link_engine=lab.parsed("link_engine", values.engine) or LinkEngine.AUTO,
        requests=tuple(reading.in_written_order()),
        details=MappingProxyType(reading.details),
        partitions=tuple(reading.partitions),
        names=tuple(reading.names),
        node_names=MappingProxyType({n: tuple(found) for n, found in reading.node_names.items()}),
    )
    file.check()
    return description


def _table(value: dict[str, object] | None) -> Mapping[str, object]:
    return value or {}


def _tables(top: Table, name: str) -> Iterator[tuple[Path, Mapping[str, object]]]:
    for number, entry in enumerate(top.get(name, list) or []):
        if isinstance(entry, dict):
            yield (top.typed(name), number), entry
        else:
            top.problem(name, f"{entry!r} is not a table; write [[{kebab(name)}]]")


@dataclass(slots=True)
class _Reading:
    """What was read so far."""

    file: File
    nodes: dict[str, Path] = field(default_factory=dict)
    """All names of nodes, each with where it was given."""
    routers: set[str] = field(default_factory=set)
    regions: set[str] = field(default_factory=set)
    requests: list[tuple[int, Request]] = field(default_factory=list)
    details: dict[Place, Details] = field(default_factory=dict)
    wanted: list[tuple[Table, str, str]] = field(default_factory=list)
    """Routers that must exist: the table, the key and the name."""
    known: list[tuple[Table, str, str]] = field(default_factory=list)
    """Nodes that must exist: the table, the key and the name."""
    wanted_regions: list[tuple[Table, str, str]] = field(default_factory=list)
    partitions: list[Partition] = field(default_factory=list)
    names: list[tuple[str, str]] = field(default_factory=list)
    node_names: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def region(self, path: Path, name: str, data: Mapping[str, object]) -> None:
        table, request, links = read_region(self.file, path, name, data)
        self.regions.add(name)
        self._add(path, table.what, request)
        for link in links:
            self._link(path, table, "latencies", link)

    def region_link(self, path: Path, data: Mapping[str, object]) -> None:
        table, request = read_link(self.file, path, data)
        if request is not None:
            self._link(path, table, "between", request)

    def _link(self, path: Path, table: Table, key: str, request: TrunkRequest) -> None:
        self.wanted_regions += [(table, key, name) for name in request.ends]
        self.requests.append((self.file.lines.get(path, 0), request))

    def router(self, path: Path, data: Mapping[str, object]) -> None:
        shown = data.get("name")
        what = f"router {shown!r}" if isinstance(shown, str) else "router"
        table = Table(self.file, path, what, data, ROUTER_KEYS)
        name = table.required("name")
        upstream = table.get("upstream", str)
        if upstream is not None:
            self.wanted.append((table, "upstream", upstream))
        region = table.get("region", str)
        if region is not None:
            self.wanted_regions.append((table, "region", region))
        request = RouterRequest(
            name=name or "",
            preset=table.parsed("preset", values.preset),
            upstream=IX if upstream is None else upstream,
            region=region,
            nat=table.parsed("nat", values.nat),
            nat_v6=table.parsed("nat_v6", values.nat_v6),
            ip_support=table.parsed("ip_support", values.ip_support),
            firewall=table.parsed("firewall", values.firewall),
            block_icmp_frag_needed=bool(table.get("block_icmp_frag_needed", bool)),
            released=table.parsed("released", values.macs) or (),
            port_mapping=table.get("port_mapping", bool),
            downlink=table.parsed("downlink", timelines.condition),
            downlink_engine=table.parsed("downlink_engine", values.engine),
            downlink_flows=table.parsed("downlink_flows", values.flows) or (),
            downstream=table.parsed("downstream", values.network),
            downstream6=table.parsed("downstream6", values.network6),
            mtu=table.get("mtu", int),
        )
        uplink = Table(
            self.file,
            (*path, "wan"),
            f"{what}, {UPLINK}",
            _table(table.get("wan", dict)),
            [key for key in INTERFACE_KEYS if key != "gateway"],
        )
        details = self._details(uplink, of_uplink=True)
        if name is not None:
            self.routers.add(name)
            self._add(path, what, request)
            if details != Details():
                self.details[name, UPLINK] = details

    def device(self, path: Path, name: str, data: Mapping[str, object]) -> None:
        what = f"device {name!r}"
        own = {key: value for key, value in data.items() if not isinstance(value, dict)}
        table = Table(self.file, path, what, own, [key.replace("-", "_") for key in DEVICE_KEYS])
        count = table.get("count", int)
        if count is not None and count < 1:
            table.problem("count", f"{count} is less than 1")
        plugs: list[tuple[str, IfaceConfig, Details]] = []
        for key, value in data.items():
            if isinstance(value, dict):
                plug = self._interface((*path, key), f"{what}, {key}", value, alone=count is None)
                if plug is not None:
                    plugs.append((key, *plug))
                self._check(check_interface_name, key, (*path, key), f"{what}, {key}")
        default_via = table.get("default_via", str)
        own_names = [key for key in data if isinstance(data[key], dict)]
        if default_via is not None and default_via not in own_names:
            near = nearest(default_via, own_names)
            table.problem("default_via", f"there is no interface {default_via!r}", near)
        mtu = table.get("mtu", int)
        for each in [name] if count is None else [f"{name}-{i}" for i in range(count)]:
            request = DeviceRequest(
                name=each,
                ifaces=tuple((key, config) for key, config, _ in plugs),
                default_via=default_via,
                mtu=mtu,
            )
            self._add(path, f"device {each!r}", request)
            for key, _, details in plugs:
                if details != Details():
                    self.details[each, key] = details

    def _interface(
        self, path: Path, what: str, data: Mapping[str, object], *, alone: bool
    ) -> tuple[IfaceConfig, Details] | None:
        table = Table(self.file, path, what, data, INTERFACE_KEYS)
        for key in ("address", "address6", "addresses", "mac", "cable", "port"):
            if not alone and key in table:
                table.problem(key, "several devices cannot share it; leave it out, or `count`")
        gateway = table.required("gateway")
        address = table.parsed("address", values.address)
        address6 = table.parsed("address6", values.address6)
        mac, mtu = table.parsed("mac", values.mac), table.get("mtu", int)
        details = self._details(table, of_uplink=False)
        if gateway is None:
            return None
        self.wanted.append((table, "gateway", gateway))
        up = table.get("up", bool)
        try:
            config = IfaceConfig(
                gateway,
                address=address,
                address6=address6,
                mac=mac,
                mtu=mtu,
                up=True if up is None else up,
                condition=table.parsed("condition", timelines.condition),
            )
        except ConfigError as error:
            self.file.extend(path, what, error.problems)
            return None
        return config, details

    def _details(self, table: Table, *, of_uplink: bool) -> Details:
        """What a request cannot say; of an uplink that is everything."""
        both = table.parsed("condition", timelines.condition) if of_uplink else None
        for key in ("condition_up", "condition_down"):
            if "condition" in table and key in table:
                table.problem(key, "give either one condition for both directions, or each its own")
        details = Details(
            cable=table.get("cable", int),
            port=table.get("port", int),
            extra=table.parsed("addresses", _addresses),
            condition_up=table.parsed("condition_up", timelines.condition) or both,
            condition_down=table.parsed("condition_down", timelines.condition) or both,
            engine_up=table.parsed("engine_up", values.engine),
            engine_down=table.parsed("engine_down", values.engine),
            flows_up=table.parsed("flows_up", values.flows),
            flows_down=table.parsed("flows_down", values.flows),
        )
        if not of_uplink:
            return details
        return replace(
            details,
            mac=table.parsed("mac", values.mac),
            address=table.parsed("address", values.address),
            address6=table.parsed("address6", values.address6),
            mtu=table.get("mtu", int),
            up=table.get("up", bool),
        )

    def entry(self, path: Path, data: Mapping[str, object]) -> None:
        table = Table(self.file, path, "dns", data, DNS_KEYS)
        name, address = table.required("name"), table.required("address")
        node = table.get("node", str)
        if address is not None:
            try:
                ip_address(address)
            except ValueError:
                table.problem("address", f"{address!r} is not an IP address")
        if node is not None:
            self.known.append((table, "node", node))
        if name is not None and address is not None:
            entries = self.names if node is None else self.node_names.setdefault(node, [])
            entries.append((name, address))

    def partition(self, path: Path, data: Mapping[str, object]) -> None:
        table, found = read_partition(self.file, path, data)
        if found is not None:
            self.partitions.append(found)
            self.known += [(table, "sides", name) for side in found.sides for name in side]

    def check_names(self) -> None:
        """Note routers and nodes that are spoken of and not there."""
        for table, key, name in self.wanted:
            if name in self.routers or name in self.regions or name == IX:
                continue
            if name in self.nodes:
                table.problem(key, f"{name!r} is a device, and has no LAN to be plugged into")
            else:
                near = nearest(name, [*self.routers, *self.regions, IX])
                table.problem(key, f"there is no router {name!r}", near)
        for table, key, name in self.wanted_regions:
            if name not in self.regions:
                near = nearest(name, self.regions)
                table.problem(key, f"there is no region {name!r}", near)
        for table, key, name in self.known:
            if name not in self.nodes and name != IX:
                near = nearest(name, [*self.nodes, IX])
                table.problem(key, f"there is no node {name!r}", near)

    def in_written_order(self) -> list[Request]:
        """The nodes as they follow each other in the file, where the parser has them by kind."""
        return [request for _, request in sorted(self.requests, key=lambda pair: pair[0])]

    def _add(self, path: Path, what: str, request: Request) -> None:
        if request.name in self.nodes:
            line = self.file.lines.get(self.nodes[request.name])
            where = "" if line is None else f", in line {line}"
            self.file.problem(path, what, f"there is a node of this name already{where}")
            return
        self._check(check_node_name, request.name, path, what)
        self.nodes[request.name] = path
        self.requests.append((self.file.lines.get(path, 0), request))

    def _check(self, check: values.NameCheck, name: str, path: Path, what: str) -> None:
        problems = Problems()
        check(name, problems, "")
        try:
            problems.check()
        except ConfigError as error:
            self.file.extend(path, what, error.problems)


def _addresses(value: object) -> tuple[Address, ...]:
    problems = Problems()
    found: list[Address] = []
    for each in value if isinstance(value, list) else [value]:
        try:
            if not isinstance(each, str):
                raise ValueError(f"{each!r} is not a string")
            found.append(ip_interface(each))
        except ValueError as error:
            problems.add("", f"{each!r} is not an IP address ({error})")
    problems.check()
    return tuple(found)
