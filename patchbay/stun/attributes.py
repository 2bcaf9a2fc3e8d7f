"""The values of STUN's attributes, from and to bytes (RFC 8489 14, RFC 5780 7)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from patchbay.stun.message import COOKIE, MalformedMessage

_FAMILIES = {4: 1, 6: 2}
_CHANGE_ADDRESS, _CHANGE_PORT = 0x4, 0x2


class Endpoint(NamedTuple):
    """An address and a port of it."""

    ip: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"


def endpoint_of(socket_name: tuple[str, int] | tuple[str, int, int, int]) -> Endpoint:
    """What a socket calls an address, without what is only IPv6 in form."""
    ip = ip_address(socket_name[0].partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return Endpoint(mapped or ip, socket_name[1])


def address_value(endpoint: Endpoint) -> bytes:
    """MAPPED-ADDRESS, and all that look like it."""
    ip, port = endpoint
    return struct.pack("!BBH", 0, _FAMILIES[ip.version], port) + ip.packed


def read_address(value: bytes) -> Endpoint:
    """The endpoint in an attribute.

    Raises:
        MalformedMessage: there is none.
    """
    lengths = {(1, 8), (2, 20)}
    if len(value) < 4 or (value[1], len(value)) not in lengths:
        raise MalformedMessage("this is no address")
    return Endpoint(ip_address(value[4:]), int.from_bytes(value[2:4], "big"))


def xor_address_value(endpoint: Endpoint, transaction: bytes) -> bytes:
    """XOR-MAPPED-ADDRESS: hidden from NATs that look for addresses to translate."""
    return _xor(address_value(endpoint), transaction)


def read_xor_address(value: bytes, transaction: bytes) -> Endpoint:
    """The endpoint in an XOR-MAPPED-ADDRESS.

    Raises:
        MalformedMessage: there is none.
    """
    return read_address(_xor(value, transaction))


def change_value(*, address: bool, port: bool) -> bytes:
    """CHANGE-REQUEST: answer from the other address, the other port, or both."""
    return struct.pack("!I", address * _CHANGE_ADDRESS | port * _CHANGE_PORT)


def read_change(value: bytes) -> tuple[bool, bool]:
    """Whether an answer is to come from the other address, and from the other port.

    Raises:
        MalformedMessage: it does not say.
    """
    if len(value) != 4:
        raise MalformedMessage("a change request has four bytes")
    flags = int.from_bytes(value, "big")
    return bool(flags & _CHANGE_ADDRESS), bool(flags & _CHANGE_PORT)


def port_value(port: int) -> bytes:
    """RESPONSE-PORT: answer to another port than the request is from."""
    return struct.pack("!HH", port, 0)


def read_port(value: bytes) -> int:
    """The port in a RESPONSE-PORT.

    Raises:
        MalformedMessage: there is none.
    """
    if len(value) != 4:
        raise MalformedMessage("a response port has four bytes")
    return int.from_bytes(value[:2], "big")


def error_value(code: int, reason: str) -> bytes:
    """ERROR-CODE."""
    return struct.pack("!HBB", 0, code // 100, code % 100) + reason.encode()


def read_error(value: bytes) -> tuple[int, str]:
    """The number and the text of an ERROR-CODE.

    Raises:
        MalformedMessage: there is none.
    """
    if len(value) < 4:
        raise MalformedMessage("an error has a number")
    return (value[2] & 7) * 100 + value[3], value[4:].decode(errors="replace")


def types_value(types: Iterable[int]) -> bytes:
    """UNKNOWN-ATTRIBUTES."""
    return b"".join(struct.pack("!H", each) for each in types)


def _xor(value: bytes, transaction: bytes) -> bytes:
    """Turn an address into its hidden form, or back."""
    mask = bytes(2) + (COOKIE >> 16).to_bytes(2, "big") + transaction
    return bytes(a ^ b for a, b in zip(value, mask, strict=False))
