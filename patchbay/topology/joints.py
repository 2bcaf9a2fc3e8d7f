"""The cables that join regions with each other and with the IX, as both of their ends see them.

They have no addresses: the next hop of a route over one is the link-local address of its far end,
for IPv4 too (RFC 8950), so a lab can have any number of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from patchbay.topology.graph import UPLINK, port_name
from patchbay.topology.macs import exchange_macs, link_local, trunk_macs
from patchbay.topology.model import CLEAN_LANE, IX, Lane, Region, Router, Topology, Trunk


@dataclass(frozen=True, slots=True)
class Joint:
    """One end of a cable between regions, or between a region and the IX.

    Attributes:
        node: the region that the end is at, or `IX`.
        interface: what the end is called there.
        mac: its hardware address.
        peer: the region at the other end, or `IX`.
        peer_interface: what the other end is called there.
        peer_mac: the hardware address of the other end.
        lanes: what packets meet that leave by this end, and by the other.
    """

    node: str
    interface: str
    mac: str
    peer: str
    peer_interface: str
    peer_mac: str
    lanes: tuple[Lane, Lane] = (CLEAN_LANE, CLEAN_LANE)

    @property
    def hop(self) -> IPv6Address:
        """The next hop for what leaves by this end."""
        return link_local(self.peer_mac)


def exchange_joints(region: Region) -> tuple[Joint, Joint]:
    """The ends of the cable between a region and the IX, the region's first."""
    near, far = exchange_macs(region.number)
    name = f"region{region.number}"
    return (
        Joint(region.name, UPLINK, near, IX, name, far),
        Joint(IX, name, far, region.name, UPLINK, near),
    )


def trunk_joints(trunk: Trunk) -> tuple[Joint, Joint]:
    """The ends of the cable between two regions, in the order of the trunk's own."""
    one, other = trunk.ends
    near, far = trunk_macs(trunk.number)
    name = trunk_interface(trunk)
    return (
        Joint(one, name, near, other, name, far, (trunk.link, trunk.back)),
        Joint(other, name, far, one, name, near, (trunk.back, trunk.link)),
    )


def trunk_interface(trunk: Trunk) -> str:
    """What both ends of a link between regions are called."""
    return f"trunk{trunk.number}"


def joint_at(trunk: Trunk, region: str) -> Joint:
    """The end of a trunk that is at this region."""
    one, other = trunk_joints(trunk)
    return one if one.node == region else other


def joints_of(topology: Topology, node: str) -> Iterator[Joint]:
    """Yield the ends of such cables that are at a region or at the IX."""
    if node == IX:
        yield from (exchange_joints(region)[1] for region in topology.regions.values())
        return
    yield exchange_joints(topology.regions[node])[0]
    yield from (joint_at(trunk, node) for trunk in topology.trunks if node in trunk.ends)


def joint_of(topology: Topology, node: str, interface: str) -> Joint | None:
    """The end of such a cable that an interface of a region or of the IX is, if it is one."""
    if node != IX and node not in topology.regions:
        return None
    found = (joint for joint in joints_of(topology, node) if joint.interface == interface)
    return next(found, None)


def far_end(topology: Topology, node: str, interface: str) -> tuple[str, str] | None:
    """The other end of an interface's cable, as node and interface; None for one without a cable."""
    joint = joint_of(topology, node, interface)
    if joint is not None:
        return joint.peer, joint.peer_interface
    owner = topology.routers.get(node) or topology.devices.get(node)
    if owner is None:
        return None
    for each in (owner.uplink,) if isinstance(owner, Router) else owner.interfaces:
        if each.name == interface:
            return each.lan, port_name(each)
    return None
