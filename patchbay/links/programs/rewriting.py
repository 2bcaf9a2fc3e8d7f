"""Changes of packets: other fields, another payload, and lengths and checksums that fit them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from patchbay.links.packets.checksum import ones_complement_sum, renew
from patchbay.links.packets.frame import ETHERNET, HEADER, Frame
from patchbay.links.packets.headers import TCP, UDP, Headers
from patchbay.links.programs.dissection import Dissection

LONGEST = ETHERNET + 65_535
"""Bytes of the longest frame that there can be."""

Field = int | str | bytes | IPv4Address | IPv6Address
"""What a field of a packet is changed to."""

_LIMITS = {
    "source_port": 0xFFFF,
    "destination_port": 0xFFFF,
    "ttl": 0xFF,
    "dscp": 63,
    "ecn": 3,
    "sequence": 0xFFFF_FFFF,
    "acknowledgment": 0xFFFF_FFFF,
    "flags": 0xFF,
    "window": 0xFFFF,
}
_TCP_FIELDS = {"sequence": (4, 4), "acknowledgment": (8, 4), "flags": (13, 1), "window": (14, 2)}
"""Where fields of TCP are in its header, and how many bytes they have."""
_OF_THE_WHOLE = frozenset(
    {"payload", "source", "destination", "source_port", "destination_port", *_TCP_FIELDS}
)
"""Fields that a transport checksum covers, which is of a whole packet and not of its fragments."""


def changed(before: Dissection, fields: Mapping[str, Field]) -> bytes:
    """The bytes of a packet with some of its fields changed.

    Lengths and checksums are made right; a UDP datagram over IPv4 without a checksum stays so.

    Args:
        before: the packet.
        fields: what is changed, by name, each as `Packet.change` takes it.

    Raises:
        ValueError: the packet has no such field, or it cannot be this.
    """
    headers = before.headers
    if headers is None:
        raise ValueError("this is no IP packet: replace its bytes instead")
    if before.is_fragment and (fixed := sorted(_OF_THE_WHOLE & fields.keys())):
        raise ValueError(f"{', '.join(fixed)} cannot be changed in a fragment of a packet")
    data = bytearray(before.data)
    if "payload" in fields:
        _put_payload(data, before, headers, fields["payload"])
    for name in fields.keys() - {"payload"}:
        _put(data, headers, name, fields[name])
    if headers.version == 4:
        renew_ip_checksum(data, headers)
    frame = Frame(memoryview(bytearray(HEADER) + data), len(data))
    after = Dissection(bytes(data)).headers
    if after is not None and _OF_THE_WHOLE & fields.keys():
        renew(frame, after)
    return bytes(frame.data)


def checked(data: bytes) -> bytes:
    """The bytes of a whole frame that a program made itself.

    Raises:
        TypeError: they are no bytes.
        ValueError: they are too few for a frame, or too many.
    """
    given: object = data
    if not isinstance(given, bytes | bytearray | memoryview):
        raise TypeError(f"{given!r} is no bytes of a frame")
    if not ETHERNET <= len(data) <= LONGEST:
        raise ValueError(f"{len(data)} bytes are no Ethernet frame: {ETHERNET} to {LONGEST}")
    return bytes(data)


def _put_payload(data: bytearray, before: Dissection, headers: Headers, value: Field) -> None:
    """Replace what is behind the headers; padding of the frame goes, as lengths change."""
    if not isinstance(value, bytes):
        raise ValueError(f"{value!r} is no payload: give bytes")
    start = before.payload_at
    if start is None:
        raise ValueError("the packet has no whole header in front of its payload")
    network = headers.network - HEADER
    size = start + len(value) - network - (0 if headers.version == 4 else 40)
    if size > 0xFFFF:
        raise ValueError(f"{len(value)} bytes of payload do not fit into a packet")
    data[start:] = value
    at = network + (2 if headers.version == 4 else 4)
    data[at : at + 2] = size.to_bytes(2)
    if headers.protocol == UDP and headers.transport is not None:
        at = headers.transport - HEADER + 4
        data[at : at + 2] = (8 + len(value)).to_bytes(2)


def _put(data: bytearray, headers: Headers, name: str, value: Field) -> None:
    network, version = headers.network - HEADER, headers.version
    if name in ("source", "destination"):
        address = _address(value, version).packed
        at = network + (12 if version == 4 else 8) + (len(address) if name != "source" else 0)
        data[at : at + len(address)] = address
        return
    number = _number(name, value)
    if name in ("source_port", "destination_port"):
        if headers.ports is None or headers.transport is None:
            raise ValueError(f"the packet has no {name}")
        at = headers.transport - HEADER + (0 if name == "source_port" else 2)
        data[at : at + 2] = number.to_bytes(2)
    elif name in _TCP_FIELDS:
        whole = headers.transport is not None and headers.transport + 20 <= headers.end
        if headers.protocol != TCP or headers.transport is None or not whole:
            raise ValueError(f"the packet has no {name}: it is no TCP segment")
        start, size = _TCP_FIELDS[name]
        at = headers.transport - HEADER + start
        data[at : at + size] = number.to_bytes(size)
    elif name == "ttl":
        data[network + (8 if version == 4 else 7)] = number
    else:
        # DSCP and ECN are one byte: the second one of IPv4, shifted by four bits in IPv6.
        shift = 2 if name == "dscp" else 0
        mask = _LIMITS[name] << shift
        at, move = (network, 0) if version == 4 else (network, 4)
        word = int.from_bytes(data[at : at + 2])
        word = word & ~(mask << move) | number << shift + move
        data[at : at + 2] = word.to_bytes(2)


def _address(value: Field, version: int) -> IPv4Address | IPv6Address:
    if isinstance(value, bytes | int):
        raise ValueError(f"{value!r} is no IP address")
    address = ip_address(value)
    if address.version != version:
        raise ValueError(f"{address} is no address of IPv{version}, which the packet is of")
    return address


def _number(name: str, value: Field) -> int:
    most = _LIMITS[name]
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{name}: {value!r} is not a whole number from 0 to {most}")
    return value


def renew_ip_checksum(data: bytearray, headers: Headers) -> None:
    """Make the checksum of an IPv4 header right again."""
    start = headers.network - HEADER
    end = start + (data[start] & 0xF) * 4
    data[start + 10 : start + 12] = b"\0\0"
    value = ~ones_complement_sum(bytes(data[start:end])) & 0xFFFF
    data[start + 10 : start + 12] = value.to_bytes(2)
