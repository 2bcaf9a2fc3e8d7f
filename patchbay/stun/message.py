"""STUN messages as bytes and back (RFC 8489 5 and 14): pure, for clients and servers alike."""

from __future__ import annotations

import binascii
import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum

COOKIE = 0x2112A442
"""What the transaction id of every message begins with, but for those of RFC 3489."""
_HEADER = struct.Struct("!HH16s")
_ATTRIBUTE = struct.Struct("!HH")
_FINGERPRINT_MASK = 0x5354554E
_INTEGRITY_BYTES = 20
_FINGERPRINT_BYTES = 4


class MalformedMessage(ValueError):
    """These bytes are no STUN message; the text says why."""


class Kind(IntEnum):
    """The class of a message."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Method(IntEnum):
    """What a message is about; STUN itself has one method."""

    BINDING = 1


class Attribute(IntEnum):
    """Types of attributes; those below 0x8000 must be understood."""

    MAPPED_ADDRESS = 0x0001
    RESPONSE_ADDRESS = 0x0002
    """RFC 3489."""
    CHANGE_REQUEST = 0x0003
    SOURCE_ADDRESS = 0x0004
    """RFC 3489."""
    CHANGED_ADDRESS = 0x0005
    """RFC 3489."""
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REALM = 0x0014
    NONCE = 0x0015
    XOR_MAPPED_ADDRESS = 0x0020
    PADDING = 0x0026
    RESPONSE_PORT = 0x0027
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C


@dataclass(frozen=True, slots=True)
class Message:
    """A STUN message.

    Attributes:
        kind: a request, an indication, or one of the two answers.
        transaction: 16 bytes that an answer has from its request, the cookie among them.
        attributes: pairs of a type and its value, in order; those that check the others, a message
            integrity and a fingerprint, are not among them.
        method: what it is about.
    """

    kind: Kind
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...] = ()
    method: int = Method.BINDING

    def get(self, attribute: int) -> bytes | None:
        """The first value of an attribute; None without one."""
        return next((value for kind, value in self.attributes if kind == attribute), None)

    @property
    def modern(self) -> bool:
        """Whether it is as RFC 5389 and later have it, and not RFC 3489."""
        return self.transaction[:4] == COOKIE.to_bytes(4, "big")


def encode(message: Message, *, key: bytes | None = None, fingerprint: bool = False) -> bytes:
    """A message as bytes.

    Args:
        message: what to send.
        key: the key of a message integrity to add (RFC 8489 14.5).
        fingerprint: whether to add a fingerprint (RFC 8489 14.7).
    """
    body = b"".join(_attribute(kind, value) for kind, value in message.attributes)
    if key is not None:
        signed = _header(message, len(body) + 4 + _INTEGRITY_BYTES) + body
        body += _attribute(Attribute.MESSAGE_INTEGRITY, hmac.digest(key, signed, "sha1"))
    if fingerprint:
        checked = _header(message, len(body) + 4 + _FINGERPRINT_BYTES) + body
        body += _attribute(Attribute.FINGERPRINT, _fingerprint(checked))
    return _header(message, len(body)) + body


def decode(data: bytes, *, key: bytes | None = None) -> Message:
    """The message in a datagram.

    Args:
        data: all of the datagram.
        key: the key of the message integrity that it must have; None if it does not matter.

    Raises:
        MalformedMessage: it is none, or its fingerprint or message integrity is wrong.
    """
    if len(data) < _HEADER.size or data[0] & 0xC0:
        raise MalformedMessage("this does not begin like a STUN message")
    kind, length, transaction = _HEADER.unpack_from(data)
    if length % 4 and transaction[:4] == COOKIE.to_bytes(4, "big"):
        raise MalformedMessage("its length is not a multiple of four")
    if _HEADER.size + length != len(data):
        raise MalformedMessage(f"it says it has {length} bytes, and has {len(data) - 20}")
    attributes: list[tuple[int, bytes]] = []
    place, signed = _HEADER.size, False
    while place < len(data):
        if place + _ATTRIBUTE.size > len(data):
            raise MalformedMessage("an attribute is cut off")
        name, size = _ATTRIBUTE.unpack_from(data, place)
        value = data[place + 4 : place + 4 + size]
        if len(value) < size:
            raise MalformedMessage("the value of an attribute is cut off")
        if name == Attribute.FINGERPRINT:
            _check_fingerprint(data, place, value)
        elif name == Attribute.MESSAGE_INTEGRITY:
            signed = key is None or _is_signed(data, place, value, key)
            if not signed:
                raise MalformedMessage("its message integrity is wrong")
        elif not signed or key is None:
            # What comes after a message integrity could have been added by anybody.
            attributes.append((name, value))
        place += 4 + size + -size % 4
    if key is not None and not signed:
        raise MalformedMessage("it has no message integrity")
    method, what = _split(kind)
    return Message(what, transaction, tuple(attributes), method)


def _header(message: Message, length: int) -> bytes:
    method = message.method
    # The two bits of the class are between those of the method (RFC 8489 5).
    kind = method & 0xF | (method & 0x70) << 1 | (method & 0xF80) << 2
    kind |= (message.kind & 1) << 4 | (message.kind & 2) << 7
    return _HEADER.pack(kind, length, message.transaction)


def _split(kind: int) -> tuple[int, Kind]:
    method = kind & 0xF | (kind >> 1) & 0x70 | (kind >> 2) & 0xF80
    return method, Kind((kind >> 4) & 1 | (kind >> 7) & 2)


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _fingerprint(data: bytes) -> bytes:
    return struct.pack("!I", binascii.crc32(data) ^ _FINGERPRINT_MASK)


def _check_fingerprint(data: bytes, place: int, value: bytes) -> None:
    if place + 4 + _FINGERPRINT_BYTES != len(data):
        raise MalformedMessage("something comes after its fingerprint")
    if value != _fingerprint(data[:place]):
        raise MalformedMessage("its fingerprint is wrong")


def _is_signed(data: bytes, place: int, value: bytes, key: bytes) -> bool:
    """Whether the message integrity at a place is right: as if nothing came after it."""
    length = place + 4 + _INTEGRITY_BYTES - _HEADER.size
    signed = data[:2] + struct.pack("!H", length) + data[4:place]
    return hmac.compare_digest(value, hmac.digest(key, signed, "sha1"))
