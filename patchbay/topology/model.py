"""The pure model of a lab's network: frozen dataclasses, no behaviour, no I/O.

A `Topology` says everything there is to say about a lab: its nodes, their interfaces, the
addresses that were allocated to them, the names that resolve. It is never changed; `edit` makes
a new one out of an old one, `plan` says what the kernel must be told to have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from types import MappingProxyType

from patchbay.links.spec import Flows
from patchbay.values import (
    Firewall,
    FirewallConfig,
    IpSupport,
    Ipv6Provisioning,
    LinkCondition,
    LinkEngine,
    Nat,
    NatConfig,
    NatV6Mode,
    Pinhole,
    PortMapping,
    RouterPreset,
    Schedule,
    TimedCondition,
    Trace,
)

IX = "ix"
"""The name of the internet exchange: the node whose LAN joins the top-level routers."""

Address = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Playing:
    """A schedule or a trace that a link follows."""

    timeline: Schedule | Trace
    since: int | None = field(default=None, compare=False)
    """Nanoseconds of the lab's life after which it began; None for when the link came to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface of a device, or the uplink of a router: one end of a cable.

    The other end is a port of the bridge that is the LAN of the router `lan` (or of the IX).
    """

    name: str
    """Name on its node; at most 15 bytes, as the kernel demands. A router's uplink is `wan`."""
    cable: int
    """Number of the cable, unique in the lab; free again when the interface is removed."""
    lan: str
    """Name of the router or region whose LAN it is plugged into, or `IX`."""
    mac: str
    port: int = 0
    """Number of its port in that LAN, from 0; free again when it is unplugged."""
    address: IPv4Interface | None = None
    address6: IPv6Interface | None = None
    extra: tuple[Address, ...] = ()
    """Further addresses, added by `add_ip`."""
    mtu: int | None = None
    """Bytes; None for the kernel's 1500."""
    up: bool = True
    condition_up: LinkCondition | None = None
    """What packets leaving the node meet."""
    condition_down: LinkCondition | None = None
    """What packets arriving at the node meet."""
    engine_up: LinkEngine | None = None
    """What makes `condition_up`; None for what the lab says."""
    engine_down: LinkEngine | None = None
    flows_up: Flows = ()
    """What packets of some flows meet instead of `condition_up`."""
    flows_down: Flows = ()
    playing_up: Playing | None = None
    """What `condition_up` follows; None if it stays what it is."""
    playing_down: Playing | None = None
    """What `condition_down` follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """A router: its uplink, its LAN, and what it does to packets between them."""

    name: str
    uplink: Interface
    """Plugged into the LAN of another router, of a region, or of the IX."""
    preset: RouterPreset | None = None
    nat: Nat | NatConfig = Nat.NONE
    nat_v6: NatV6Mode = NatV6Mode.NONE
    ip_support: IpSupport = IpSupport.DUAL_STACK
    firewall: Firewall | FirewallConfig = Firewall.NONE
    block_icmp_frag_needed: bool = False
    """Whether path MTU discovery ends here."""
    released: tuple[str, ...] = ()
    """Hardware addresses of hosts that its captive portal does not hold back any more."""
    port_mapping: bool = False
    """Whether hosts of its LAN can ask it for ports, by UPnP-IGD, NAT-PMP and PCP."""
    port_mappings: tuple[PortMapping, ...] = ()
    """The ports that they have asked for. They end by themselves, and are in no file."""
    pinholes: tuple[Pinhole, ...] = ()
    """The ways in over IPv6 that they have asked for, likewise."""
    downstream: IPv4Network | None = None
    """Subnet of its LAN; the router is the first host in it. None without IPv4."""
    downstream6: IPv6Network | None = None
    mtu: int | None = None
    """Bytes, of the uplink and of the LAN; None for the kernel's 1500."""
    downlink: LinkCondition | None = None
    """What packets from the router to each host of its LAN meet."""
    downlink_engine: LinkEngine | None = None
    """What makes `downlink`; None for what the lab says."""
    downlink_flows: Flows = ()
    """What packets of some flows meet instead of `downlink`."""
    downlink_playing: Playing | None = None
    """What `downlink` follows; None if it stays what it is."""

    @property
    def upstream(self) -> str:
        """The router or region whose LAN its uplink is plugged into, or `IX`."""
        return self.uplink.lan


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A host, with its interfaces in the order they were added."""

    name: str
    interfaces: tuple[Interface, ...] = ()
    default_via: str | None = None
    """Name of the interface that carries the default route; None without any interface."""
    mtu: int | None = None
    """Bytes, for interfaces that do not say otherwise; None for the kernel's 1500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the world: a LAN for routers, and a router of its own between it and the rest.

    A cable joins it with the IX, and one with each region that it is linked with.
    """

    name: str
    number: int
    """Unique among the regions of the lab; free again when the region is removed."""
    downstream: IPv4Network
    """First subnet of its LAN, which grows by others as the IX does."""
    downstream6: IPv6Network
    transit: bool = False
    """Whether regions without a link of their own reach each other through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One direction of a link between two regions: what packets meet there."""

    condition: LinkCondition | None = None
    """None for nothing."""
    engine: LinkEngine | None = None
    """What makes `condition`; None for what the lab says."""
    flows: Flows = ()
    """What packets of some flows meet instead of `condition`."""
    playing: Playing | None = None
    """What `condition` follows; None if it stays what it is."""

    @property
    def timed_condition(self) -> TimedCondition | None:
        """What was set: a condition, or what it follows."""
        return self.condition if self.playing is None else self.playing.timeline


CLEAN_LANE = Lane()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """A link between two regions: the cable, and what packets meet on it."""

    number: int
    """Unique among the trunks of the lab; free again when the trunk is removed."""
    ends: tuple[str, str]
    """The two regions, in the order in which they were given."""
    link: Lane = CLEAN_LANE
    """What packets from the first region to the second meet."""
    back: Lane = CLEAN_LANE
    """What packets from the second region to the first meet."""
    broken: bool = False
    reroute: bool = False
    """Whether packets take another way while it is broken, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Sets of nodes that are cut off from each other: packets between them get lost.

    A router or a region stands for itself and all that is behind it.
    """

    sides: tuple[tuple[str, ...], ...]
    """The names of nodes, for each set."""
    one_way: bool = False
    """Whether only packets from the first set to the second are lost, and those back are not."""


def _no_names() -> Mapping[str, tuple[tuple[str, str], ...]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """One state of a lab's network. Mappings keep the order in which nodes were added."""

    name: str
    ipv6_dad: bool = False
    """Whether nodes run duplicate address detection (RFC 4862 5.4), which takes about 1 s."""
    ipv6_provisioning: Ipv6Provisioning = Ipv6Provisioning.STATIC
    link_engine: LinkEngine = LinkEngine.AUTO
    """What makes link conditions that do not say otherwise."""
    seed: int = field(default=0, compare=False)
    """Where the random choices of links begin: of a run, not of the network."""
    link_features: tuple[str, ...] | None = field(default=None, compare=False)
    """What the host can do with links, in the words of `links.choice`; None while that is not known."""
    routers: Mapping[str, Router] = field(default_factory=lambda: MappingProxyType({}))
    devices: Mapping[str, Device] = field(default_factory=lambda: MappingProxyType({}))
    regions: Mapping[str, Region] = field(default_factory=lambda: MappingProxyType({}))
    trunks: tuple[Trunk, ...] = ()
    """The links between regions, in the order in which they were added."""
    partitions: tuple[Partition, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    """Lab-wide entries of the hosts file: name, address; beside those of the nodes themselves."""
    node_names: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=_no_names)
    """Entries that only one node sees; they shadow lab-wide ones."""
