"""The routing messages (rtnetlink(7)) that steps are carried out with: pure, from values to bytes."""

from __future__ import annotations

import socket
from enum import IntEnum
from ipaddress import IPv4Interface
from struct import Struct

from patchbay.topology.model import Address
from patchbay.topology.steps import Neighbour, Route, Rule
from patchbay.wiring.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    attribute,
    nested,
    text,
    u8,
    u32,
)


class Kind(IntEnum):
    """What a message does, to what."""

    RTM_NEWLINK = 16
    RTM_DELLINK = 17
    RTM_GETLINK = 18
    RTM_NEWADDR = 20
    RTM_DELADDR = 21
    RTM_GETADDR = 22
    RTM_NEWROUTE = 24
    RTM_DELROUTE = 25
    RTM_GETROUTE = 26
    RTM_NEWNEIGH = 28
    RTM_DELNEIGH = 29
    RTM_GETNEIGH = 30
    RTM_NEWRULE = 32
    RTM_DELRULE = 33
    RTM_GETRULE = 34


IFINFO = Struct("=BxHiII")
"""family, hardware type, index, flags, which flags to change"""
IFADDR = Struct("=BBBBI")
"""family, prefix length, flags, scope, index"""
RTMSG = Struct("=BBBBBBBBI")
"""family, destination and source length, TOS, table, protocol, scope, type, flags"""
VIA = Struct("=H")
"""family of a next hop that is of another version of IP than its route; the address follows"""
NDMSG = Struct("=BxxxiHBB")
"""family, index, state, flags, type"""
RULEHDR = Struct("=BBBBBxxBI")
"""family, destination and source length, TOS, table, action, flags"""

IFF_UP = 0x1
IFA_F_NODAD = 0x02
NUD_REACHABLE, NUD_NOARP, NUD_PERMANENT = 0x02, 0x40, 0x80
_NTF_MASTER, _NTF_STICKY = 0x04, 0x40
_AF_BRIDGE = 7
RTPROT_STATIC = 4
IP6_METRIC = 1024
"""What the kernel gives an IPv6 route that names no metric (IP6_RT_PRIO_USER)."""

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 1, 3, 4, 10
_IFLA_LINKINFO, _IFLA_AF_SPEC, _IFLA_NET_NS_FD = 18, 26, 28
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES, _IFLA_GSO_MAX_SEGS = 31, 32, 40
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 4, 5
_IFLA_BRPORT_STATE, _BR_STATE_LISTENING = 1, 1
_IFLA_BR_FORWARD_DELAY, _IFLA_BR_STP_STATE, _IFLA_BR_MCAST_SNOOPING = 1, 5, 23
_IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_NONE = 8, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 6, 7, 15
_RTA_METRICS, _RTAX_MTU, _RTA_VIA = 8, 2, 18
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK, _RT_SCOPE_HOST, _RT_SCOPE_NOWHERE = 0, 253, 254, 255
_RTN_UNICAST, _RTN_BLACKHOLE = 1, 6
_NDA_DST, _NDA_LLADDR = 1, 2
_FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_TABLE = 2, 3, 6, 15
_FR_ACT_TO_TBL = 1

_ONE_QUEUE = u32(_IFLA_NUM_TX_QUEUES, 1) + u32(_IFLA_NUM_RX_QUEUES, 1)
_UP = IFINFO.pack(0, 0, 0, IFF_UP, IFF_UP)


def routing(kind: Kind, flags: int, body: bytes) -> Message:
    """A message of a kind, which gives it its name in errors."""
    return Message(kind, flags, body, kind.name)


def hardware_address(mac: str) -> bytes:
    """The bytes of a MAC address in its usual notation."""
    return bytes.fromhex(mac.replace(":", ""))


def new_bridge(name: str, mac: str, mtu: int) -> Message:
    """A bridge that forwards from the first frame on: no spanning tree, no multicast snooping."""
    data = (
        u32(_IFLA_BR_FORWARD_DELAY, 0),
        u32(_IFLA_BR_STP_STATE, 0),
        u8(_IFLA_BR_MCAST_SNOOPING, 0),
    )
    return routing(
        Kind.RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        IFINFO.pack(0, 0, 0, 0, 0)
        + text(_IFLA_IFNAME, name)
        + attribute(_IFLA_ADDRESS, hardware_address(mac))
        + u32(_IFLA_MTU, mtu)
        + nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge"), nested(_IFLA_INFO_DATA, *data)),
    )


