"""Packets made by hand; what sends them runs on a node."""

from __future__ import annotations

import random
import socket
import struct
import time

Endpoint = tuple[str, int]

IP_MTU, IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO = 14, 10, 0, 2
_PIECE = 1024
"""Bytes of each fragment but the last; a multiple of eight."""


def checksum(data: bytes) -> int:
    """The checksum of the internet protocols (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_header(
    source: str, target: str, length: int, protocol: int, fragment: int = 0, number: int = 0x1234
) -> bytes:
    """An IPv4 header; `fragment` is its sixteen bits of flags and offset, `number` says of what."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    parts = (0x45, 0, 20 + length, number, fragment, 64, protocol)
    bare = struct.pack(">BBHHHBB", *parts)
    return bare + struct.pack(">H", checksum(bare + b"\0\0" + ends)) + ends


def udp_packet(source: Endpoint, target: Endpoint, length: int = 1400) -> bytes:
    """The beginning of a long UDP packet, with the bit that forbids to fragment it."""
    datagram = struct.pack(">HHHH", source[1], target[1], 8 + length, 0)
    return ip_header(source[0], target[0], 8 + length, socket.IPPROTO_UDP, 0x4000) + datagram


def tcp_segment(source: Endpoint, target: Endpoint) -> bytes:
    """The beginning of a TCP segment."""
    segment = struct.pack(">HHIIHHHH", source[1], target[1], 0, 0, 0x5010, 1000, 0, 0)
    return ip_header(source[0], target[0], len(segment), socket.IPPROTO_TCP) + segment


def send_unreachable(target: str, about: bytes) -> None:
    """Send the ICMP error that the host of a packet cannot be reached."""
    bare = struct.pack(">BBHI", 3, 1, 0, 0) + about
    message = bare[:2] + struct.pack(">H", checksum(bare)) + bare[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.sendto(message, (target, 0))


def error_comes(raw: socket.socket, kind: int, source: Endpoint, patience: float) -> bool:
    """Whether an ICMP error of a type comes that is about a packet from there."""
    deadline = time.monotonic() + patience
    told = socket.inet_aton(source[0]), struct.pack(">H", source[1])
    while (left := deadline - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            data = raw.recv(2000)
        except TimeoutError:
            return False
        if data[20] == kind and (data[40:44], data[48:50]) == told:
            return True
    return False


def send_reversed(source: Endpoint, target: Endpoint, data: bytes) -> None:
    """Send a UDP datagram in fragments, the last one first."""
    datagram = struct.pack(">HHHH", source[1], target[1], 8 + len(data), 0) + data
    pieces, number = [], random.randrange(1, 1 << 16)  # not that of one that is still under way
    for offset in range(0, len(datagram), _PIECE):
        piece = datagram[offset : offset + _PIECE]
        more = 0x2000 if offset + _PIECE < len(datagram) else 0
        fragment = more | offset // 8
        ends = source[0], target[0]
        pieces.append(ip_header(*ends, len(piece), socket.IPPROTO_UDP, fragment, number) + piece)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for each in reversed(pieces):
            raw.sendto(each, (target[0], 0))


def send_too_long(target: str, about: bytes, mtu: int) -> None:
    """Send the ICMP error that a packet was too long for a link and must not be fragmented."""
    bare = struct.pack(">BBHHH", 3, 4, 0, 0, mtu) + about
    message = bare[:2] + struct.pack(">H", checksum(bare)) + bare[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.sendto(message, (target, 0))


def told_of_mtu(connected: socket.socket, mtu: int, patience: float = 30.0) -> bool:
    """Whether the path of a connected socket is known to take that little."""
    deadline = time.monotonic() + patience
    while connected.getsockopt(socket.SOL_IP, IP_MTU) != mtu:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
