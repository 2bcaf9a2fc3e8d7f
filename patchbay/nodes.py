"""The handles of a lab's nodes: devices, routers, and the internet exchange."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Literal, cast

from actors.connection import Connection
from actors.node import Node
from patchbay.errors import ConfigError, Problem, nearest
from patchbay.iface import Iface
from patchbay.measuring import Measuring, Target
from patchbay.nat_table import NatEntry, nat_entries
from patchbay.reflectors import Reflector
from patchbay.router_firewall import RouterFirewall
from patchbay.stun_server import StunServer, check_discovery, server_address
from patchbay.topology import model
from patchbay.topology.graph import LAN_BRIDGE, plugged_in
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.requests import as_config, condition_arguments
from patchbay.topology.snapshot import InterfaceSnapshot
from patchbay.values import (
    FlowMatch,
    IfaceConfig,
    IpSupport,
    LinkCondition,
    LinkEngine,
    Named,
    Nat,
    NatConfig,
    NatV6Mode,
    Since,
    TimedCondition,
    name_of,
    parse,
    parse_flag,
    parse_nat,
)

if TYPE_CHECKING:
    import asyncio

    from patchbay.lab import Lab
    from patchbay.regions import Region
    from patchbay.stun.discovery import NatBehaviour


class LabNode(Measuring):
    """What devices, routers and the IX have in common: code runs there, and they have a network.

    Handles are small and hold names; what they tell they ask of the lab. After the removal of the
    node, or the end of the lab, reading the name works and everything else raises `NodeGone`.
    """

    def __init__(self, lab: Lab, connection: Connection, name: str) -> None:
        super().__init__(lab, connection, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabNode):
            return NotImplemented
        return (self._lab, self._name) == (other._lab, other._name)

    def __hash__(self) -> int:
        return hash((self._lab, self._name))

    # -- what it is

    @property
    def lab(self) -> Lab:
        """The lab it belongs to."""
        return self._lab

    @property
    def ip(self) -> IPv4Address | None:
        """The IPv4 address of its default interface; None without IPv4."""
        return next((each for each in self.default_addresses() if each.version == 4), None)

    @property
    def ip6(self) -> IPv6Address | None:
        """The IPv6 address of its default interface; None without IPv6."""
        return next((each for each in self.default_addresses() if each.version == 6), None)

    @property
    def ifaces(self) -> list[Iface]:
        """Its interfaces, in the order they were added."""
        return [Iface(self, each.name) for each in self.interface_snapshots()]

    def iface(self, name: str) -> Iface:
        """One of its interfaces.

        Raises:
            ConfigError: it has none of this name.
        """
        names = [each.name for each in self.interface_snapshots()]
        if name not in names:
            message = f"there is no interface {name!r}"
            raise ConfigError(Problem(f"node {self.name!r}", message, nearest(name, names)))
        return Iface(self, name)

    @property
    def default_iface(self) -> Iface | None:
        """The interface of its default route; None without any."""
        interface = self._default()
        return None if interface is None else Iface(self, interface.name)

    def interface_snapshots(self) -> tuple[InterfaceSnapshot, ...]:
        """Its interfaces as they are now, in one question."""
        told = cast("list[Any]", self._lab.request("interfaces", node=self._name))
        return tuple(from_plain(InterfaceSnapshot, each) for each in told)

    def default_addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """The addresses of its default interface, IPv4 first; those that its name stands for."""
        interface = self._default()
        if interface is None:
            return ()
        both = (interface.address, interface.address6)
        return tuple(address.ip for address in both if address is not None)

    def address_of(self, target: Target) -> str:
        """What this node reaches a target by, as text: addresses and names are what they are.

        Of a node it is an address of a version of IP that both have, IPv4 if they have both.

        Raises:
            ConfigError: the target is a node without any address.
        """
        known = addresses_of(target)
        if len(known) > 1:
            versions = {address.version for address in self.default_addresses()}
            known = [each for each in known if ip_address(each).version in versions] or known
        return known[0]

    def _default(self) -> InterfaceSnapshot | None:
        """The first interface; a device's is the one of its default route."""
        return next(iter(self.interface_snapshots()), None)

    # -- names

    def dns_entry(self, name: str, address: IPv4Address | IPv6Address | str | Node) -> None:
        """Have a name resolve on this node only; it shadows an entry of the lab."""
        self._lab.add_name(name, address, self._name)

    def resolve(self, name: str) -> IPv4Address | IPv6Address:
        """What a name resolves to on this node.

        Raises:
            ConfigError: nothing has that name.
        """
        return self._lab.look_up(name, self._name)

    # -- servers and connections

    def reflector(
        self, protocol: Literal["udp", "tcp"] = "udp", port: int = 0, host: str = ""
    ) -> Reflector:
        """Start a server on this node that tells each client the address it is seen with.

        It is ready when the call returns, and ends with `close()` or the lab.

        Args:
            protocol: `udp` answers each datagram, `tcp` greets each connection and then echoes.
            port: its port; 0 for a free one.
            host: the address it binds; every one, IPv4 and IPv6, if empty.
        """
        return Reflector.start(self, protocol, port, host)

    def nat_behaviour(
        self,
        server: StunServer | tuple[str, int],
        *,
        version: Literal[4, 6] | None = None,
        longest_lifetime: float | None = None,
        source_port: int = 0,
        tries: int = 3,
    ) -> NatBehaviour:
        """Find out what NAT and what firewall are between it and a STUN server, as RFC 5780 does.

        Args:
            server: one of the lab's, or the address and port of any other.
            version: which version of IP to ask about; IPv4 if there is both.
            longest_lifetime: how many seconds an idle mapping is waited for, which the call then
                takes; its lifetime is not measured if not given.
            source_port: the port to ask from first; 0 for any.
            tries: how often to ask; UDP may be lost.

        Raises:
            TimeoutError: the server does not answer.
            ConfigError: one of the two has no address of this version of IP, or what was given
                is no server, port or number.
        """
        from patchbay.stun.discovery import discover

        check_discovery(source_port, longest_lifetime, tries)
        host, port = server_address(self, server, version)
        return self.call(discover, host, port, source_port, longest_lifetime, tries)

    async def open_connection(
        self, host: Target, port: int, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """`asyncio.open_connection`, from this node's network, in this process's event loop."""
        import asyncio  # whoever awaits has it loaded

        with self.network():
            return await asyncio.open_connection(self.address_of(host), port, **options)

    async def start_server(
        self,
        client_connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        host: Target | None = None,
        port: int | None = None,
        **options: Any,
    ) -> asyncio.Server:
        """`asyncio.start_server`, on this node's network, in this process's event loop."""
        import asyncio

        with self.network():
            where = None if host is None else self.address_of(host)
            return await asyncio.start_server(client_connected, where, port, **options)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Target | None = None,
        port: int | None = None,
        **options: Any,
    ) -> asyncio.Server:
        """`loop.create_server`, on this node's network, in this process's event loop."""
        import asyncio

        with self.network():
            where = None if host is None else self.address_of(host)
            loop = asyncio.get_running_loop()
            return await loop.create_server(protocol_factory, where, port, **options)


