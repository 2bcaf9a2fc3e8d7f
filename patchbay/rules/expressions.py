"""The expressions that rules are made of (`linux/netfilter/nf_tables.h`), one by one, as bytes.

A rule works on sixteen registers of four bytes. What is joined lies in neighbouring ones, each part
beginning a register of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import lru_cache

from patchbay.rules.fields import LAYOUTS, Source, field_of, words
from patchbay.rules.model import Drawn, Flipped, Found, Masked, Numbers, Part, PortOf
from patchbay.rules.words import Field
from patchbay.wiring.netlink import attribute, be32, nested, text, u8

FIRST = 8
"""The register that matches and keys begin at."""
SECOND = 16
"""The register that what belongs to a key begins at."""

EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST = 0, 1, 3, 5

_NETWORK_TO_HOST, _HOST_TO_NETWORK = 0, 1
_PORT_BYTES = 2
_BASES = {Source.PAYLOAD_LINK: 0, Source.PAYLOAD_NETWORK: 1, Source.PAYLOAD_TRANSPORT: 2}


def expression(name: str, *parts: bytes) -> bytes:
    """An expression, to be put into an attribute."""
    return text(1, name) + nested(2, *parts)


def constant(kind: int, data: bytes) -> bytes:
    """An attribute that holds a constant."""
    return nested(kind, attribute(1, data))


@lru_cache(maxsize=512)
def load(field: Field, register: int = FIRST) -> bytes:
    """Put a field into a register."""
    layout = LAYOUTS[field]
    match layout.source:
        case Source.META:
            return expression("meta", be32(1, register), be32(2, layout.place))
        case Source.CONNTRACK:
            way = () if layout.direction is None else (u8(3, layout.direction),)
            return expression("ct", be32(1, register), be32(2, layout.place), *way)
        case Source.FIB:
            return expression(
                "fib", be32(1, register), be32(2, layout.place), be32(3, layout.look_up)
            )
        case Source.EXTENSION_HEADER:
            return expression(
                "exthdr",
                be32(1, register),
                u8(2, layout.header),
                be32(3, layout.place),
                be32(4, layout.length),
            )
        case Source.PAYLOAD_LINK | Source.PAYLOAD_NETWORK | Source.PAYLOAD_TRANSPORT:
            base = _BASES[layout.source]
            return expression(
                "payload",
                be32(1, register),
                be32(2, base),
                be32(3, layout.place),
                be32(4, layout.length),
            )


def load_joined(parts: tuple[Part, ...], register: int = FIRST) -> Iterator[bytes]:
    """Put fields into neighbouring registers."""
    for part in parts:
        yield from load_part(part, register)
        register += words((part,))


def load_part(part: Part, register: int = FIRST) -> Iterator[bytes]:
    """Put a field, or some bits of it, into a register."""
    yield load(field_of(part), register)
    if isinstance(part, Masked):
        yield mask(number(part.field, part.mask), register=register)


def load_drawn(drawn: Drawn, register: int = FIRST) -> bytes:
    """Draw a number into a register."""
    return _numgen(0, drawn.of, register=register, random=True)


def load_found(found: Found, register: int, spare: int) -> Iterator[bytes]:
    """Put what a map has into registers, or leave the rule; the key goes to spare ones."""
    yield from load_joined(found.fields, spare)
    yield expression("lookup", text(1, found.map), be32(2, spare), be32(3, register))


def load_port(field: Field, register: int = FIRST) -> Iterator[bytes]:
    """Put the port that the lower bits of a field say into a register, as packets have it."""
    yield load(field, register)
    if not LAYOUTS[field].network_order:
        yield _swap(register, _HOST_TO_NETWORK)


def load_number(what: PortOf | Numbers | Flipped | int, register: int = FIRST) -> Iterator[bytes]:
    """Put a number into a register."""
    match what:
        case PortOf(field=field, above=above):
            yield load(field, register)
            yield _swap(register, _NETWORK_TO_HOST)
            yield _set_bits(above, register)
        case Numbers(first=first, count=count, random=random, shift=shift, above=above):
            yield _numgen(first, count, register=register, random=random)
            if shift:
                yield _shift(shift, register)
            if above:
                yield _set_bits(above, register)
        case Flipped(bits=bits):
            yield load(Field.CT_MARK, register)
            kept = (0xFFFFFFFF).to_bytes(4, sys.byteorder)
            yield mask(kept, bits.to_bytes(4, sys.byteorder), register)
        case int():
            yield immediate(register, what.to_bytes(4, sys.byteorder))


def number(field: Field, value: int) -> bytes:
    """A number as the kernel compares it with the field."""
    layout = LAYOUTS[field]
    return value.to_bytes(layout.length, "big" if layout.network_order else sys.byteorder)


def compare(operation: int, data: bytes) -> bytes:
    """Leave the rule unless the first register compares with a constant."""
    return expression("cmp", be32(1, FIRST), be32(2, operation), constant(3, data))


def mask(kept: bytes, flipped: bytes | None = None, register: int = FIRST) -> bytes:
    """Keep some bits of a register, then flip some."""
    return expression(
        "bitwise",
        be32(1, register),
        be32(2, register),
        be32(3, len(kept)),
        constant(4, kept),
        constant(5, bytes(len(kept)) if flipped is None else flipped),
    )


def immediate(register: int, data: bytes) -> bytes:
    """Put a constant into a register."""
    return expression("immediate", be32(1, register), constant(2, data))


@lru_cache(maxsize=512)
def verdict(code: int, chain: str | None = None) -> bytes:
    """Decide, or go on in another chain."""
    where = () if chain is None else (text(2, chain),)
    return expression("immediate", be32(1, 0), nested(2, nested(2, be32(1, code), *where)))


def _numgen(first: int, count: int, *, register: int, random: bool) -> bytes:
    return expression("numgen", be32(1, register), be32(2, count), be32(3, random), be32(4, first))


def _set_bits(bits: int, register: int) -> bytes:
    kept = ~bits & 0xFFFFFFFF
    return mask(kept.to_bytes(4, sys.byteorder), bits.to_bytes(4, sys.byteorder), register)


def _shift(by: int, register: int) -> bytes:
    """Shift a register of four bytes to the left."""
    to_the_left = 1
    return expression(
        "bitwise",
        be32(1, register),
        be32(2, register),
        be32(3, 4),
        be32(6, to_the_left),
        constant(7, by.to_bytes(4, sys.byteorder)),
    )


def _swap(register: int, operation: int) -> bytes:
    """Turn a port from one order of bytes to the other, in the register's first two bytes."""
    return expression(
        "byteorder",
        be32(1, register),
        be32(2, register),
        be32(3, operation),
        be32(4, _PORT_BYTES),
        be32(5, _PORT_BYTES),
    )
