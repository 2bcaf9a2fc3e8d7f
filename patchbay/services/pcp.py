"""PCP (RFC 6887) as a router answers it, the MAP part: pure but for what it asks of the router."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from patchbay.services.mapper import LONGEST, Mapper, PinholeKeeper, Refused
from patchbay.values import Pinhole

VERSION = 2
GROUP6 = "ff02::1"
MOST_BYTES = 1100
"""Of a datagram (RFC 6887 7)."""
_ANSWER = 0x80
_HEAD = struct.Struct("!BBHI16s")
_MAP = struct.Struct("!12sB3xHH16s")
_ANNOUNCE_OPCODE, _MAP_OPCODE = 0, 1
_PREFER_FAILURE, _OPTIONAL = 2, 128
_PROTOCOLS = {6: "tcp", 17: "udp"}


class Result(IntEnum):
    """How a request went (RFC 6887 7.4)."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12


_SHORT = 30
"""Seconds for which a refusal holds that may soon be none; the others' hold for longer."""
_LONG = 1800
_PASSING = {Result.NETWORK_FAILURE, Result.NO_RESOURCES, Result.CANNOT_PROVIDE_EXTERNAL}
_RESULTS = {
    Refused.TAKEN: Result.CANNOT_PROVIDE_EXTERNAL,
    Refused.NO_RESOURCES: Result.NO_RESOURCES,
    Refused.NOT_AUTHORIZED: Result.NOT_AUTHORIZED,
    Refused.FAILED: Result.NETWORK_FAILURE,
}


class _Error(Exception):
    def __init__(self, result: Result) -> None:
        super().__init__(result)
        self.result = result


def answer(
    data: bytes, client: IPv4Address | IPv6Address, router: Mapper, wall: PinholeKeeper | None
) -> bytes | None:
    """What is answered to a datagram; None for one that deserves no answer.

    Args:
        data: what was asked.
        client: the address of who asks: over IPv4 it is about NAT, over IPv6 about the firewall.
        router: what maps ports.
        wall: what opens ways in over IPv6; None where there is no IPv6.
    """
    if len(data) < 2 or data[1] & _ANSWER:
        return None
    operation = data[1]
    body = data[_HEAD.size :]
    try:
        if data[0] != VERSION:
            raise _Error(Result.UNSUPP_VERSION)
        if len(data) < _HEAD.size or len(data) > MOST_BYTES or len(data) % 4:
            raise _Error(Result.MALFORMED_REQUEST)
        _, _, _, lifetime, said = _HEAD.unpack_from(data)
        if operation not in (_ANNOUNCE_OPCODE, _MAP_OPCODE):
            raise _Error(Result.UNSUPP_OPCODE)
        if _mapped(said) != client:
            raise _Error(Result.ADDRESS_MISMATCH)
        if operation == _ANNOUNCE_OPCODE:
            return announcement(router)
        if len(body) < _MAP.size:
            raise _Error(Result.MALFORMED_REQUEST)
        exact = _only_options(body[_MAP.size :])
        if isinstance(client, IPv4Address):
            outside, left = _map(body, client, lifetime, router, exact=exact)
            address = _v6(router.external)
        else:
            assert wall is not None, "who asks over IPv6 is on a LAN that has it"
            outside, left = _open(body, client, lifetime, wall, exact=exact)
            address = client.packed
        nonce, protocol, port, _, _ = _MAP.unpack_from(body)
        told = _MAP.pack(nonce, protocol, port, outside, address)
        return _head(operation, Result.SUCCESS, left, router) + told + body[_MAP.size :]
    except _Error as error:
        # What was asked comes back, so that the client knows it again (RFC 6887 8.2).
        again = body[: MOST_BYTES - _HEAD.size]
        holds = _SHORT if error.result in _PASSING else _LONG
        return _head(operation, error.result, holds, router) + again + bytes(-len(again) % 4)


def announcement(router: Mapper) -> bytes:
    """What is told unasked, to all hosts, when mappings are gone or have another outside address.

    The epoch in it says so: it begins anew (RFC 6887 8.5).
    """
    return _head(_ANNOUNCE_OPCODE, Result.SUCCESS, 0, router)


