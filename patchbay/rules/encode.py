"""Tables as the messages that make them (`linux/netfilter/nf_tables.h`): pure, from values to bytes."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from patchbay.rules.expressions import (
    AT_LEAST,
    AT_MOST,
    EQUAL,
    FIRST,
    NOT_EQUAL,
    compare,
    constant,
    expression,
    load,
    load_drawn,
    load_joined,
    load_part,
    mask,
    number,
)
from patchbay.rules.fields import (
    FLAG_FIELDS,
    LAYOUTS,
    SIZE,
    Source,
    bounds,
    field_of,
    flags,
    words,
)
from patchbay.rules.model import (
    Bits,
    Branch,
    Chain,
    Change,
    Dnat,
    Drawn,
    Found,
    Match,
    Member,
    Part,
    PortOf,
    Rule,
    Set,
    SetMark,
    Table,
)
from patchbay.rules.statements import encoded
from patchbay.rules.words import Family, Field, Hook, InterfaceType, L4Proto, NfProto, Verdict
from patchbay.wiring.netlink import (
    NFGENMSG,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Message,
    attribute,
    be32,
    nested,
    text,
)

_SUBSYSTEM = 10 << 8
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = (_SUBSYSTEM | number for number in (0, 2, 3, 6))
_DELCHAIN, _DELRULE = (_SUBSYSTEM | number for number in (5, 8))
_NEWSET, _NEWSETELEM, _DELSET, _DELSETELEM = (_SUBSYSTEM | number for number in (9, 12, 11, 14))
_FAMILIES = {Family.INET: 1, Family.IP: 2, Family.IP6: 10}
_VERDICTS = {Verdict.DROP: 0, Verdict.ACCEPT: 1}
_HOOKS = {hook: number for number, hook in enumerate(Hook)}
_ELEMENT = 1
_ANONYMOUS_CONSTANT, _INTERVAL, _INTERVAL_END = 0x3, 0x4, 0x1
_MAP, _TIMEOUT, _DYNAMIC = 0x8, 0x10, 0x20
_TYPE_BITS = 6
_AT_ONCE = 1000
"""Elements in one message; an attribute has room for 64 KiB."""
_IN_HOST_ORDER, _IN_NETWORK_ORDER = 1, 2
_NONE: AbstractSet[str] = frozenset()
_SET_NAME = "__set%d"
"""The kernel puts a number in; within the transaction a set is known by its id."""


def replacement(old: Iterable[Table], new: Iterable[Table]) -> list[Message]:
    """The messages of one transaction that puts new tables in place of old ones.

    A table is made before it is deleted, which changes nothing if it is there and lets the
    deletion succeed if it is not. A table with sets is not deleted: the sets and chains that it has
    in common with the old one stay, with what is in them, and the rest is made anew.
    """
    before = {(table.family, table.name): table for table in old}
    after = {(table.family, table.name): table for table in new}
    messages: list[Message] = []
    for key in {**before, **after}:
        had, wanted = before.get(key), after.get(key)
        if had is not None and wanted is not None and wanted.sets:
            messages += _replaced(had, wanted)
        else:
            messages += _cleared(*key)
            messages += [] if wanted is None else encode(wanted)
    return messages


def _replaced(old: Table, new: Table) -> Iterator[Message]:
    """The messages that make a table out of an old one of its name: of what differs alone.

    A chain that stays may be led to by rules, and a set that goes may not be named by any: so rules
    go first, then chains and sets, and come last.
    """
    sets = {each.name for each in old.sets if each in new.sets}
    chains = {chain.name: chain for chain in old.chains}
    same = {
        chain.name
        for chain in new.chains
        if chain == chains.get(chain.name) and sets.issuperset(_sets_of(chain))
    }
    stay = {chain.name for chain in new.chains if _alike(chain, chains.get(chain.name))}
    yield from _Encoder(old).reduced(sets, stay, same)
    yield from _Encoder(new).messages(sets, stay, same)


def _alike(chain: Chain | Branch, other: Chain | Branch | None) -> bool:
    """Whether a chain differs from another one by nothing but its rules."""
    return other is not None and replace(other, rules=chain.rules) == chain


def _sets_of(chain: Chain | Branch) -> Iterator[str]:
    """The names of the sets that rules of a chain look at and fill."""
    for rule in chain.rules:
        for part in (*rule.matches, *rule.statements):
            match part:
                case Member(set=name) | Change(set=name):
                    yield name
                case SetMark(value=Found(map=name)) | Dnat(address=Found(map=name)):
                    yield name


def emptied(tables: Iterable[Table], keep: Collection[str] = ()) -> list[Message]:
    """The messages of a transaction that takes everything out of the sets that rules filled.

    Args:
        tables: whose sets.
        keep: the names of sets that stay as they are.
    """
    return [message for table in tables for message in _Encoder(table).without_elements(keep)]


def filled(table: Table, name: str, keys: Iterable[bytes]) -> list[Message]:
    """The messages of a transaction that puts elements into a set that rules fill."""
    return list(_Encoder(table).with_elements(name, keys))


def _cleared(family: Family, name: str) -> Iterator[Message]:
    body = NFGENMSG.pack(_FAMILIES[family], 0, 0) + text(1, name)
    what = f"table {family.value} {name}"
    yield Message(_NEWTABLE, NLM_F_CREATE, body, f"make the {what}")
    yield Message(_DELTABLE, 0, body, f"delete the {what}")


def encode(table: Table) -> list[Message]:
    """The messages that make a table, its chains and their rules, in order.

    Raises:
        ValueError: something in it is no valid rule; says what.
    """
    return list(_Encoder(table).messages())


@dataclass(slots=True)
class _Encoder:
    table: Table
    sets: int = 0

    def messages(
        self,
        sets: AbstractSet[str] = _NONE,
        chains: AbstractSet[str] = _NONE,
        same: AbstractSet[str] = _NONE,
    ) -> Iterator[Message]:
        """The messages that make the table.

        Args:
            sets: those that are there already.
            chains: those that are there already.
            same: chains that have their rules already.
        """
        name = f"{self.table.family.value} {self.table.name}"
        yield self._message(_NEWTABLE, text(1, self.table.name), f"make the table {name}")
        for each in self.table.sets:
            if each.name not in sets:
                yield self._message(_NEWSET, self._dynamic(each), f"make {each.name} of {name}")
        for chain in self.table.chains:
            if chain.name not in chains:
                asks = f"make the chain {chain.name} of {name}"
                yield self._message(_NEWCHAIN, self._chain(chain), asks)
        for chain in self.table.chains:
            if chain.name in same:
                continue
            for position, rule in enumerate(chain.rules, 1):
                yield from self._rule(chain, rule, f"add rule {position} of {chain.name} in {name}")

    def reduced(
        self, sets: AbstractSet[str], chains: AbstractSet[str], same: AbstractSet[str]
    ) -> Iterator[Message]:
        """The messages that leave nothing of the table but some of its sets and chains.

        Args:
            sets: those that stay.
            chains: those that stay.
            same: chains that keep their rules.
        """
        body = text(1, self.table.name)
        for chain in self.table.chains:
            if chain.rules and chain.name not in same:
                asks = f"delete the rules of {chain.name} of {self.table.name}"
                yield self._message(_DELRULE, body + text(2, chain.name), asks, 0)
        for chain in self.table.chains:
            if chain.name not in chains:
                asks = f"delete the chain {chain.name} of {self.table.name}"
                yield self._message(_DELCHAIN, body + text(3, chain.name), asks, 0)
        for each in self.table.sets:
            if each.name not in sets:
                asks = f"delete the set {each.name} of {self.table.name}"
                yield self._message(_DELSET, body + text(2, each.name), asks, 0)

    def without_elements(self, keep: Collection[str]) -> Iterator[Message]:
        """The messages that empty the table's sets, but for some."""
        for each in self.table.sets:
            if each.name in keep:
                continue
            body = text(1, self.table.name) + text(2, each.name)
            yield self._message(_DELSETELEM, body, f"empty {each.name} of {self.table.name}", 0)

    def with_elements(self, name: str, keys: Iterable[bytes]) -> Iterator[Message]:
        """The messages that put elements into a set of the table."""
        elements = [nested(_ELEMENT, constant(1, key)) for key in keys]
        for first in range(0, len(elements), _AT_ONCE):
            some = elements[first : first + _AT_ONCE]
            body = text(1, self.table.name) + text(2, name) + nested(3, *some)
            yield self._message(_NEWSETELEM, body, f"fill {name} of {self.table.name}")

    def _message(self, kind: int, body: bytes, asks: str, flags: int = NLM_F_CREATE) -> Message:
        return Message(kind, flags, NFGENMSG.pack(_FAMILIES[self.table.family], 0, 0) + body, asks)

    def _chain(self, chain: Chain | Branch) -> bytes:
        if isinstance(chain, Branch):
            return text(1, self.table.name) + text(3, chain.name)
        return (
            text(1, self.table.name)
            + text(3, chain.name)
            + nested(4, be32(1, _HOOKS[chain.hook]), be32(2, chain.priority))
            + be32(5, _VERDICTS[chain.policy])
            + text(7, chain.type.value)
        )

    def _dynamic(self, made: Set) -> bytes:
        """A set that rules fill. The ids of sets are of use to anonymous ones alone."""
        self.sets += 1
        flags = _DYNAMIC
        body = text(1, self.table.name) + text(2, made.name)
        body += be32(4, _joined_type(made.key)) + be32(5, 4 * words(made.key))
        if made.data:
            flags |= _MAP
            body += be32(6, _joined_type(made.data)) + be32(7, 4 * words(made.data))
        if made.timeout is not None:
            flags |= _TIMEOUT
            body += attribute(11, (1000 * made.timeout).to_bytes(8, "big"))
        body += attribute(13, _order(0, made.key) + (_order(1, made.data) if made.data else b""))
        return body + be32(3, flags) + nested(9, be32(1, SIZE)) + be32(10, self.sets)

    def _rule(self, chain: Chain | Branch, rule: Rule, asks: str) -> Iterator[Message]:
        expressions: list[bytes] = []
        known: set[NfProto | L4Proto] = set()
        for match in rule.matches:
            if not isinstance(match, Match):
                for part in match.fields if isinstance(match, Member) else ():
                    expressions += self._implied(field_of(part), known)
                expressions += _condition(match)
                continue
            expressions += self._implied(match.field, known)
            if match.field is Field.L4PROTO and len(match.values) == 1 and not match.negated:
                known.update(value for value in match.values if isinstance(value, L4Proto))
            if len(match.values) > 1 and match.field not in FLAG_FIELDS:
                yield from self._set(match, asks)
                expressions += (load(match.field), self._lookup(match))
            else:
                expressions += _comparison(match)
        for statement in rule.statements:
            if isinstance(statement, Change):
                for part in statement.key:
                    expressions += self._implied(field_of(part), known)
            if isinstance(statement, SetMark) and isinstance(statement.value, PortOf):
                expressions += self._implied(statement.value.field, known)
            expressions += encoded(statement)
        body = text(1, self.table.name) + text(2, chain.name)
        body += nested(4, *(attribute(_ELEMENT | 0x8000, one) for one in expressions))
        if rule.comment is not None:
            comment = rule.comment.encode() + b"\0"
            if len(comment) > 128:
                raise ValueError(f"a comment has at most 127 bytes, not as {rule.comment!r}")
            body += attribute(7, bytes((0, len(comment))) + comment)
        yield self._message(_NEWRULE, body, asks, NLM_F_CREATE | NLM_F_APPEND)

    def _implied(self, field: Field, known: set[NfProto | L4Proto]) -> Iterator[bytes]:
        """What must hold for the field to be in the packet at all."""
        layout = LAYOUTS[field]
        if layout.source is Source.PAYLOAD_LINK:
            yield from _comparison(Match(Field.IIFTYPE, (InterfaceType.ETHER,)))
        if layout.needs_network is not None and layout.needs_network not in known:
            known.add(layout.needs_network)
            if self.table.family is Family.INET:
                yield from _comparison(Match(Field.NFPROTO, (layout.needs_network,)))
            elif _FAMILIES[self.table.family] != layout.needs_network:
                raise ValueError(f"there is no {field.value} in a {self.table.family.value} table")
        if layout.needs_transport is not None and layout.needs_transport not in known:
            known.add(layout.needs_transport)
            yield from _comparison(Match(Field.L4PROTO, (layout.needs_transport,)))

    def _set(self, match: Match, asks: str) -> Iterator[Message]:
        """An anonymous set of the values; as intervals if any of them is more than one."""
        self.sets += 1
        layout = LAYOUTS[match.field]
        pairs = sorted(bounds(match.field, value) for value in match.values)
        interval = any(first != last for first, last in pairs)
        body = text(1, self.table.name) + text(2, _SET_NAME)
        body += be32(3, _ANONYMOUS_CONSTANT | (_INTERVAL if interval else 0))
        body += be32(4, layout.type) + be32(5, layout.length) + be32(10, self.sets)
        body += attribute(13, _order(0, (match.field,)))
        yield self._message(_NEWSET, body, asks)
        elements = _intervals(pairs) if interval else [_key(first) for first, _ in pairs]
        body = text(1, self.table.name) + text(2, _SET_NAME) + be32(4, self.sets)
        body += nested(3, *(nested(_ELEMENT, element) for element in elements))
        yield self._message(_NEWSETELEM, body, asks)

    def _lookup(self, match: Match) -> bytes:
        parts = [text(1, _SET_NAME), be32(2, FIRST), be32(4, self.sets)]
        return expression("lookup", *parts, *([be32(5, 1)] if match.negated else []))