def new_veth(
    name: str,
    mac: str,
    mtu: int,
    *,
    peer_name: str,
    peer_mac: str,
    peer_mtu: int,
    peer_namespace: int,
) -> Message:
    """A veth pair: one end here, its peer elsewhere.

    One queue a direction: the kernel would make one for each processor of the machine.

    Args:
        name: of the end in the namespace that the message is sent in.
        mac: of this end.
        mtu: of this end, in bytes.
        peer_name: of the end in the other namespace.
        peer_mac: of the other end.
        peer_mtu: of the other end, in bytes.
        peer_namespace: descriptor of the other namespace.
    """
    peer = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + text(_IFLA_IFNAME, peer_name)
        + attribute(_IFLA_ADDRESS, hardware_address(peer_mac))
        + u32(_IFLA_MTU, peer_mtu)
        + u32(_IFLA_NET_NS_FD, peer_namespace)
        + _ONE_QUEUE
    )
    return routing(
        Kind.RTM_NEWLINK,
        NLM_F_CREATE | NLM_F_EXCL,
        IFINFO.pack(0, 0, 0, 0, 0)
        + text(_IFLA_IFNAME, name)
        + attribute(_IFLA_ADDRESS, hardware_address(mac))
        + u32(_IFLA_MTU, mtu)
        + _ONE_QUEUE
        + nested(
            _IFLA_LINKINFO,
            text(_IFLA_INFO_KIND, "veth"),
            nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, peer)),
        ),
    )


def set_link(
    name: str, *, mtu: int | None = None, mac: str | None = None, up: bool | None = None
) -> Message:
    """Change an interface; None leaves a value as it is."""
    body = IFINFO.pack(0, 0, 0, IFF_UP if up else 0, 0 if up is None else IFF_UP)
    body += text(_IFLA_IFNAME, name)
    if mac is not None:
        body += attribute(_IFLA_ADDRESS, hardware_address(mac))
    if mtu is not None:
        body += u32(_IFLA_MTU, mtu)
    return routing(Kind.RTM_NEWLINK, 0, body)


def silence(name: str) -> Message:
    """Have an interface make itself no IPv6 address: a port only carries others' frames."""
    mode = u8(_IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_NONE)
    return routing(
        Kind.RTM_NEWLINK,
        0,
        IFINFO.pack(0, 0, 0, 0, 0)
        + text(_IFLA_IFNAME, name)
        + nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, mode)),
    )


def plug(name: str, bridge: int | None) -> Message:
    """Make an interface the port of a bridge, by its index; of none at all with None."""
    return routing(
        Kind.RTM_NEWLINK,
        0,
        IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + u32(_IFLA_MASTER, bridge or 0),
    )


def shut_port(name: str) -> Message:
    """Have a bridge forward nothing from one of its ports, and nothing to it, for a while.

    A state of the spanning tree does that which the kernel, without one, leaves alone until the
    port's carrier goes and comes.
    """
    data = u8(_IFLA_BRPORT_STATE, _BR_STATE_LISTENING)
    return routing(
        Kind.RTM_NEWLINK,
        0,
        IFINFO.pack(0, 0, 0, 0, 0)
        + text(_IFLA_IFNAME, name)
        + nested(
            _IFLA_LINKINFO,
            text(_IFLA_INFO_SLAVE_KIND, "bridge"),
            nested(_IFLA_INFO_SLAVE_DATA, data),
        ),
    )


def set_segments(name: str, most: int) -> Message:
    """Have packets cut into as many as fit a wire, if they are for more than so many (GSO)."""
    return routing(
        Kind.RTM_NEWLINK,
        0,
        IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name) + u32(_IFLA_GSO_MAX_SEGS, most),
    )


def new_forwarding(port: int, mac: str, *, learned: bool) -> Message:
    """Have a bridge send frames for a hardware address to one of its ports, and to no other.

    Args:
        port: index of the port.
        mac: the hardware address.
        learned: whether that holds until the address is seen elsewhere; else for good.
    """
    state, flags = (NUD_REACHABLE, 0) if learned else (NUD_NOARP, _NTF_STICKY)
    return routing(
        Kind.RTM_NEWNEIGH,
        NLM_F_CREATE | NLM_F_REPLACE,
        NDMSG.pack(_AF_BRIDGE, port, state, _NTF_MASTER | flags, 0)
        + attribute(_NDA_LLADDR, hardware_address(mac)),
    )


def move(index: int, namespace: int, name: str) -> Message:
    """Put an interface into another namespace, under a name that it has there."""
    return routing(
        Kind.RTM_NEWLINK,
        0,
        IFINFO.pack(0, 0, index, 0, 0) + u32(_IFLA_NET_NS_FD, namespace) + text(_IFLA_IFNAME, name),
    )


def rename(index: int, name: str) -> Message:
    """Give an interface another name; it may be up."""
    return routing(Kind.RTM_NEWLINK, 0, IFINFO.pack(0, 0, index, 0, 0) + text(_IFLA_IFNAME, name))


def delete_link(name: str) -> Message:
    """Delete an interface, and the other end of a veth with it."""
    return routing(Kind.RTM_DELLINK, 0, IFINFO.pack(0, 0, 0, 0, 0) + text(_IFLA_IFNAME, name))


