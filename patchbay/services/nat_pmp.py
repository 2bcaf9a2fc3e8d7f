"""NAT-PMP (RFC 6886) as a router answers it: pure but for what it asks of the router."""

from __future__ import annotations

import struct
from enum import IntEnum
from ipaddress import IPv4Address

from patchbay.services.mapper import LONGEST, Mapper, Refused

PORT = 5351
CLIENTS = 5350
"""The port at which hosts hear what they did not ask for."""
GROUP = "224.0.0.1"
VERSION = 0
_ANSWER = 128
_REQUEST = struct.Struct("!BBHHHI")
_ADDRESS, _MAPPINGS = 0, {1: "udp", 2: "tcp"}


class Result(IntEnum):
    """How a request went (RFC 6886 3.5)."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


_RESULTS = {
    Refused.TAKEN: Result.OUT_OF_RESOURCES,
    Refused.NO_RESOURCES: Result.OUT_OF_RESOURCES,
    Refused.NOT_AUTHORIZED: Result.NOT_AUTHORIZED,
    Refused.FAILED: Result.NETWORK_FAILURE,
}


def answer(data: bytes, client: IPv4Address, router: Mapper) -> bytes | None:
    """What is answered to a datagram; None for one that deserves no answer."""
    if len(data) < 2 or data[1] >= _ANSWER:
        return None
    operation = data[1]
    if data[0] != VERSION:
        return _head(operation, Result.UNSUPPORTED_VERSION, router)
    if operation == _ADDRESS:
        return announcement(router)
    if operation not in _MAPPINGS:
        return _head(operation, Result.UNSUPPORTED_OPCODE, router)
    if len(data) < _REQUEST.size:
        return None
    _, _, _, port, wanted, lifetime = _REQUEST.unpack_from(data)
    protocol = _MAPPINGS[operation]
    if lifetime == 0:
        _delete(protocol, client, port, router)
        return _head(operation, Result.SUCCESS, router) + struct.pack("!HHI", port, 0, 0)
    made = router.map(protocol, client, port, wanted, min(lifetime, LONGEST))
    if isinstance(made, Refused):
        told = struct.pack("!HHI", port, 0, 0)
        return _head(operation, _RESULTS[made], router) + told
    told = struct.pack("!HHI", port, made.mapping.port, made.lifetime or LONGEST)
    return _head(operation, Result.SUCCESS, router) + told


def announcement(router: Mapper) -> bytes:
    """What is told unasked, to all of the group, when the outside address has changed."""
    return _head(_ADDRESS, Result.SUCCESS, router) + router.external.packed


def _delete(protocol: str, client: IPv4Address, port: int, router: Mapper) -> None:
    """Delete a mapping of a client; all of its protocol if the port is 0 (RFC 6886 3.4)."""
    for lease in router.leases():
        mapping = lease.mapping
        if (mapping.protocol, mapping.host) == (protocol, client) and port in (
            0,
            mapping.host_port,
        ):
            router.unmap(protocol, mapping.port)


def _head(operation: int, result: Result, router: Mapper) -> bytes:
    return struct.pack("!BBHI", VERSION, _ANSWER | operation, result, router.epoch)
