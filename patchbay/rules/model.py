"""What nftables can be told, as frozen dataclasses: tables, sets, chains, rules and their parts.

The words are those of `nft(8)`, and are in `words`. A rule is a number of matches, all of which
must hold, and the statements that are then carried out in order. `text` prints a table as
`nft list ruleset` would, `encode` makes the kernel's messages out of it; nothing here knows either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntFlag
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from patchbay.rules.words import ChainType, Family, Field, Hook, Verdict


@dataclass(frozen=True, slots=True)
class Range:
    """All values from the first to the last, both included."""

    first: int | IPv4Address | IPv6Address
    last: int | IPv4Address | IPv6Address


Value = int | str | IPv4Address | IPv6Address | IPv4Network | IPv6Network | Range
"""One thing that a field can be; integers include the enumerations above, a network its prefix."""


@dataclass(frozen=True, slots=True)
class Match:
    """The field has one of these values, or, negated, none of them."""

    field: Field
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Masked:
    """Some bits of a field; the others are zero."""

    field: Field
    mask: int


Part = Field | Masked
"""What keys and values of sets are joined of."""


@dataclass(frozen=True, slots=True)
class Bits:
    """The masked field is this number."""

    part: Masked
    value: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A number that is drawn from as many, 0 being the first, is this one."""

    of: int
    value: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """The fields, joined, are in a set; or, negated, they are not."""

    fields: tuple[Part, ...]
    set: str
    negated: bool = False


Condition = Match | Bits | Drawn | Member
"""What must hold for the statements of a rule to be carried out."""


def match(field: Field, *values: Value) -> Match:
    """A match of a field against one or several values."""
    return Match(field, values)


def unless(field: Field, *values: Value) -> Match:
    """A match of a field that has none of these values."""
    return Match(field, values, negated=True)


@dataclass(frozen=True, slots=True)
class Counter:
    """Count the packets and bytes that come this far."""


@dataclass(frozen=True, slots=True)
class Log:
    """Send a copy of the packet to who listens to a group; nothing happens if nobody does."""

    group: int
    """From 0 to 65535, for each namespace by itself."""


class RejectWith(Enum):
    """How a packet is refused; `ICMPX_` answers in the version of IP that the packet is of."""

    TCP_RESET = "tcp reset"
    ICMPX_PORT_UNREACHABLE = "icmpx port-unreachable"
    ICMPX_HOST_UNREACHABLE = "icmpx host-unreachable"
    ICMPX_NO_ROUTE = "icmpx no-route"
    ICMPX_ADMIN_PROHIBITED = "icmpx admin-prohibited"
    ICMP_HOST_UNREACHABLE = "icmp host-unreachable"


@dataclass(frozen=True, slots=True)
class Reject:
    """Drop the packet and tell its sender.

    Only in inet tables can the answer be an `ICMPX_`, and not in chains of the hook postrouting.
    """

    reason: RejectWith = RejectWith.ICMPX_PORT_UNREACHABLE


class NatFlag(IntFlag):
    """How a translated port is chosen; none of these keeps the port where it is free."""

    RANDOM = 0x04
    PERSISTENT = 0x08
    FULLY_RANDOM = 0x10


NO_NAT_FLAGS = NatFlag(0)


@dataclass(frozen=True, slots=True)
class Snat:
    """Translate the source of a connection, and back for its replies."""

    address: IPv4Address | IPv6Address | Field
    """An address; or, to keep the one that the packet has, `Field.IP_SADDR`."""
    ports: int | Range | Field | None = None
    """What becomes of the port; a field says it itself, or, if it is longer, in its lower bits."""
    flags: NatFlag = NO_NAT_FLAGS


@dataclass(frozen=True, slots=True)
class Dnat:
    """Translate the destination of a connection, and back for its replies."""

    address: IPv4Address | IPv6Address | Found
    """An address; or an address and a port that are found in a map."""
    ports: int | Range | None = None
    flags: NatFlag = NO_NAT_FLAGS


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Translate the source of a connection to the address of the interface it leaves by."""

    ports: int | Range | None = None
    flags: NatFlag = NO_NAT_FLAGS


@dataclass(frozen=True, slots=True)
class Redirect:
    """Translate the destination of a connection to the machine itself."""

    ports: int | Range | None = None
    flags: NatFlag = NO_NAT_FLAGS


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on in another chain of the table, and come back at its end."""

    chain: str