class Device(LabNode):
    """A host: a laptop, a phone, a server."""

    def _default(self) -> InterfaceSnapshot | None:
        name = self._model().default_via
        return next((each for each in self.interface_snapshots() if each.name == name), None)

    def add_iface(
        self,
        name: str,
        gateway: IfaceConfig | Named | str,
        condition: LinkCondition | str | None = None,
    ) -> Iface:
        """Add an interface, plugged into the LAN of a router.

        Args:
            name: such as `eth1`; at most 15 bytes.
            gateway: the router, or an `IfaceConfig` that says more than that.
            condition: what packets meet, in both directions.
        """
        config = as_config(gateway)
        if condition is not None:
            config = IfaceConfig(
                config.router,
                address=config.address,
                address6=config.address6,
                mac=config.mac,
                mtu=config.mtu,
                up=config.up,
                condition=condition,
            )
        self._lab.request("add_iface", node=self._name, name=name, config=to_plain(config))
        return Iface(self, name)

    def set_default_route(self, name: str) -> None:
        """Have the default routes, IPv4 and IPv6, leave by this interface."""
        self._lab.request("set_default_route", node=self._name, name=name)

    def _model(self) -> model.Device:
        return from_plain(model.Device, self._lab.request("device", node=self._name))


class Router(RouterFirewall, LabNode):
    """A router: it joins its LAN with the LAN of another router, or with the IX."""

    # -- what it is

    @property
    def uplink_ip(self) -> IPv4Address | None:
        """The IPv4 address of its uplink; what the world sees of a LAN behind NAT."""
        return self.ip

    @property
    def uplink_ip6(self) -> IPv6Address | None:
        """The IPv6 address of its uplink."""
        return self.ip6

    @property
    def downstream(self) -> IPv4Network | None:
        """The IPv4 subnet of its LAN; None without IPv4."""
        return self._model().downstream

    @property
    def downstream6(self) -> IPv6Network | None:
        """The IPv6 subnet of its LAN; None without IPv6."""
        return self._model().downstream6

    @property
    def upstream(self) -> Router | None:
        """The router it is behind; None for one at the IX, or in a region and behind no other."""
        return self._lab.router_of(self._model().upstream)

    @property
    def region(self) -> Region | None:
        """The region it is in, by itself or behind others; None if it is in none."""
        return self._lab.region_of(self)

    @property
    def nat(self) -> Nat | NatConfig:
        """How it translates IPv4 addresses."""
        return self._model().nat

    @property
    def nat_v6(self) -> NatV6Mode:
        """How it translates IPv6 addresses."""
        return self._model().nat_v6

    @property
    def ip_support(self) -> IpSupport:
        """Which versions of IP it has."""
        return self._model().ip_support

    # -- what can be done to it

    def set_nat(self, nat: Nat | NatConfig | str, *, flush: bool = False) -> None:
        """Set how it translates IPv4 addresses, in one transaction.

        Args:
            nat: what it does from now on.
            flush: whether to forget all flows, as `flush_nat` does. Otherwise those that are under
                way keep their outside addresses and ports, if it still translates at all.
        """
        value = to_plain(parse_nat(nat))
        forget = parse_flag(flush, "flush")
        self._lab.request("set_nat", node=self._name, nat=value, flush=forget)

    def set_nat_v6(self, mode: NatV6Mode | str) -> None:
        """Set how it translates IPv6 addresses."""
        value = parse(NatV6Mode, mode)
        self._lab.request("set_nat_v6", node=self._name, mode=to_plain(value))

    def flush_nat(self) -> None:
        """Forget every connection it tracks, and so every translation."""
        self._lab.request("flush_nat", node=self._name)

    def rebind_nat(self, *, address: bool = False) -> None:
        """Give all mappings up for new ones at other ports, as after a restart of the router.

        Flows go on from another outside port with the next packet from inside; what comes to the
        old ones is dropped. Ports that were in use are not used again for two minutes, unless most
        of those that there are were in use.

        Args:
            address: whether the uplink gets another address as well.

        Raises:
            ConfigError: it has no NAT, or no other address is free.
        """
        other = parse_flag(address, "address")
        self._lab.request("rebind_nat", node=self._name, address=other)

    def nat_table(self) -> list[NatEntry]:
        """The translations it has now, from the kernel's connection tracking."""
        return nat_entries(self._lab.request("nat_table", node=self._name))

    def set_downlink_condition(
        self,
        condition: TimedCondition | str | None,
        device: Named | str | None = None,
        *,
        engine: LinkEngine | str | None = None,
        flows: Mapping[FlowMatch, LinkCondition | str] | None = None,
        since: Since = "now",
    ) -> None:
        """Set what packets meet that it sends into its LAN.

        What a host of the LAN sends to another does not pass the router.

        Args:
            condition: the condition, or the name of a preset; None for nothing.
            device: what is plugged into the LAN; packets to all of it, together, if not given.
                With it, this is the condition `down` of its interface, and of packets from other
                hosts of the LAN as well.
            engine: what makes it; the lab's if not given.
            flows: what packets of some flows meet instead, as in `Iface.set_condition`.
            since: what the times of a schedule or trace count from, likewise.

        Raises:
            ConfigError: there is no such condition, this host cannot make it, or the device is
                not plugged into the LAN.
        """
        asked = condition_arguments(condition, engine, flows, since)
        if device is None:
            self._lab.request("set_downlink", node=self._name, **asked)
            return
        self._model()
        owner = name_of(device)
        plugged = plugged_in(self._lab.topology(), self._name)
        names = [interface.name for node, interface in plugged if node == owner]
        if not names:
            near = nearest(owner, {node for node, _ in plugged})
            message = f"{owner!r} is not plugged into its LAN"
            raise ConfigError(Problem(f"router {self._name!r}", message, near))
        for name in names:
            self._lab.request("set_condition", node=owner, name=name, direction="down", **asked)

    @property
    def downlink_condition(self) -> LinkCondition | None:
        """What packets meet that it sends into its LAN; None for nothing.

        It is read back from what makes it, as `Iface.condition` is.
        """
        return self.iface(LAN_BRIDGE).condition("up")

    def ruleset(self) -> str:
        """Its nftables rules, as `nft list ruleset` would print them."""
        from patchbay.rules import text  # loaded by those who read them
        from patchbay.topology.plan import node_plan

        self._model()
        return text.ruleset(node_plan(self._lab.topology(), self._name).tables)

    def _model(self) -> model.Router:
        return from_plain(model.Router, self._lab.request("router", node=self._name))


class Ix(LabNode):
    """The internet exchange: the network that joins the routers without an upstream."""


def addresses_of(target: Target) -> list[str]:
    """The addresses of a node, as text, IPv4 first; addresses and names are what they are.

    Raises:
        ConfigError: the node has no address.
    """
    if not isinstance(target, LabNode):
        return [target.name if isinstance(target, Node) else str(target)]
    own = target.default_addresses()
    if not own:
        raise ConfigError(Problem(f"node {target.name!r}", "it has no address"))
    return [str(address) for address in own]
