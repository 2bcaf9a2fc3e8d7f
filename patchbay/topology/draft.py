"""A topology in the making: checks what was asked for, and gives it addresses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface
from types import MappingProxyType

from patchbay.errors import Problems, nearest
from patchbay.topology import available
from patchbay.topology.allocate import Ledger
from patchbay.topology.domains import check_overlaps
from patchbay.topology.forwarded import check_forwards
from patchbay.topology.graph import UPLINK, Lan, lan_of
from patchbay.topology.macs import BRIDGES_MAX, RESERVED, interface_mac
from patchbay.topology.model import IX, Address, Device, Interface, Router, Topology
from patchbay.topology.names import check_interface_name, check_node_name
from patchbay.topology.outside import claim_outside, keep_outside
from patchbay.topology.playing import JUST_NOW
from patchbay.topology.region_draft import add_region, add_trunk, upstream_of
from patchbay.topology.requests import (
    DeviceRequest,
    RegionRequest,
    Request,
    RouterRequest,
    TrunkRequest,
)
from patchbay.topology.subnets import LAB, PREFIX6_MAX, PREFIX_MAX, Network, role_of
from patchbay.values import IfaceConfig, IpSupport, Nat, RouterPreset, check_mtu

BRIDGE_PORTS = 500
"""Ports of a bridge that hosts are plugged into.