def _address(kind: Kind, flags: int, index: int, address: Address, *, dad: bool) -> Message:
    length = address.network.prefixlen
    if isinstance(address, IPv4Interface):
        scope = _RT_SCOPE_UNIVERSE
        if address.ip.is_loopback:
            scope = _RT_SCOPE_HOST
        elif address.ip.is_link_local:
            scope = _RT_SCOPE_LINK
        body = IFADDR.pack(socket.AF_INET, length, 0, scope, index)
        body += attribute(_IFA_LOCAL, address.ip.packed) + attribute(
            _IFA_ADDRESS, address.ip.packed
        )
        if length < 31:
            body += attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
    else:
        body = IFADDR.pack(socket.AF_INET6, length, 0, _RT_SCOPE_UNIVERSE, index)
        body += attribute(_IFA_LOCAL, address.ip.packed) + attribute(
            _IFA_ADDRESS, address.ip.packed
        )
        body += u32(_IFA_FLAGS, 0 if dad else IFA_F_NODAD)
    return routing(kind, flags, body)


def new_address(index: int, address: Address, *, dad: bool) -> Message:
    """Add an address; one of IPv6 is usable at once unless `dad` asks for its detection first."""
    return _address(Kind.RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address, dad=dad)


def delete_address(index: int, address: Address) -> Message:
    """Remove an address."""
    return _address(Kind.RTM_DELADDR, 0, index, address, dad=True)


def _route(kind: Kind, flags: int, scope: int, index: int | None, route: Route) -> Message:
    network = route.destination
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    table = route.table if route.table < 256 else 0
    fate = _RTN_BLACKHOLE if index is None else _RTN_UNICAST
    body = RTMSG.pack(family, network.prefixlen, 0, 0, table, RTPROT_STATIC, scope, fate, 0)
    body += attribute(_RTA_DST, network.network_address.packed) if network.prefixlen else b""
    body += u32(_RTA_TABLE, route.table)
    if index is not None:
        body += u32(_RTA_OIF, index)
    if network.version == 6:
        # Named, so that the kernel's own routes, which have others, are neither replaced nor removed.
        body += u32(_RTA_PRIORITY, IP6_METRIC)
    if route.via is not None and route.via.version == network.version:
        body += attribute(_RTA_GATEWAY, route.via.packed)
    elif route.via is not None:
        body += attribute(_RTA_VIA, VIA.pack(socket.AF_INET6) + route.via.packed)
    if route.source is not None:
        body += attribute(_RTA_PREFSRC, route.source.packed)
    if route.mtu is not None:
        body += attribute(_RTA_METRICS, u32(_RTAX_MTU, route.mtu))
    return routing(kind, flags, body)


def new_route(index: int | None, route: Route) -> Message:
    """Add a route, or put it in place of the one with its destination and table.

    Args:
        index: of the interface that it leads to; None for a black hole.
        route: what it says.
    """
    scope = _RT_SCOPE_UNIVERSE
    if index is not None and route.via is None and route.destination.version == 4:
        scope = _RT_SCOPE_LINK
    return _route(Kind.RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, scope, index, route)


def delete_route(index: int | None, route: Route) -> Message:
    """Remove a route of ours; never one that the kernel made."""
    return _route(Kind.RTM_DELROUTE, 0, _RT_SCOPE_NOWHERE, index, route)


def _rule(kind: Kind, flags: int, rule: Rule) -> Message:
    family = socket.AF_INET if rule.source.version == 4 else socket.AF_INET6
    table = rule.table if rule.table < 256 else 0
    body = RULEHDR.pack(family, 0, rule.source.prefixlen, 0, table, _FR_ACT_TO_TBL, 0)
    if rule.source.prefixlen:
        body += attribute(_FRA_SRC, rule.source.network_address.packed)
    if rule.interface is not None:
        body += text(_FRA_IIFNAME, rule.interface)
    body += u32(_FRA_PRIORITY, rule.priority) + u32(_FRA_TABLE, rule.table)
    return routing(kind, flags, body)


def new_rule(rule: Rule) -> Message:
    """Add a policy rule."""
    return _rule(Kind.RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule)


def delete_rule(rule: Rule) -> Message:
    """Remove a policy rule."""
    return _rule(Kind.RTM_DELRULE, 0, rule)


def _neighbour(kind: Kind, flags: int, index: int, neighbour: Neighbour) -> Message:
    family = socket.AF_INET if neighbour.address.version == 4 else socket.AF_INET6
    return routing(
        kind,
        flags,
        NDMSG.pack(family, index, NUD_PERMANENT, 0, 0)
        + attribute(_NDA_DST, neighbour.address.packed)
        + attribute(_NDA_LLADDR, hardware_address(neighbour.mac)),
    )


def new_neighbour(index: int, neighbour: Neighbour) -> Message:
    """Add a permanent neighbour, or put it in place of the one with its address."""
    return _neighbour(Kind.RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, neighbour)


def delete_neighbour(index: int, neighbour: Neighbour) -> Message:
    """Remove a neighbour."""
    return _neighbour(Kind.RTM_DELNEIGH, 0, index, neighbour)
