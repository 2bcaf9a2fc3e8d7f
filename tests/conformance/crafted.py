"""Packets made by hand, sent as they are, and sockets that take any: run on nodes."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

UDP = 17
ROUTING = 43


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """An IP packet."""
    one, two = ip_address(source), ip_address(target)
    if isinstance(one, IPv4Address):
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
        head = head[:10] + struct.pack("!H", checksum(head + one.packed + two.packed)) + head[12:]
        return head + one.packed + two.packed + payload
    assert isinstance(two, IPv6Address)
    return (
        struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
        + one.packed
        + two.packed
        + payload
    )


def udp_datagram(source: str, target: str, ports: tuple[int, int], data: bytes) -> bytes:
    """A UDP datagram with its checksum."""
    ends = ip_address(source).packed + ip_address(target).packed
    length = 8 + len(data)
    short = struct.pack("!BBH", 0, UDP, length)
    pseudo = ends + (short if len(ends) == 8 else struct.pack("!II", length, UDP))
    head = struct.pack("!HHHH", *ports, length, 0)
    return head[:6] + struct.pack("!H", checksum(pseudo + head + data) or 0xFFFF) + data


def unreachable(source: str, target: str, inner: bytes) -> bytes:
    """An ICMP error: the port of a packet cannot be reached."""
    if ip_address(source).version == 4:
        body = struct.pack("!BBHI", 3, 3, 0, 0) + inner
        return body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    body = struct.pack("!BBHI", 1, 4, 0, 0) + inner
    pseudo = ip_address(source).packed + ip_address(target).packed
    pseudo += struct.pack("!II", len(body), 58)
    return body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]


def routed(payload: bytes) -> bytes:
    """A payload behind a routing header of type 0 that has been followed to its end."""
    return struct.pack("!BBBBI", UDP, 0, 0, 0, 0) + payload


def send(target: str, packet: bytes) -> None:
    """Send a packet as it is from this process's network."""
    family = socket.AF_INET if ip_address(target).version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(packet, (target, 0))
