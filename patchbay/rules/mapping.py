"""External ports: who has which, by rules alone, for TCP and for UDP.

The kernel by itself makes translated flows differ in *some* way: two hosts may share an external
port as long as their peers differ. Then nobody can say whom a packet from a third one is for, and
whoever speaks to a common peer second is moved to another port. So the rules here give every
mapping (RFC 4787 4) a port of its own, and leave nothing to the kernel but the translation.

The first packet of a flow that leaves comes by; the others follow their flow. It looks for the
mapping of its key: the inside address and port and, where the mapping depends on it, the peer's
address and port. If there is none, it tries ports until it has one for itself. All this is in sets
that rules fill:

- `ports` is who holds what. Its elements count the connections that use a port (`ct count`): the
  first to be counted has won the port, and nobody wins it while one of them is alive. This is the
  one place where it is decided, in one step, so that no two packets on two processors both win.
- `mappings` has the port of a key, and counts the connections that use it; looking a dead one up
  finds nothing.
- `owners` has whom a port was given to last, for what comes from outside.
- `held` has ports of connections that were closed of late. The kernel remembers them for a while,
  and would take a new connection of another host for the old one. `closed` has whose they were.
- `permitted` has to which addresses a port has sent, for filtering by address.

Nothing here has a lifetime of its own. A mapping is alive as long as the kernel tracks one of its
connections, whatever their timeouts are and whoever forgets them; what is left of a dead one is
never used, but made anew. (The counters forget but a few dead connections at a time, so that a
mapping of very many may be taken for alive some seconds longer.) What has been found is kept in the mark of the connection: the number
of the protocol above sixteen bits of port.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from patchbay.rules.model import (
    Branch,
    Change,
    Company,
    Dnat,
    Found,
    Goto,
    Jump,
    Member,
    Numbers,
    Operation,
    PortOf,
    Range,
    Rule,
    Set,
    SetMark,
    Snat,
    Statement,
    match,
)
from patchbay.rules.words import CtState, Field, L4Proto, TcpFlag, Verdict
from patchbay.values import NatConfig, NatFiltering, NatMapping

PROTOCOLS = {"udp": L4Proto.UDP, "tcp": L4Proto.TCP}
"""The protocols whose ports are given out here, by the names of their chains."""

_INSIDE = (Field.IP_SADDR, Field.TH_SPORT)
_KEYS = {
    NatMapping.ENDPOINT_INDEPENDENT: (Field.L4PROTO, *_INSIDE),
    NatMapping.ADDRESS_DEPENDENT: (Field.L4PROTO, *_INSIDE, Field.CT_ORIGINAL_DADDR),
    NatMapping.ADDRESS_AND_PORT_DEPENDENT: (
        Field.L4PROTO,
        *_INSIDE,
        Field.CT_ORIGINAL_DADDR,
        Field.CT_ORIGINAL_DPORT,
    ),
}
"""What a mapping is for. A packet that turns back inside was sent to the outside address: that,
and not where it is going now, is what its connection says it was sent to."""

_MARK = (Field.CT_MARK,)
_SENDER = (Field.CT_MARK, Field.IP_SADDR)
_BEGINNER = (Field.CT_MARK, Field.CT_ORIGINAL_SADDR, Field.CT_ORIGINAL_SPORT)
_RECEIVER = (Field.CT_MARK, Field.CT_ORIGINAL_DADDR)

_LOW, _HIGH = (1, 1023), (1024, 65535)
_SCANNED = 128
"""Ranges up to this size are gone through from end to end; in others ports are drawn."""
_DRAWS = 6
"""Rounds of this many draws, and this many rounds: with nine ports of ten taken, one flow in
forty is turned away; with half of them taken, none."""
_HELD = 120
"""Seconds; as long as the kernel remembers a TCP connection that was closed."""


_WIN = Change(Operation.ADD, "ports", _MARK, company=Company.ALONE)
_FREE = Member(_MARK, "held", negated=True)
_TAKE: tuple[Statement, ...] = (_WIN, Goto("take"))


def sets(config: NatConfig) -> tuple[Set, ...]:
    """What the chains fill."""
    key = _KEYS[config.mapping]
    return (
        Set(name="ports", key=_MARK),
        Set(name="held", key=_MARK, timeout=_HELD),
        Set(name="closed", key=_BEGINNER, timeout=_HELD),
        Set(name="owners", key=_MARK, data=_INSIDE),
        Set(name="permitted", key=_SENDER),
        Set(name="mappings", key=key, data=_MARK),
    )


def hold() -> Rule:
    """For packets that are passed on: when a connection is closed, its port is held."""
    closing = match(Field.TCP_FLAGS, TcpFlag.FIN, TcpFlag.RST)
    known = match(Field.CT_STATE, CtState.ESTABLISHED)
    changes = (("held", _MARK), ("closed", _BEGINNER))
    updates = tuple(Change(Operation.UPDATE, name, key) for name, key in changes)
    return Rule((known, closing), updates)


def chains(config: NatConfig, address: IPv4Address) -> tuple[Branch, ...]:
    """The chains that a packet to the uplink goes to: the one named as its protocol.

    If others may send to a mapping, there are those for packets from there as well, `udp_in` and
    `tcp_in`; and if hosts inside may, `udp_back` and `tcp_back`.
    """
    key = _KEYS[config.mapping]
    return (
        *(chain for name in PROTOCOLS for chain in _outbound(config, name, key)),
        _take(key),
        _use(config, address),
        *_inbound(config),
    )


def _outbound(config: NatConfig, name: str, key: tuple[Field, ...]) -> Iterator[Branch]:
    above = PROTOCOLS[name] << 16
    first, last = config.ports or _HIGH
    yield Branch(
        name,
        (
            Rule((Member(key, "mappings", negated=True),), (Goto(f"{name}_new"),)),
            Rule((), (SetMark(Found(key, "mappings")), Goto("use"))),
            Rule((), (Change(Operation.DELETE, "mappings", key, _MARK), Goto(f"{name}_new"))),
        ),
    )
    rules: list[Rule] = []
    if config.mapping is NatMapping.ENDPOINT_INDEPENDENT:
        chosen = SetMark(PortOf(Field.TH_SPORT, above))
        where = () if config.ports is None else (match(Field.TH_SPORT, Range(first, last)),)
        rules += [
            Rule(where, (chosen,)),
            Rule((*where, Member(_BEGINNER, "closed")), _TAKE),
            Rule((*where, _FREE), _TAKE),
        ]
    if config.ports is None:
        low = match(Field.TH_SPORT, Range(0, _LOW[1]))
        rules += [Rule((low,), (Jump(f"{name}_low"),))] * _DRAWS
        rules.append(Rule((low,), (Verdict.DROP,), "no port is left"))
        yield _pick(f"{name}_low", _numbers(*_LOW, above))
    numbers = _numbers(first, last, above)
    yield _pick(f"{name}_pick", numbers)
    if numbers.random:
        yield Branch(f"{name}_draw", (Rule((), (Jump(f"{name}_pick"),)),) * _DRAWS)
        rules += [Rule((), (Jump(f"{name}_draw"),))] * _DRAWS
    else:
        rules += [Rule((), (Jump(f"{name}_pick"),))] * numbers.count
    rules.append(Rule((), (Verdict.DROP,), "no port is left"))
    yield Branch(f"{name}_new", tuple(rules))


def _numbers(first: int, last: int, above: int) -> Numbers:
    count = last - first + 1
    return Numbers(above | first, count, random=count > _SCANNED)


def _pick(name: str, numbers: Numbers) -> Branch:
    return Branch(name, (Rule((), (SetMark(numbers),)), Rule((_FREE,), _TAKE)))


def _take(key: tuple[Field, ...]) -> Branch:
    """The port is won: write down whose it is, unless another packet has just won one for it."""
    meet = Change(Operation.ADD, "mappings", key, _MARK, company=Company.OTHERS)
    return Branch(
        "take",
        (
            Rule((), (meet, SetMark(Found(key, "mappings")), Goto("use"))),
            Rule(
                (),
                (
                    Change(Operation.DELETE, "owners", _MARK, _INSIDE),
                    Change(Operation.ADD, "owners", _MARK, _INSIDE),
                    Goto("use"),
                ),
            ),
        ),
    )


def _use(config: NatConfig, address: IPv4Address) -> Branch:
    """The port is known: count the connection, note the peer, translate."""
    notes = [Rule((), (_count("ports", _MARK),))]
    if config.filtering is NatFiltering.ADDRESS_DEPENDENT:
        notes.append(Rule((), (_count("permitted", _RECEIVER),)))
    return Branch("use", (*notes, Rule((), (Snat(address, Field.CT_MARK),))))


def _count(name: str, key: tuple[Field, ...]) -> Change:
    return Change(Operation.ADD, name, key, company=Company.ALONE)


def _inbound(config: NatConfig) -> Iterator[Branch]:
    """What belongs to no flow: to the owner of a port that is alive, if the sender may."""
    open_ = config.filtering is not NatFiltering.ADDRESS_AND_PORT_DEPENDENT
    for name, protocol in PROTOCOLS.items():
        marked = Rule((), (SetMark(PortOf(Field.TH_DPORT, protocol << 16)),))
        deliver = Rule((), (Goto("deliver"),))
        if open_:
            filters = _filters() if config.filtering is NatFiltering.ADDRESS_DEPENDENT else ()
            yield Branch(f"{name}_in", (marked, *filters, deliver))
        if config.hairpin:
            yield Branch(f"{name}_back", (marked, deliver))
    if open_ or config.hairpin:
        yield Branch(
            "deliver",
            (
                *_alive("ports", _MARK),
                Rule((), (Dnat(Found(_MARK, "owners")),)),
            ),
        )


def _filters() -> tuple[Rule, ...]:
    return _alive("permitted", _SENDER)


def _alive(name: str, key: tuple[Field, ...]) -> tuple[Rule, ...]:
    """Go no further unless a set has an element with a connection that is alive.

    One without is deleted: its only connection would be this one, which leads nowhere.
    """
    alone = _count(name, key)
    forget = Change(Operation.DELETE, name, key)
    return (
        Rule((Member(key, name, negated=True),), (Verdict.ACCEPT,), "unasked"),
        Rule((), (alone, forget, Verdict.ACCEPT), "no connection of it is alive"),
    )
