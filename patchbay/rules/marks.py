"""What the rules of NAT write down about a connection, and the sets that they keep it in.

The mark of a connection is its outside endpoint: sixteen bits of port, above them the number of the
protocol, above that the number of the address among those that are shared out.
"""

from __future__ import annotations

from patchbay.rules.model import Change, Company, Masked, Operation, Part
from patchbay.rules.words import Field, L4Proto
from patchbay.values import NatConfig, NatMapping

PROTOCOLS = {"udp": L4Proto.UDP, "tcp": L4Proto.TCP}
"""The protocols whose ports are given out by rules, by the names of their chains."""

MARK = (Field.CT_MARK,)
INSIDE = (Field.IP_SADDR, Field.TH_SPORT)
HOST = (Field.L4PROTO, Field.IP_SADDR)
"""An inside host, for each protocol by itself."""
SENDER = (Field.CT_MARK, Field.IP_SADDR)
BEGINNER = (Field.CT_MARK, Field.CT_ORIGINAL_SADDR, Field.CT_ORIGINAL_SPORT)
PEER = (Field.CT_MARK, Field.CT_ORIGINAL_DADDR, Field.CT_ORIGINAL_DPORT)
RECEIVER = (Field.CT_MARK, Field.CT_ORIGINAL_DADDR)

FLOW = (*INSIDE, Field.CT_ORIGINAL_DADDR, Field.CT_ORIGINAL_DPORT)
"""An inside endpoint and its peer."""

KEYS = {
    NatMapping.ENDPOINT_INDEPENDENT: INSIDE,
    NatMapping.ADDRESS_DEPENDENT: (*INSIDE, Field.CT_ORIGINAL_DADDR),
    NatMapping.ADDRESS_AND_PORT_DEPENDENT: FLOW,
}
"""What a mapping is for. A packet that turns back inside was sent to the outside address: that,
and not where it is going now, is what its connection says it was sent to."""

_INSIDE_OF_ARRIVING = (Field.IP_DADDR, Field.TH_DPORT)
KEYS_OF_ARRIVING = {
    NatMapping.ENDPOINT_INDEPENDENT: _INSIDE_OF_ARRIVING,
    NatMapping.ADDRESS_DEPENDENT: (*_INSIDE_OF_ARRIVING, Field.IP_SADDR),
    NatMapping.ADDRESS_AND_PORT_DEPENDENT: (*_INSIDE_OF_ARRIVING, Field.IP_SADDR, Field.TH_SPORT),
}
"""The same, of a packet that came from outside and is on its way to the inside endpoint."""

ADDRESS_SHIFT, _PROTOCOL_SHIFT = 24, 16
ADDRESS = Masked(Field.CT_MARK, 0xFF << ADDRESS_SHIFT)
"""Which of the outside addresses it is."""


def bits(protocol: L4Proto, index: int = 0) -> int:
    """The bits of a mark above the port.

    Args:
        protocol: of the connection.
        index: of the outside address, the uplink's own being the first.
    """
    return address_bits(index) | protocol << _PROTOCOL_SHIFT


def address_bits(index: int) -> int:
    """The bits of a mark that say which outside address it is."""
    return index << ADDRESS_SHIFT


def forwarded(config: NatConfig, name: str) -> tuple[int, ...]:
    """The marks of the ports of a protocol that lead to a host for good."""
    above = bits(PROTOCOLS[name])
    return tuple(above | each.port for each in config.forwards if each.protocol == name)


def block_of(size: int) -> Masked:
    """The first port of the block that a mark's port is in, as a mark."""
    return Masked(Field.CT_MARK, 0xFFFFFFFF & -size)


def counted(name: str, key: tuple[Part, ...]) -> Change:
    """Count the connection in the element of a key; the rule goes on if it is the only one.

    What an element asks is settled when it is made: all rules must ask the same of a set.
    """
    return Change(Operation.ADD, name, key, company=Company.ALONE)


def counted_among(name: str, key: tuple[Part, ...], data: tuple[Part, ...] = ()) -> Change:
    """Count the connection in the element of a key; the rule goes on if there are others."""
    return Change(Operation.ADD, name, key, data, company=Company.OTHERS)
