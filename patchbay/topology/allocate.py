"""What is taken in a lab - cables, ports, subnets, addresses - and the lowest that is free."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from patchbay.topology.graph import Lan, interfaces, outside_addresses
from patchbay.topology.macs import interface_mac
from patchbay.topology.model import IX, Address, Interface, Region, Topology, Trunk
from patchbay.topology.subnets import (
    FIRST_HOST,
    IX_FIRST_HOST,
    IX_FIRST_HOST6,
    IX_NETWORK,
    Network,
    lowest_free,
    lowest_free6,
    next_to_grow_by,
)


class _Numbers:
    """Whole numbers that are given out, the lowest free one first."""

    __slots__ = ("_next", "_taken")

    def __init__(self, first: int) -> None:
        self._next = first
        self._taken: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._taken

    def add(self, number: int) -> None:
        self._taken.add(number)

    def lowest(self) -> int:
        while self._next in self._taken:
            self._next += 1
        return self._next

    def take(self) -> int:
        """Return the lowest free number, which is then taken."""
        self._taken.add(number := self.lowest())
        return number


class Ledger:
    """What is taken, kept up to date while an edit gives out more.

    An edit makes one, works with it and throws it away: a number that is given back is simply not
    in the ledger of the next edit.
    """

    def __init__(self, topology: Topology) -> None:
        self._cables = _Numbers(1)
        self._ports: defaultdict[str, _Numbers] = defaultdict(lambda: _Numbers(0))
        self._macs: dict[str, str] = {}
        self._hosts: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        self._kept: set[tuple[str, IPv4Address | IPv6Address]] = set()
        self._cursors: dict[tuple[str, Network], int] = {}
        self._networks: list[IPv4Network] = [IX_NETWORK]
        self._networks6: list[IPv6Network] = []
        self._growing: dict[str, list[IPv4Network]] = {IX: [IX_NETWORK]}
        self._regions = _Numbers(1)
        self._trunks = _Numbers(1)
        for region in topology.regions.values():
            self.enter_region(region)
        for trunk in topology.trunks:
            self.enter_trunk(trunk)
        for owner, interface in interfaces(topology):
            self.enter(owner, interface)
        for router in topology.routers.values():
            for address in outside_addresses(router):
                self.take(router.uplink.lan, address)
            self.reserve(router.downstream, router.downstream6)

    def enter(self, owner: str, interface: Interface) -> None:
        """Write down all that an interface takes."""
        self._cables.add(interface.cable)
        self._ports[interface.lan].add(interface.port)
        self._macs[interface.mac] = owner
        for address in (interface.address, interface.address6, *interface.extra):
            if address is not None:
                self.take(interface.lan, address)
        if interface.lan in self._growing and interface.address is not None:
            self._grow(interface.lan, interface.address.network)

    def enter_region(self, region: Region) -> None:
        """Write down all that a region takes."""
        self._regions.add(region.number)
        self._growing[region.name] = [region.downstream]
        self.reserve(region.downstream, region.downstream6)

    def enter_trunk(self, trunk: Trunk) -> None:
        """Write down the number of a link between regions."""
        self._trunks.add(trunk.number)

    def region(self) -> int:
        """Return the number for the next region."""
        return self._regions.lowest()

    def trunk(self) -> int:
        """Return the number for the next trunk."""
        return self._trunks.lowest()

    def reserve(self, *networks: Network | None) -> None:
        """Write down subnets that automatic ones must not overlap."""
        for network in networks:
            if isinstance(network, IPv4Network):
                self._networks.append(network)
            elif network is not None:
                self._networks6.append(network)

    def cable(self) -> int:
        """Return the number for the next cable: the lowest whose hardware address is free too."""
        while interface_mac(number := self._cables.lowest()) in self._macs:
            self._cables.add(number)
        self._cables.add(number)
        return number

    def port(self, lan: str) -> int:
        """Return the number of the lowest free port of a LAN."""
        return self._ports[lan].take()

    def owner_of_mac(self, mac: str) -> str | None:
        """Return the name of the node that has a hardware address."""
        return self._macs.get(mac)

    def keep(self, lan: str, address: Address) -> None:
        """Keep an address from being given out by itself until it is claimed."""
        hosts = self._hosts[lan, address.version]
        if int(address) not in hosts:
            hosts.add(int(address))
            self._kept.add((lan, address.ip))

    def claim(self, lan: str, address: Address) -> bool:
        """Take an address that was asked for; False if another host has it."""
        if (lan, address.ip) in self._kept:
            self._kept.remove((lan, address.ip))
            return True
        if int(address) in self._hosts[lan, address.version]:
            return False
        self.take(lan, address)
        return True

    def take(self, lan: str, address: Address) -> None:
        """Write down that a host of a LAN has an address."""
        self._hosts[lan, address.version].add(int(address))

    def subnet(self, *, public: bool) -> IPv4Network | None:
        """Return the lowest free IPv4 subnet of a pool, None if all are taken."""
        network = lowest_free(public=public, taken=self._networks)
        self.reserve(network)
        return network

    def subnet6(self, *, public: bool) -> IPv6Network | None:
        """Return the lowest free IPv6 subnet of a pool, None if all are taken."""
        network = lowest_free6(public=public, taken=self._networks6)
        self.reserve(network)
        return network

    def subnets_of(self, lan: Lan) -> list[IPv4Network]:
        """Return the IPv4 subnets of a LAN; only one that grows can have several."""
        if lan.grows:
            return self._growing[lan.node]
        return [] if lan.network is None else [lan.network]

    def address(self, lan: Lan) -> IPv4Interface | None:
        """Return the lowest free IPv4 address of a LAN, None if all are taken."""
        for network in self.subnets_of(lan):
            if (found := self._host(lan, network)) is not None:
                return IPv4Interface((found, network.prefixlen))
        grown = next_to_grow_by(self._networks) if lan.grows else None
        if grown is None:
            return None
        self._grow(lan.node, grown)
        return self.address(lan)

    def address6(self, lan: Lan) -> IPv6Interface | None:
        """Return the lowest free IPv6 address of a LAN, None if all are taken."""
        if lan.network6 is None or (found := self._host(lan, lan.network6)) is None:
            return None
        return IPv6Interface((found, lan.network6.prefixlen))

    def _host(self, lan: Lan, network: Network) -> int | None:
        taken = self._hosts[lan.node, network.version]
        number = self._cursors.get((lan.node, network))
        if number is None:
            number = int(network.network_address) + _first_host(lan, network)
        while number in taken:
            number += 1
        self._cursors[lan.node, network] = number
        # The last IPv4 address of a subnet is its broadcast address; IPv6 has none.
        if number > int(network.broadcast_address) - (network.version == 4):
            return None
        taken.add(number)
        return number

    def _grow(self, lan: str, network: IPv4Network) -> None:
        if network not in self._growing[lan]:
            self._growing[lan].append(network)
            self.reserve(network)


def _first_host(lan: Lan, network: Network) -> int:
    if lan.node != IX:
        return FIRST_HOST
    return IX_FIRST_HOST if network.version == 4 else IX_FIRST_HOST6
