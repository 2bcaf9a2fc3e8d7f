"""PCP (RFC 6887) as a router answers it, the MAP part: pure but for what it asks of the router."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from patchbay.services.mapper import LONGEST, Lease, Mapper, Refused

VERSION = 2
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


def answer(data: bytes, client: IPv4Address, router: Mapper) -> bytes | None:
    """What is answered to a datagram; None for one that deserves no answer."""
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
            return _head(operation, Result.SUCCESS, 0, router)
        if len(body) < _MAP.size:
            raise _Error(Result.MALFORMED_REQUEST)
        lease, left = _map(body, client, lifetime, router)
        nonce, protocol, port, _, _ = _MAP.unpack_from(body)
        outside = 0 if lease is None else lease.mapping.port
        told = _MAP.pack(nonce, protocol, port, outside, _v6(router.external))
        return _head(operation, Result.SUCCESS, left, router) + told + body[_MAP.size :]
    except _Error as error:
        # What was asked comes back, so that the client knows it again (RFC 6887 8.2).
        again = body[: MOST_BYTES - _HEAD.size]
        holds = _SHORT if error.result in _PASSING else _LONG
        return _head(operation, error.result, holds, router) + again + bytes(-len(again) % 4)


def _map(
    body: bytes, client: IPv4Address, lifetime: int, router: Mapper
) -> tuple[Lease | None, int]:
    """Map, renew or delete; gives the mapping and the seconds it has."""
    nonce, number, port, wanted, _ = _MAP.unpack_from(body)
    exact = False
    for option in _options(body[_MAP.size :]):
        if option == _PREFER_FAILURE:
            exact = True
        elif option < _OPTIONAL:
            raise _Error(Result.UNSUPP_OPTION)
    if lifetime == 0:
        _delete(nonce, _PROTOCOLS.get(number), client, port, router)
        return None, 0
    if number not in _PROTOCOLS:
        raise _Error(Result.UNSUPP_PROTOCOL)
    if port == 0:
        raise _Error(Result.MALFORMED_REQUEST)
    protocol = _PROTOCOLS[number]
    made = router.map(
        protocol, client, port, wanted, min(lifetime, LONGEST), exact=exact, nonce=nonce
    )
    if isinstance(made, Refused):
        raise _Error(_RESULTS[made])
    return made, made.lifetime or LONGEST


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


def _mapped(packed: bytes) -> IPv4Address | None:
    return IPv6Address(packed).ipv4_mapped


def _v6(address: IPv4Address) -> bytes:
    return IPv6Address(f"::ffff:{address}").packed


def _head(operation: int, result: Result, lifetime: int, router: Mapper) -> bytes:
    return struct.pack("!BBxBII12x", VERSION, _ANSWER | operation, result, lifetime, router.epoch)
