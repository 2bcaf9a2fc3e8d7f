"""What encoding and printing must know about each field: where it is, how wide, what its values are."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from patchbay.rules.model import Masked, Part, Range, Value
from patchbay.rules.words import CtDirection, Field, L4Proto, NfProto


class Source(Enum):
    """Where the kernel takes a field from; the name of the expression that loads it."""

    META = "meta"
    PAYLOAD_LINK = "payload, link header"
    PAYLOAD_NETWORK = "payload, network header"
    PAYLOAD_TRANSPORT = "payload, transport header"
    CONNTRACK = "ct"
    FIB = "fib"
    EXTENSION_HEADER = "exthdr"


class DataType(IntEnum):
    """What nft calls the type of a field; sets carry it, so that nft can print them."""

    INTEGER = 4
    NF_PROTO = 2
    IPV4_ADDR = 7
    IPV6_ADDR = 8
    ETHER_ADDR = 9
    INET_PROTO = 12
    INET_SERVICE = 13
    ICMP_TYPE = 14
    TCP_FLAG = 17
    MARK = 19
    CT_STATE = 26
    CT_DIR = 27
    CT_STATUS = 28
    ICMPV6_TYPE = 29
    BOOLEAN = 32
    ICMP_CODE = 33
    FIB_ADDR = 38
    IFNAME = 41
    ARPHRD = 42


@dataclass(frozen=True, slots=True)
class Layout:
    """How the kernel has a field."""

    source: Source
    place: int
    """Offset in the header, or number of the key."""
    length: int
    """Bytes."""
    type: DataType
    needs_network: NfProto | None = None
    needs_transport: L4Proto | None = None
    direction: CtDirection | None = None
    """Which direction of a connection it is of, where that makes a difference."""
    look_up: int = 0
    """What the routing table is asked for, in bits."""
    header: int = 0
    """Number of the extension header that it is in."""

    @property
    def network_order(self) -> bool:
        """Whether numbers are big-endian, as in a packet."""
        return self.type in (DataType.INET_SERVICE, DataType.IPV4_ADDR) or self.source in (
            Source.PAYLOAD_LINK,
            Source.PAYLOAD_NETWORK,
            Source.PAYLOAD_TRANSPORT,
        )


_T = Source.PAYLOAD_TRANSPORT
_N = Source.PAYLOAD_NETWORK
_C = Source.CONNTRACK
_ORIGINAL = CtDirection.ORIGINAL
_SOURCE, _DESTINATION, _INTERFACE, _WHETHER_THERE = 0x01, 0x02, 0x08, 0x20

LAYOUTS: dict[Field, Layout] = {
    Field.IIFNAME: Layout(Source.META, 6, 16, DataType.IFNAME),
    Field.IIFTYPE: Layout(Source.META, 8, 2, DataType.ARPHRD),
    Field.ETHER_SADDR: Layout(Source.PAYLOAD_LINK, 6, 6, DataType.ETHER_ADDR),
    Field.OIFNAME: Layout(Source.META, 7, 16, DataType.IFNAME),
    Field.NFPROTO: Layout(Source.META, 15, 1, DataType.NF_PROTO),
    Field.L4PROTO: Layout(Source.META, 16, 1, DataType.INET_PROTO),
    Field.IP_SADDR: Layout(_N, 12, 4, DataType.IPV4_ADDR, NfProto.IPV4),
    Field.IP_DADDR: Layout(_N, 16, 4, DataType.IPV4_ADDR, NfProto.IPV4),
    Field.IP6_SADDR: Layout(_N, 8, 16, DataType.IPV6_ADDR, NfProto.IPV6),
    Field.IP6_DADDR: Layout(_N, 24, 16, DataType.IPV6_ADDR, NfProto.IPV6),
    Field.TH_SPORT: Layout(_T, 0, 2, DataType.INET_SERVICE),
    Field.TH_DPORT: Layout(_T, 2, 2, DataType.INET_SERVICE),
    Field.TCP_SPORT: Layout(_T, 0, 2, DataType.INET_SERVICE, None, L4Proto.TCP),
    Field.TCP_DPORT: Layout(_T, 2, 2, DataType.INET_SERVICE, None, L4Proto.TCP),
    Field.TCP_FLAGS: Layout(_T, 13, 1, DataType.TCP_FLAG, None, L4Proto.TCP),
    Field.UDP_SPORT: Layout(_T, 0, 2, DataType.INET_SERVICE, None, L4Proto.UDP),
    Field.UDP_DPORT: Layout(_T, 2, 2, DataType.INET_SERVICE, None, L4Proto.UDP),
    Field.ICMP_TYPE: Layout(_T, 0, 1, DataType.ICMP_TYPE, None, L4Proto.ICMP),
    Field.ICMP_CODE: Layout(_T, 1, 1, DataType.ICMP_CODE, None, L4Proto.ICMP),
    Field.ICMPV6_TYPE: Layout(_T, 0, 1, DataType.ICMPV6_TYPE, None, L4Proto.ICMPV6),
    Field.CT_STATE: Layout(_C, 0, 4, DataType.CT_STATE),
    Field.CT_DIRECTION: Layout(_C, 1, 1, DataType.CT_DIR),
    Field.CT_STATUS: Layout(_C, 2, 4, DataType.CT_STATUS),
    Field.CT_MARK: Layout(_C, 3, 4, DataType.MARK),
    Field.CT_ORIGINAL_SADDR: Layout(_C, 19, 4, DataType.IPV4_ADDR, direction=_ORIGINAL),
    Field.CT_ORIGINAL_DADDR: Layout(_C, 20, 4, DataType.IPV4_ADDR, direction=_ORIGINAL),
    Field.CT_ORIGINAL_SPORT: Layout(_C, 11, 2, DataType.INET_SERVICE, direction=_ORIGINAL),
    Field.CT_ORIGINAL_DPORT: Layout(_C, 12, 2, DataType.INET_SERVICE, direction=_ORIGINAL),
    Field.FIB_DADDR_TYPE: Layout(Source.FIB, 3, 4, DataType.FIB_ADDR, look_up=_DESTINATION),
    Field.FIB_SADDR_IIF: Layout(
        Source.FIB, 1, 4, DataType.BOOLEAN, look_up=_SOURCE | _INTERFACE | _WHETHER_THERE
    ),
    Field.RT_TYPE: Layout(Source.EXTENSION_HEADER, 2, 1, DataType.INTEGER, NfProto.IPV6, header=43),
}

FLAG_FIELDS = frozenset({Field.CT_STATE, Field.CT_STATUS, Field.TCP_FLAGS})
"""Fields that are sets of bits: a match is of any of the bits, not of all."""

SIZE = 1 << 17
"""How many elements a set takes that rules fill: what there are ports of two protocols."""


def packed(field: Field, value: Value) -> bytes:
    """A value as the kernel compares it with the field.

    Raises:
        ValueError: the field cannot have such a value.
    """
    layout = LAYOUTS[field]
    match value:
        case IPv4Address() | IPv6Address():
            data = value.packed
        case str():
            data = value.encode().ljust(layout.length, b"\0")
            if layout.type is not DataType.IFNAME or data[-1:] != b"\0":
                raise _unfit(field, value)
        case int():
            if layout.type in (DataType.IFNAME, DataType.IPV4_ADDR, DataType.IPV6_ADDR):
                raise _unfit(field, value)
            try:
                data = value.to_bytes(
                    layout.length, "big" if layout.network_order else sys.byteorder
                )
            except OverflowError:
                raise _unfit(field, value) from None
        case _:
            raise _unfit(field, value)
    if len(data) != layout.length:
        raise _unfit(field, value)
    return data


def bounds(field: Field, value: Value) -> tuple[bytes, bytes]:
    """The first and the last of the values that a value stands for, packed.

    Raises:
        ValueError: the field cannot have such a value, or the last comes before the first.
    """
    if isinstance(value, IPv4Network | IPv6Network):
        return packed(field, value.network_address), packed(field, value.broadcast_address)
    if isinstance(value, Range):
        first, last = packed(field, value.first), packed(field, value.last)
        if first > last or not LAYOUTS[field].network_order:
            raise _unfit(field, value)
        return first, last
    only = packed(field, value)
    return only, only


def field_of(part: Part) -> Field:
    """The field that a part of a key is, or is some bits of."""
    return part.field if isinstance(part, Masked) else part


def words(parts: tuple[Part, ...]) -> int:
    """How many words of four bytes fields take when they are joined."""
    return sum(-(-LAYOUTS[field_of(part)].length // 4) for part in parts)


def flags(field: Field, values: tuple[Value, ...]) -> int:
    """The bits that a match of a field of `FLAG_FIELDS` is about.

    Raises:
        ValueError: they are no flags.
    """
    bits = 0
    for value in values:
        if not isinstance(value, IntFlag):
            raise _unfit(field, value)
        bits |= value
    return bits


def _unfit(field: Field, value: Value) -> ValueError:
    return ValueError(f"{field.value} is never {value!r}")