@dataclass(frozen=True, slots=True)
class Goto:
    """Go on in another chain of the table; at its end, where this chain's end would lead."""

    chain: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a map has for the fields, joined. Where it has nothing, the rule ends."""

    fields: tuple[Part, ...]
    map: str


@dataclass(frozen=True, slots=True)
class PortOf:
    """A port of a packet as a number, with bits set above its sixteen."""

    field: Field
    above: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """One of the numbers from the first on, drawn or each in turn; shifted, with bits set."""

    first: int
    count: int
    random: bool = True
    shift: int = 0
    """Bits by which it is then shifted to the left."""
    above: int = 0
    """Bits that are then set."""


@dataclass(frozen=True, slots=True)
class Flipped:
    """The mark that the connection has, with these bits turned over."""

    bits: int


Number = Found | PortOf | Numbers | Flipped | int


@dataclass(frozen=True, slots=True)
class SetMark:
    """Give the connection a mark, which its later packets and rules see as `Field.CT_MARK`."""

    value: Number


class Operation(Enum):
    """What is done to an element of a dynamic set or map."""

    ADD = "add"
    """Make it, unless it is there; what is there stays as it is."""
    UPDATE = "update"
    """The same, and if it is there, its timeout begins anew."""
    DELETE = "delete"


class Company(Enum):
    """What an element that counts connections asks when a packet of one comes to it.

    It holds the connections that came to it, by being added or by being looked up, as long as the
    kernel tracks them, and goes with the last of them. A packet whose connection is not as it
    asks ends the rule there, and is counted all the same. What it asks is settled by the rule that
    makes the element; a rule that finds it made asks the same.
    """

    ALONE = "ct count"
    """Whether there is no other connection; or, of a limit, that there are no more than that."""
    OTHERS = "ct count over"
    """Whether there are other connections; or, of a limit, more than that."""


@dataclass(frozen=True, slots=True)
class Change:
    """Add or delete an element; the rule ends if the set is full.

    Attributes:
        operation: what to do.
        set: the name of a set or map.
        key: the fields that are the key, joined.
        data: for a map, the fields that are the value; deleting does not look at them.
        company: for an element that counts connections, whether they are to be one or several.
        timeout: seconds until it goes, if no update comes; the set must have timeouts.
        limit: of connections, this one included, that `company` is about.
    """

    operation: Operation
    set: str
    key: tuple[Part, ...]
    data: tuple[Part, ...] = ()
    company: Company | None = None
    timeout: int | None = None
    limit: int = 1


Statement = (
    Counter
    | Log
    | Verdict
    | Jump
    | Goto
    | Reject
    | Snat
    | Dnat
    | Masquerade
    | Redirect
    | SetMark
    | Change
)


@dataclass(frozen=True, slots=True)
class Rule:
    """When all matches hold, the statements are carried out in order."""

    matches: tuple[Condition, ...]
    statements: tuple[Statement, ...]
    comment: str | None = None
    """At most 127 bytes of UTF-8, for whoever lists the rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A base chain: packets come by at its hook, chains of lower priority first."""

    name: str
    type: ChainType
    hook: Hook
    priority: int
    policy: Verdict = Verdict.ACCEPT
    """What becomes of packets that no rule decided about."""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """A chain that packets come by only if a rule jumps or goes to it."""

    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """A set that rules fill; with data, a map.

    Attributes:
        name: unique in the table.
        key: the fields that make a key, joined.
        data: the fields that make a value, joined.
        timeout: seconds that an element stays if the rule that adds it says nothing else;
            None for a set without timeouts.
    """

    name: str
    key: tuple[Field, ...]
    data: tuple[Field, ...] = ()
    timeout: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Sets and chains that are put in place together."""

    family: Family
    name: str
    chains: tuple[Chain | Branch, ...] = ()
    sets: tuple[Set, ...] = ()
    """What is in them outlives a replacement of the table by one that has them too."""
