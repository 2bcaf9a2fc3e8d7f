"""Bytes of QUIC and TLS as their RFCs have them, made without the code under test."""

from __future__ import annotations

import struct

V1, V2 = 1, 0x6B3343CF
BITS = {
    V1: {"initial": 0, "zero_rtt": 1, "handshake": 2, "retry": 3},
    V2: {"initial": 1, "zero_rtt": 2, "handshake": 3, "retry": 0},
}


def variable(number: int, least: int = 0) -> bytes:
    """RFC 9000, 16: two bits tell the length."""
    for bits in range(least, 4):
        size = 1 << bits
        if number < 1 << (8 * size - 2):
            return (number | bits << (8 * size - 2)).to_bytes(size)
    raise ValueError(number)


def quic(
    kind="initial",
    *,
    version=V1,
    destination=b"\x01\x02\x03\x04",
    source=b"\x05\x06",
    token=b"",
    payload=b"\x00" * 20,
) -> bytes:
    """One packet with a long header; its payload is no more encrypted than it looks."""
    first = 0xC3 if kind == "version_negotiation" else 0xC0 | BITS[version][kind] << 4 | 3
    number = 0 if kind == "version_negotiation" else version
    ids = bytes([len(destination)]) + destination + bytes([len(source)]) + source
    head = bytes([first]) + number.to_bytes(4) + ids
    if kind == "version_negotiation":
        return head + payload
    if kind == "retry":
        return head + token + b"T" * 16
    if kind == "initial":
        head += variable(len(token)) + token
    return head + variable(len(payload), 1) + payload


def hello(name=None, alpn=(), versions=(0x0304,), *, padding=0) -> bytes:
    """A TLS record with a ClientHello (RFC 8446, 4.1.2)."""
    extensions = b""
    if padding:
        extensions += struct.pack("!HH", 21, padding) + bytes(padding)
    if name is not None:
        entry = b"\0" + struct.pack("!H", len(name)) + name
        content = struct.pack("!H", len(entry)) + entry
        extensions += struct.pack("!HH", 0, len(content)) + content
    if alpn:
        names = b"".join(bytes([len(each)]) + each for each in alpn)
        content = struct.pack("!H", len(names)) + names
        extensions += struct.pack("!HH", 16, len(content)) + content
    if versions:
        content = bytes([2 * len(versions)]) + b"".join(each.to_bytes(2) for each in versions)
        extensions += struct.pack("!HH", 43, len(content)) + content
    body = b"\x03\x03" + bytes(range(32)) + b"\x04sess" + b"\x00\x04\x13\x01\x13\x02" + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    message = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message)) + message