The kernel takes 1,023; but a broadcast goes to all of them at once, and a processor's queue of
packets has room for 1,000 (net.core.netdev_max_backlog): what is over is dropped.
"""


class Draft:
    """A mutable copy of a topology that nodes, links and interfaces can be added to.

    Whatever is wrong goes into `problems`; what was asked for is then not added, and neither is
    anything said about what leans on it.

    Attributes:
        routers: by name.
        regions: by name.
        trunks: the links between regions.
        failed: the names of what was asked for in vain.
        ledger: what is taken.
        problems: what is wrong.
    """

    def __init__(self, topology: Topology) -> None:
        self.base = topology
        self.routers = dict(topology.routers)
        self.regions = dict(topology.regions)
        self._devices = dict(topology.devices)
        self.trunks = list(topology.trunks)
        self.failed: set[str] = set()
        self._chose_subnet: set[str] = set()
        self.ledger = Ledger(topology)
        self.problems = Problems()

    def topology(self) -> Topology:
        """Return the finished topology, or raise `ConfigError` with all that was wrong."""
        if self._chose_subnet:
            check_overlaps(self, self._chose_subnet, self.problems)
        added = [name for name in self.routers if name not in self.base.routers]
        check_forwards(self, added, self.problems)
        self.problems.check()
        return replace(
            self.base,
            routers=MappingProxyType(self.routers),
            devices=MappingProxyType(self._devices),
            regions=MappingProxyType(self.regions),
            trunks=tuple(self.trunks),
        )

    def add_all(self, requests: Iterable[Request]) -> None:
        """Add what is asked for; regions, and routers that others are plugged into, come first."""
        routers: dict[str, RouterRequest] = {}
        devices: list[DeviceRequest] = []
        trunks: list[TrunkRequest] = []
        requests = tuple(requests)
        for request in requests:
            self._reserve(request)
        for request in requests:
            if isinstance(request, RegionRequest):
                add_region(self, request)
            elif isinstance(request, TrunkRequest):
                trunks.append(request)
            elif isinstance(request, DeviceRequest):
                devices.append(request)
            elif request.name in routers:
                self._taken(f"router {request.name!r}", request.name)
            else:
                routers[request.name] = request
        for trunk in trunks:
            add_trunk(self, trunk)
        while routers:
            # Follow uplinks to a router whose parent is not waiting too, or to one in a circle.
            name, seen = next(iter(routers)), set()
            while routers[name].upstream in routers and name not in seen:
                seen.add(name)
                name = routers[name].upstream
            self._add_router(routers.pop(name))
        for device in devices:
            self._add_device(device)

    def _reserve(self, request: Request) -> None:
        """Keep what a request names from being given to another one before it is its turn."""
        if isinstance(request, RouterRequest | RegionRequest):
            self.ledger.reserve(request.downstream, request.downstream6)
            if isinstance(request, RouterRequest):
                keep_outside(self.ledger, request)
        elif isinstance(request, DeviceRequest):
            for _, config in request.ifaces:
                for address in (config.address, config.address6):
                    if address is not None:
                        self.ledger.keep(config.router, address)

    # ---- nodes ---------------------------------------------------------------------------------

    def _add_router(self, request: RouterRequest) -> None:
        place, before = f"router {request.name!r}", len(self.problems)
        self.check_name(request.name, place)
        preset = request.preset
        # Without a preset a router is what the preset "public" is.
        defaults = preset or RouterPreset.PUBLIC
        nat = defaults.nat if request.nat is None else request.nat
        nat_v6 = defaults.nat_v6 if request.nat_v6 is None else request.nat_v6
        firewall = defaults.firewall if request.firewall is None else request.firewall
        support = request.ip_support or defaults.ip_support
        of_preset = f" (of preset '{preset}')" if preset else ""
        where = f"{place}, nat_v6{'' if request.nat_v6 else of_preset}"
        available.check_nat_v6(nat_v6, self.problems, where)
        where, engine, flows = f"{place}, downlink", request.downlink_engine, request.downlink_flows
        available.check_condition(self.base, request.downlink, self.problems, where, engine, flows)
        mtu = self._checked_mtu(request.mtu, place, v6=support.v6)
        config = IfaceConfig(upstream_of(self, request, place))
        uplink = self._plug(place, request.name, UPLINK, config, mtu=mtu, support=support)
        if uplink is not None:
            claim_outside(self, place, nat, uplink)
        # A NAT that was asked for decides over the preset: what it hides is private.
        public = defaults.public if request.nat is None else nat is Nat.NONE
        downstream = self.subnet(request, support, place, public)
        downstream6 = self.subnet6(request, support, place, public)
        if uplink is None or len(self.problems) > before:
            self.failed.add(request.name)
            return
        downlink, playing = JUST_NOW.with_playing(request.downlink)
        self.routers[request.name] = Router(
            name=request.name,
            uplink=uplink,
            preset=preset,
            nat=nat,
            nat_v6=nat_v6,
            ip_support=support,
            firewall=firewall,
            block_icmp_frag_needed=request.block_icmp_frag_needed,
            released=request.released,
            port_mapping=request.maps_ports,
            downstream=downstream,
            downstream6=downstream6,
            mtu=request.mtu,
            downlink=downlink,
            downlink_engine=request.downlink_engine,
            downlink_flows=request.downlink_flows,
            downlink_playing=playing,
        )

    def _add_device(self, request: DeviceRequest) -> None:
        place, before = f"device {request.name!r}", len(self.problems)
        self.check_name(request.name, place)
        names = [name for name, _ in request.ifaces]
        mtu = self._checked_mtu(request.mtu, place)
        if request.default_via is not None and request.default_via not in names:
            self.problems.add(
                f"{place}, default_via",
                f"there is no interface {request.default_via!r}",
                nearest(request.default_via, names),
            )
        plugged = []
        for name, config in request.ifaces:
            if names.count(name) > 1:
                self.problems.add(f"{place}, {name}", "there are two interfaces of this name")
            where = f"{place}, {name}"
            plugged.append(self._plug(where, request.name, name, config, mtu=mtu))
        interfaces = tuple(interface for interface in plugged if interface is not None)
        if len(self.problems) > before or len(interfaces) < len(plugged):
            self.failed.add(request.name)
            return
        default = request.default_via or (names[0] if names else None)
        self._devices[request.name] = Device(
            name=request.name, interfaces=interfaces, default_via=default, mtu=request.mtu
        )

    def check_name(self, name: str, place: str) -> None:
        """Note a mistake if a node cannot be called so, or one is."""
        check_node_name(name, self.problems, place)
        known = (self.routers, self.regions, self._devices, self.failed)
        if any(name in names for names in known):
            self._taken(place, name)

    def _taken(self, place: str, name: str) -> None:
        kind = "device" if name in self._devices else "router"
        kind = "region" if name in self.regions else kind
        self.problems.add(place, f"there is a {kind} of this name already")

    # ---- subnets -------------------------------------------------------------------------------

    def subnet(
        self, request: RouterRequest | RegionRequest, support: IpSupport, place: str, public: bool
    ) -> IPv4Network | None:
        """The IPv4 subnet of a LAN: the one that was chosen, or the next free one."""
        chosen = request.downstream
        if chosen is not None:
            self._chose_subnet.add(request.name)
            self._check_subnet(chosen, PREFIX_MAX, f"{place}, downstream")
            if not support.v4:
                self.problems.add(f"{place}, downstream", f"a {support} router has no IPv4 LAN")
            return chosen
        network = self.ledger.subnet(public=public) if support.v4 else None
        if network is None and support.v4:
            pool = "public" if public else "private"
            self.problems.add(
                place, f"all /24 subnets of the {pool} pool are taken; choose another"
            )
        return network

    def subnet6(
        self, request: RouterRequest | RegionRequest, support: IpSupport, place: str, public: bool
    ) -> IPv6Network | None:
        """The IPv6 subnet of a LAN: the one that was chosen, or the next free one."""
        chosen = request.downstream6
        if chosen is not None:
            self._chose_subnet.add(request.name)
            self._check_subnet(chosen, PREFIX6_MAX, f"{place}, downstream6")
            if not support.v6:
                self.problems.add(f"{place}, downstream6", f"a {support} router has no IPv6 LAN")
            return chosen
        network = self.ledger.subnet6(public=public) if support.v6 else None
        if network is None and support.v6:
            pool = "public" if public else "private"
            self.problems.add(
                place, f"all /64 subnets of the {pool} pool are taken; choose another"
            )
        return network

    def _check_subnet(self, network: Network, longest: int, place: str) -> None:
        if network.prefixlen > longest:
            self.problems.add(
                place, f"{network} has no room for a gateway and a host; /{longest} is the smallest"
            )
        if network.is_multicast or network.is_loopback or network.is_link_local:
            self.problems.add(place, f"{network} has a meaning of its own and cannot be a LAN")

    # ---- interfaces ----------------------------------------------------------------------------

    def plug(self, device: Device, name: str, config: IfaceConfig) -> Interface | None:
        """Make an interface for a device that is there already."""
        place = f"device {device.name!r}"
        if any(interface.name == name for interface in device.interfaces):
            self.problems.add(f"{place}, {name}", "there is an interface of this name already")
        return self._plug(f"{place}, {name}", device.name, name, config, mtu=device.mtu)

    def replug(self, owner: Router | Device, interface: Interface, lan_name: str) -> Interface:
        """Return an interface with a port and addresses in another LAN, or in the same.

        Cable, hardware address and MTU stay; addresses that were added to it go.
        """
        place = f"node {owner.name!r}, {interface.name}"
        lan = self._lan(lan_name, place)
        if lan is None:
            return interface
        support = owner.ip_support if isinstance(owner, Router) else IpSupport.DUAL_STACK
        plugged = replace(
            interface,
            lan=lan_name,
            port=self._port(lan, place),
            address=self._address(lan, None, place) if support.v4 else None,
            address6=self._address6(lan, None, place) if support.v6 else None,
            extra=(),
        )
        self._check_versions(lan, support, place)
        self._check_mtu(plugged.mtu or owner.mtu, plugged, place)
        return plugged

    def extra_address(self, place: str, interface: Interface, address: Address) -> Address:
        """Return a further address for an interface, with the prefix it is to have."""
        lan = lan_of(self, interface.lan)
        networks: list[Network] = [*self.ledger.subnets_of(lan)]
        if lan.network6 is not None:
            networks.append(lan.network6)
        for network in networks:
            if address.ip in network:
                self.chosen_network(lan, address, networks, place)
                return ip_interface(f"{address.ip}/{network.prefixlen}")
        if not self.ledger.claim(lan.node, address):
            self.problems.add(place, f"{address.ip} is taken in the LAN of {lan.node!r}")
        return address

    def _plug(
        self,
        place: str,
        owner: str,
        name: str,
        config: IfaceConfig,
        *,
        mtu: int | None,
        support: IpSupport = IpSupport.DUAL_STACK,
    ) -> Interface | None:
        """Make an interface, with all that it takes; None if its LAN is not to be had."""
        check_interface_name(name, self.problems, place)
        available.check_condition(self.base, config.condition, self.problems, f"{place}, condition")
        lan = self._lan(config.router, place)
        if lan is None:
            return None
        self._check_versions(lan, support, place)
        condition, playing = JUST_NOW.with_playing(config.condition)
        interface = Interface(
            name=name,
            cable=(cable := self.ledger.cable()),
            lan=lan.node,
            mac=self._mac(config.mac, place) or interface_mac(cable),
            port=self._port(lan, place),
            address=self._address(lan, config.address, place) if support.v4 else None,
            address6=self._address6(lan, config.address6, place) if support.v6 else None,
            mtu=config.mtu,
            up=config.up,
            condition_up=condition,
            condition_down=condition,
            playing_up=playing,
            playing_down=playing,
        )
        self._check_mtu(config.mtu or mtu, interface, place)
        self.ledger.enter(owner, interface)
        return interface

    def _lan(self, name: str, place: str) -> Lan | None:
        if name == IX or name in self.routers or name in self.regions:
            return lan_of(self, name)
        if name in self.failed:
            return None
        if name in self._devices:
            self.problems.add(place, f"{name!r} is a device, and has no LAN to be plugged into")
        else:
            self.problems.add(
                place,
                f"there is no router {name!r}",
                nearest(name, [*self.routers, *self.regions, IX]),
            )
        return None

    def _port(self, lan: Lan, place: str) -> int:
        port = self.ledger.port(lan.node)
        if port >= BRIDGE_PORTS * BRIDGES_MAX:
            most = BRIDGE_PORTS * BRIDGES_MAX
            self.problems.add(place, f"the LAN of {lan.node!r} is full: it takes {most} cables")
        return port

    def _check_versions(self, lan: Lan, support: IpSupport, place: str) -> None:
        has_v4 = lan.network is not None
        if not (support.v4 and has_v4) and not (support.v6 and lan.network6 is not None):
            self.problems.add(
                place, f"it is {support}, and the LAN of {lan.node!r} has the other version only"
            )

    def _mac(self, chosen: str | None, place: str) -> str | None:
        if chosen is None:
            return None
        owner = self.ledger.owner_of_mac(chosen)
        if owner is not None:
            self.problems.add(f"{place}, mac", f"{chosen} is that of node {owner!r}")
        if chosen.startswith(RESERVED):
            self.problems.add(f"{place}, mac", f"{chosen} begins as those of the lab's bridges do")
        return chosen

    def _address(self, lan: Lan, chosen: IPv4Interface | None, place: str) -> IPv4Interface | None:
        networks = self.ledger.subnets_of(lan)
        if chosen is not None:
            network = self.chosen_network(lan, chosen, networks, f"{place}, address")
            return None if network is None else IPv4Interface((chosen.ip, network.prefixlen))
        if not networks:
            return None
        address = self.ledger.address(lan)
        if address is None:
            shown = LAB if lan.grows else networks[0]
            self.problems.add(place, f"all addresses of {shown}, LAN of {lan.node!r}, are taken")
        return address

    def _address6(self, lan: Lan, chosen: IPv6Interface | None, place: str) -> IPv6Interface | None:
        networks = [] if lan.network6 is None else [lan.network6]
        if chosen is not None:
            network = self.chosen_network(lan, chosen, networks, f"{place}, address6")
            return None if network is None else IPv6Interface((chosen.ip, network.prefixlen))
        if not networks:
            return None
        address = self.ledger.address6(lan)
        if address is None:
            self.problems.add(
                place, f"all addresses of {networks[0]}, LAN of {lan.node!r}, are taken"
            )
        return address

    def chosen_network(
        self, lan: Lan, chosen: Address, networks: Iterable[Network], place: str
    ) -> Network | None:
        """Return the subnet of a LAN that a chosen address is in, if it can be had."""
        known = ", ".join(map(str, networks)) or f"no IPv{chosen.version} subnet"
        for network in networks:
            if chosen.ip in network:
                if chosen.network.prefixlen not in (network.prefixlen, chosen.max_prefixlen):
                    self.problems.add(place, f"{chosen} should have the prefix of {network}")
                elif (role := role_of(chosen, network)) is not None:
                    self.problems.add(place, f"{chosen.ip} is the {role} of {network}")
                elif not self.ledger.claim(lan.node, chosen):
                    self.problems.add(place, f"{chosen.ip} is taken in the LAN of {lan.node!r}")
                else:
                    return network
                return None
        self.problems.add(
            place, f"{chosen.ip} is not in the LAN of {lan.node!r}, which has {known}"
        )
        return None

    def _checked_mtu(self, mtu: int | None, place: str, *, v6: bool = False) -> int | None:
        """Return the MTU of a node; None if it was refused, so that it is refused but once."""
        before = len(self.problems)
        if mtu is not None:
            check_mtu(mtu, self.problems, f"{place}, mtu", v6=v6)
        return mtu if len(self.problems) == before else None

    def _check_mtu(self, mtu: int | None, interface: Interface, place: str) -> None:
        if mtu is not None:
            check_mtu(mtu, self.problems, f"{place}, mtu", v6=interface.address6 is not None)