def _order(kind: int, parts: tuple[Part, ...]) -> bytes:
    """The order of bytes, which the kernel keeps for nft, which could not print a set without."""
    in_network_order = LAYOUTS[field_of(parts[0])].network_order
    order = _IN_NETWORK_ORDER if in_network_order else _IN_HOST_ORDER
    return bytes((kind, 4)) + order.to_bytes(4, sys.byteorder)


def _joined_type(parts: tuple[Part, ...]) -> int:
    """The number by which nft knows a type that is joined of several."""
    joined = 0
    for part in parts:
        joined = joined << _TYPE_BITS | LAYOUTS[field_of(part)].type
    return joined


def _condition(condition: Bits | Drawn | Member) -> Iterator[bytes]:
    """Leave the rule unless it holds."""
    match condition:
        case Member(fields=fields, set=name, negated=negated):
            yield from load_joined(fields)
            inverted = [be32(5, 1)] if negated else []
            yield expression("lookup", text(1, name), be32(2, FIRST), *inverted)
        case Bits(part=part, value=value):
            yield from load_part(part)
            yield compare(EQUAL, number(part.field, value))
        case Drawn(value=value):
            yield load_drawn(condition)
            yield compare(EQUAL, value.to_bytes(4, sys.byteorder))


def _key(data: bytes, *, end: bool = False) -> bytes:
    return constant(1, data) + (be32(3, _INTERVAL_END) if end else b"")


