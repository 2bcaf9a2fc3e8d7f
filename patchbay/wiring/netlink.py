"""Netlink, the kernel's own protocol for its network configuration: messages, attributes, answers.

A message is a header, a fixed body of its kind and attributes: kind, length, value, padded to four
bytes, values again attributes where they nest (RFC 3549, and `Documentation/userspace-api/netlink`
in the kernel's source). Nothing here talks to a kernel; `connection` does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_ECHO = 0x008
NLM_F_DUMP_INTR = 0x010
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLMSG_ERROR = 2
NLMSG_DONE = 3

_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1

_HEADER = Struct("=IHHII")
"""length, kind, flags, sequence number, port"""
_ATTRIBUTE = Struct("=HH")
_ERROR = Struct("=i")
_U32, _BE32 = Struct("=I"), Struct(">I")
_KIND = 0x3FFF
_NESTED = 0x8000
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

NFGENMSG = Struct(">BBH")
"""The fixed body of every netfilter message: family, version, resource."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute with its value as bytes."""
    length = 4 + len(value)
    return _ATTRIBUTE.pack(length, kind) + value + _PADDING[length & 3]


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a string, with the NUL at its end."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """An attribute that holds one byte."""
    return attribute(kind, bytes((value,)))


def u32(kind: int, value: int) -> bytes:
    """An attribute that holds four bytes in the machine's order, as routing messages have them."""
    return attribute(kind, _U32.pack(value))


def be32(kind: int, value: int) -> bytes:
    """An attribute that holds four bytes in network order, as netfilter messages have them."""
    return attribute(kind, _BE32.pack(value & 0xFFFFFFFF))


def each_attribute(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Kind and value of the attributes from an offset on, in order."""
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind & _KIND, data[offset + 4 : offset + length]
        offset += max(4, length + 3 & ~3)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from an offset on, by kind."""
    return dict(each_attribute(data, offset))


class Message(NamedTuple):
    """What is sent: the number and the length come into it on the way."""

    kind: int
    flags: int
    body: bytes
    asks: str
    """What it asks for, in the words of an error: "make the table ip nat", "RTM_NEWLINK"."""

    def packed(self, number: int, flags: int) -> bytes:
        """The message as it is sent, padded, with a sequence number and further flags."""
        length = 16 + len(self.body)
        flags |= self.flags | NLM_F_REQUEST
        header = _HEADER.pack(length, self.kind, flags, number, 0)
        return header + self.body + _PADDING[length & 3]


class Answer(NamedTuple):
    """What is received: a message without its length and padding."""

    kind: int
    flags: int
    number: int
    """The sequence number of what it answers."""
    body: bytes


def answers(data: bytes) -> Iterator[Answer]:
    """The messages in what was received at once."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, number, _ = _HEADER.unpack_from(data, offset)
        yield Answer(kind, flags, number, data[offset + 16 : offset + length])
        offset += max(16, length + 3 & ~3)


class KernelError(OSError):
    """The kernel refused a request.

    Attributes:
        words: the kernel's own explanation, where it gave one beside the error number.
        asked: what it was asked for: the name of the message's kind, or something more precise.
    """

    def __init__(self, number: int, words: str | None, asked: str) -> None:
        super().__init__(number, os.strerror(number))
        self.words = words
        self.asked = asked

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno or 0, str(self.errno))
        said = f': the kernel says "{self.words}"' if self.words else ""
        return f"{self.asked}: {self.strerror} ({name}){said}"

    def __reduce__(self) -> tuple[type[KernelError], tuple[int | None, str | None, str]]:
        return KernelError, (self.errno, self.words, self.asked)


def refusal(answer: Answer, asked: str) -> KernelError | None:
    """The error that an answer of kind NLMSG_ERROR or NLMSG_DONE tells, if it does."""
    body = answer.body
    number = _ERROR.unpack_from(body)[0] if len(body) >= 4 else 0
    if not number:
        return None
    words = None
    if answer.flags & _NLM_F_ACK_TLVS:
        offset = 4
        if answer.kind == NLMSG_ERROR:
            (length,) = _U32.unpack_from(body, 4)
            offset += 16 if answer.flags & _NLM_F_CAPPED else length
        words = attributes(body, offset).get(_NLMSGERR_ATTR_MSG)
    said = words.rstrip(b"\0").decode(errors="replace") if words else None
    return KernelError(-number, said, asked)