def _map(
    body: bytes, client: IPv4Address, lifetime: int, router: Mapper, *, exact: bool
) -> tuple[int, int]:
    """Map, renew or delete; gives the outside port and the seconds that it is mapped for."""
    nonce, number, port, wanted, _ = _MAP.unpack_from(body)
    if lifetime == 0:
        _delete(nonce, _PROTOCOLS.get(number), client, port, router)
        return 0, 0
    protocol = _mappable(number, port)
    made = router.map(
        protocol, client, port, wanted, min(lifetime, LONGEST), exact=exact, nonce=nonce
    )
    if isinstance(made, Refused):
        raise _Error(_RESULTS[made])
    return made.mapping.port, made.lifetime or LONGEST


def _open(
    body: bytes, client: IPv6Address, lifetime: int, wall: PinholeKeeper, *, exact: bool
) -> tuple[int, int]:
    """Open, renew or shut a way in; outside, a port is the same as inside."""
    nonce, number, port, wanted, _ = _MAP.unpack_from(body)
    if lifetime == 0:
        _shut(nonce, _PROTOCOLS.get(number), client, port, wall)
        return 0, 0
    protocol = _mappable(number, port)
    if exact and wanted not in (0, port):
        raise _Error(Result.CANNOT_PROVIDE_EXTERNAL)
    made = wall.open(Pinhole(protocol=protocol, host=client, port=port), lifetime, nonce)
    if isinstance(made, Refused):
        raise _Error(_RESULTS[made])
    return port, made.lifetime


def _shut(
    nonce: bytes, protocol: str | None, client: IPv6Address, port: int, wall: PinholeKeeper
) -> None:
    for lease in wall.pinholes():
        hole = lease.pinhole
        if (
            hole.host != client
            or hole.remote is not None
            or hole.remote_port is not None
            or protocol not in (None, hole.protocol)
            or port not in (0, hole.port)
        ):
            continue
        if lease.nonce != nonce:
            raise _Error(Result.NOT_AUTHORIZED)
        wall.shut(lease.number)


def _mappable(number: int, port: int) -> str:
    """The name of a protocol, if a port of it can be mapped."""
    if number not in _PROTOCOLS:
        raise _Error(Result.UNSUPP_PROTOCOL)
    if port == 0:
        raise _Error(Result.MALFORMED_REQUEST)
    return _PROTOCOLS[number]


def _only_options(data: bytes) -> bool:
    """Whether no other outside port will do; what else is asked for is not to be had."""
    exact = False
    for option in _options(data):
        if option == _PREFER_FAILURE:
            exact = True
        elif option < _OPTIONAL:
            raise _Error(Result.UNSUPP_OPTION)
    return exact


def _delete(
    nonce: bytes, protocol: str | None, client: IPv4Address, port: int, router: Mapper
) -> None:
    for lease in router.leases():
        mapping = lease.mapping
        if (
            mapping.host != client
            or protocol not in (None, mapping.protocol)
            or port not in (0, mapping.host_port)
        ):
            continue
        if lease.nonce != nonce:
            raise _Error(Result.NOT_AUTHORIZED)
        router.unmap(mapping.protocol, mapping.port)


def _options(data: bytes) -> Iterator[int]:
    while data:
        if len(data) < 4:
            raise _Error(Result.MALFORMED_OPTION)
        length = int.from_bytes(data[2:4], "big")
        if len(data) < 4 + length:
            raise _Error(Result.MALFORMED_OPTION)
        yield data[0]
        data = data[4 + length + -length % 4 :]


def _mapped(packed: bytes) -> IPv4Address | IPv6Address:
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


def _v6(address: IPv4Address) -> bytes:
    return IPv6Address(f"::ffff:{address}").packed


def _head(operation: int, result: Result, lifetime: int, router: Mapper) -> bytes:
    return struct.pack(
        "!BBxBII12x", VERSION, _ANSWER | operation, result, lifetime, router.address_epoch
    )
