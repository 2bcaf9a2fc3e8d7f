"""Hardware addresses: each follows from the number of a cable, so labs look the same every time.

All of them are locally administered unicast addresses; the first byte tells what they are of.
"""

from __future__ import annotations

from ipaddress import IPv6Address

BRIDGES_MAX = 128
"""Bridges that one LAN can consist of."""

RESERVED = ("06:", "0a:", "0e:")
"""How the addresses of bridges, of their ports and of trunks begin; nobody else's may."""

_REGIONS = 1 << 31
"""Bridges of regions are numbered from here on, where no cable comes."""

_LINK_LOCAL = 0xFE80 << 112


def interface_mac(cable: int) -> str:
    """The address of a node's end of a cable."""
    return _mac(0x02, 0, cable)


def port_mac(cable: int) -> str:
    """The address of the bridge's end of a cable."""
    return _mac(0x0A, 0, cable)


def bridge_mac(number: int, index: int = 0) -> str:
    """The address of a bridge of a LAN.

    Args:
        number: the cable of the router's uplink, 0 for the internet exchange.
        index: 0 for the bridge that the router's address is on, 1 for the next and so on.
    """
    return _mac(0x0E, index, number)


def joint_macs(number: int, index: int) -> tuple[str, str]:
    """The addresses of both ends of the cable that joins the bridge `index` to the others."""
    return _mac(0x0A, index, number), _mac(0x0A, BRIDGES_MAX + index, number)


def region_bridges(region: int) -> int:
    """What the bridges of a region's LAN are numbered as, by the number of the region."""
    return _REGIONS | region


def trunk_macs(number: int) -> tuple[str, str]:
    """The addresses of both ends of a trunk between regions."""
    return _mac(0x06, 0, number), _mac(0x06, 1, number)


def exchange_macs(region: int) -> tuple[str, str]:
    """The addresses of a region's and of the IX's end of the cable between them."""
    return _mac(0x06, 2, region), _mac(0x06, 3, region)


def link_local(mac: str) -> IPv6Address:
    """The link-local address that the kernel makes of a hardware address (RFC 4291, EUI-64)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes((octets[0] ^ 2,)) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return IPv6Address(_LINK_LOCAL | int.from_bytes(identifier, "big"))


def _mac(kind: int, index: int, number: int) -> str:
    return bytes((kind, index, *number.to_bytes(4, "big"))).hex(":")