def _intervals(pairs: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Where intervals begin and end, from the lowest value on; what touches becomes one."""
    merged: list[tuple[int, int]] = []
    length = len(pairs[0][0])
    for first, last in pairs:
        low, high = int.from_bytes(first, "big"), int.from_bytes(last, "big")
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    if merged[0][0] > 0:
        yield _key(bytes(length), end=True)
    for low, high in merged:
        yield _key(low.to_bytes(length, "big"))
        if high + 1 < 1 << 8 * length:
            yield _key((high + 1).to_bytes(length, "big"), end=True)


@lru_cache(maxsize=1024)
def _comparison(match: Match) -> tuple[bytes, ...]:
    """Load the field, then leave the rule unless it has the one value."""
    return tuple(_compared(match))


def _compared(match: Match) -> Iterator[bytes]:
    if not match.values:
        raise ValueError(f"a match of {match.field.value} needs a value")
    length = LAYOUTS[match.field].length
    yield load(match.field)
    if match.field in FLAG_FIELDS:
        yield mask(flags(match.field, match.values).to_bytes(length, sys.byteorder))
        yield compare(EQUAL if match.negated else NOT_EQUAL, bytes(length))
        return
    (value,) = match.values
    first, last = bounds(match.field, value)
    operation = NOT_EQUAL if match.negated else EQUAL
    if isinstance(value, IPv4Network | IPv6Network) and value.prefixlen < value.max_prefixlen:
        yield mask(value.netmask.packed)
        yield compare(operation, first)
    elif first == last:
        yield compare(operation, first)
    elif match.negated:
        yield expression(
            "range", be32(1, FIRST), be32(2, NOT_EQUAL), constant(3, first), constant(4, last)
        )
    else:
        yield compare(AT_LEAST, first)
        yield compare(AT_MOST, last)
