"""Who may send to a port of the LAN that has sent to the uplink (RFC 6092 REC-17, REC-33).

A connection that leaves is noted with its inside address and port, and the peer's address where
that matters. What comes from the uplink and belongs to no connection may pass if there is such a
note, and one of the connections that made it is still tracked: so the notes need no lifetimes of
their own. `Company` tells how connections are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from patchbay.rules.model import (
    Branch,
    Chain,
    Change,
    Company,
    Goto,
    Match,
    Member,
    Operation,
    Rule,
    Set,
    match,
)
from patchbay.rules.words import (
    ChainType,
    CtState,
    Field,
    Hook,
    L4Proto,
    NfProto,
    Priority,
    Verdict,
)
from patchbay.values import NatFiltering


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of IP, and its fields."""

    set: str
    network: NfProto
    source: Field
    destination: Field


_VERSIONS = (
    _Version("opened", NfProto.IPV4, Field.IP_SADDR, Field.IP_DADDR),
    _Version("opened6", NfProto.IPV6, Field.IP6_SADDR, Field.IP6_DADDR),
)
_WITH_PORTS = match(Field.L4PROTO, L4Proto.TCP, L4Proto.UDP)


def sets(filtering: NatFiltering) -> tuple[Set, ...]:
    """Where the notes are."""
    return tuple(Set(name=each.set, key=_outbound(each, filtering)) for each in _VERSIONS)


def notes(filtering: NatFiltering, wan: str) -> Iterator[Chain | Branch]:
    """The chains that take note of what leaves, after it has been let out."""
    # Most packets are not new: that is asked first.
    leaving = match(Field.CT_STATE, CtState.NEW), match(Field.OIFNAME, wan), _WITH_PORTS
    yield Chain(
        name="opened_by",
        type=ChainType.FILTER,
        hook=Hook.FORWARD,
        priority=Priority.FILTER + 1,
        rules=(Rule(leaving, (Goto("note"),)),),
    )
    noted = (
        Change(Operation.ADD, each.set, _outbound(each, filtering), (), Company.ALONE)
        for each in _VERSIONS
    )
    yield Branch("note", tuple(Rule((), (each,)) for each in noted))


def rules(from_wan: Match) -> Iterator[Rule]:
    """The rules that send what comes from the uplink to where it is looked up."""
    for each in _VERSIONS:
        yield Rule(
            (from_wan, match(Field.NFPROTO, each.network), _WITH_PORTS), (Goto(f"{each.set}_to"),)
        )


def branches(filtering: NatFiltering, refuse: tuple[Rule, ...]) -> Iterator[Branch]:
    """The chains where it is looked up.

    Args:
        filtering: who may send.
        refuse: what is done to what may not pass.
    """
    for each in _VERSIONS:
        key = _inbound(each, filtering)
        alone = Change(Operation.ADD, each.set, key, (), Company.ALONE)
        forget = Change(Operation.DELETE, each.set, key)
        yield Branch(
            f"{each.set}_to",
            (
                Rule((Member(key, each.set, negated=True),), (Goto("refuse"),)),
                Rule((), (alone, forget, Goto("refuse")), "no connection of it is alive"),
                Rule((), (Verdict.ACCEPT,)),
            ),
        )
    yield Branch("refuse", refuse)


def _outbound(version: _Version, filtering: NatFiltering) -> tuple[Field, ...]:
    key = (Field.L4PROTO, version.source, Field.TH_SPORT)
    return (*key, version.destination) if filtering is NatFiltering.ADDRESS_DEPENDENT else key


def _inbound(version: _Version, filtering: NatFiltering) -> tuple[Field, ...]:
    key = (Field.L4PROTO, version.destination, Field.TH_DPORT)
    return (*key, version.source) if filtering is NatFiltering.ADDRESS_DEPENDENT else key
