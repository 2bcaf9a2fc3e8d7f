"""Which outside port a new mapping gets: the chains that try ports until one is won.

`udp_new` and `tcp_new` are where a packet without a mapping comes to. With several outside
addresses it is decided there which one it is; after that, each address has chains of its own. A
candidate is put into the mark, and won if it is not held and no connection uses it (`mapping`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from patchbay.rules import marks
from patchbay.rules.model import (
    Bits,
    Branch,
    Change,
    Condition,
    Drawn,
    Flipped,
    Found,
    Goto,
    Jump,
    Masked,
    Member,
    Numbers,
    Operation,
    PortOf,
    Range,
    Rule,
    Set,
    SetMark,
    Statement,
    match,
    unless,
)
from patchbay.rules.words import Field, Verdict
from patchbay.values import NatConfig, NatPooling, NatPorts
from patchbay.values.nat_config import HIGH_PORTS, LOW_PORTS

_SCANNED = 128
"""Ranges up to this size are gone through from end to end; in others ports are drawn."""
_DRAWS = 6
"""Rounds of this many draws, and this many rounds: with nine ports of ten taken, one flow in
forty is turned away; with half of them taken, none."""
_DRAWS_IN_BLOCK = 12
"""After that, the host gets another block."""

_FREE = Member(marks.MARK, "held", negated=True)
_ITS_OWN = Member(marks.BEGINNER, "closed")
_NONE_LEFT = Rule((), (Verdict.DROP,), "no port is left")
_SOURCE = (Field.IP_SADDR,)

CHOOSE = Rule((), (Jump("choose"),))
"""With several outside addresses: put the number of one into the mark."""


def sets(config: NatConfig) -> Iterator[Set]:
    """What the chains keep in mind about hosts."""
    if config.addresses and config.pooling is NatPooling.PAIRED:
        yield Set(name="paired", key=_SOURCE, data=marks.MARK)
    if config.block_size is not None:
        yield Set(name="blocks", key=marks.HOST, data=marks.MARK)
        yield Set(name="block_users", key=marks.MARK)
        yield Set(name="blocks_tried", key=marks.MARK)
        yield Set(name="tenants", key=marks.SENDER)


def chains(config: NatConfig, addresses: tuple[IPv4Address, ...]) -> Iterator[Branch]:
    """The chains that give ports out, of all protocols and addresses."""
    if len(addresses) > 1:
        yield from _choose(config, len(addresses))
    if config.block_size is not None:
        flips = (SetMark(Flipped(1 << bit)) for bit in range(config.block_size.bit_length() - 1))
        yield Branch("scatter", tuple(Rule((Drawn(2),), (flip,)) for flip in flips))
    for name in marks.PROTOCOLS:
        if len(addresses) == 1:
            yield from _Ports(config, name, 0, f"{name}_new").chains()
            continue
        for index in range(len(addresses)):
            yield from _Ports(config, name, index, f"{name}_new{index}").chains()
        to_each = tuple(
            Rule((addressed(index),), (Goto(f"{name}_new{index}"),))
            for index in range(len(addresses))
        )
        # What the router itself sends comes from the uplink's own address, and stays there.
        its_own = Rule((match(Field.IP_SADDR, addresses[0]),), (Goto(f"{name}_new0"),))
        yield Branch(f"{name}_new", (its_own, CHOOSE, *to_each))


def addressed(index: int) -> Bits:
    """What holds for a connection that was given an outside address."""
    return Bits(marks.ADDRESS, marks.address_bits(index))


def _choose(config: NatConfig, count: int) -> Iterator[Branch]:
    """Put the number of an outside address into the mark."""
    shift = marks.ADDRESS_SHIFT
    if config.pooling is NatPooling.ARBITRARY:
        yield Branch("choose", (Rule((), (SetMark(Numbers(0, count, shift=shift)),)),))
        return
    each_in_turn = SetMark(Numbers(0, count, random=False, shift=shift))
    pair = Change(Operation.ADD, "paired", _SOURCE, marks.MARK)
    yield Branch("pair", (Rule((), (each_in_turn, pair)),))
    part = Change(Operation.DELETE, "paired", _SOURCE, marks.MARK)
    yield Branch(
        "choose",
        (
            Rule((Member(_SOURCE, "paired", negated=True),), (Goto("pair"),)),
            Rule((), (SetMark(Found(_SOURCE, "paired")),)),
            *(Rule((addressed(index),), (Verdict.RETURN,)) for index in range(count)),
            Rule((), (part, Goto("pair")), "there are fewer addresses now"),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Class:
    """Ports for some inside ports."""

    name: str
    matches: tuple[Condition, ...]
    numbers: Numbers | None


class _Ports:
    """The ports of one protocol at one outside address."""

    def __init__(self, config: NatConfig, protocol: str, index: int, name: str) -> None:
        self._config = config
        self._protocol = protocol
        self._above = marks.bits(marks.PROTOCOLS[protocol], index)
        self._name = name
        taken = marks.forwarded(config, protocol) if index == 0 else ()
        self._unforwarded = (unless(Field.CT_MARK, *taken),) if taken else ()
        self._random = config.port_choice_of(protocol) is not NatPorts.SEQUENTIAL

    def chains(self) -> Iterator[Branch]:
        if self._config.block_size is not None:
            yield from self._in_blocks(self._config.block_size)
            return
        rules: list[Rule] = []
        if self._config.port_choice_of(self._protocol) is NatPorts.PRESERVE:
            rules += self._preserved()
        for each in self._classes():
            if each.numbers is None:
                rules.append(Rule(each.matches, (Verdict.DROP,), "no port is left"))
                continue
            name = f"{self._name}_{each.name}"
            pick = Rule((), (SetMark(each.numbers),)), *self._attempt((_FREE,))
            yield from _repeated(name, pick, each.numbers)
            rules.append(Rule(each.matches, (Goto(name),)))
        yield Branch(self._name, tuple(rules))

    def _attempt(self, matches: tuple[Condition, ...]) -> Iterator[Rule]:
        take = Goto(f"{self._protocol}_take")
        return _won("ports", "ports_tried", (*matches, *self._unforwarded), (take,))

    def _preserved(self) -> Iterator[Rule]:
        """The inside port, where it may be used."""
        ports = self._config.ports
        where: tuple[Condition, ...] = ()
        if ports is not None:
            where = (match(Field.TH_SPORT, Range(*ports)),)
        yield Rule(where, (SetMark(PortOf(Field.TH_SPORT, self._above)),))
        yield from self._attempt((*where, _ITS_OWN))
        yield from self._attempt((*where, _FREE))

    def _classes(self) -> Iterator[_Class]:
        """Low and high ports, even and odd ones, as far as they are told apart."""
        if self._config.ports is None:
            ranges = [
                ("low", (match(Field.TH_SPORT, Range(0, LOW_PORTS[1])),), LOW_PORTS),
                ("high", (), HIGH_PORTS),
            ]
        else:
            ranges = [("any", (), self._config.ports)]
        for name, matches, (first, last) in ranges:
            if not self._config.parity:
                numbers = self._numbers(first, last - first + 1)
                yield _Class(name, matches, numbers)
                continue
            for odd, kind in enumerate(("even", "odd")):
                alike = Bits(Masked(Field.TH_SPORT, 1), odd)
                half, end = (first + 1 - odd) // 2, (last - odd) // 2
                numbers = self._numbers(half, end - half + 1, shift=1, odd=odd)
                yield _Class(f"{name}_{kind}", (*matches, alike), numbers)

    def _numbers(self, first: int, count: int, shift: int = 0, odd: int = 0) -> Numbers | None:
        if count <= 0:
            return None
        random = self._random and count > _SCANNED
        if not shift:
            return Numbers(self._above | first, count, random)
        return Numbers(first, count, random, shift, self._above | odd)

    def _in_blocks(self, size: int) -> Iterator[Branch]:
        """A port of the host's block; if that is used up, or another's by now, of another one.

        A block is taken as a port is: by the first connection to be counted for it, until the last
        one that uses it has gone.
        """
        name, base = self._name, marks.block_of(size)
        tenancy = base, Field.IP_SADDR
        draw = Jump(f"{name}_draw")
        yield Branch(f"{name}_try", (Rule((), (Jump("scatter"),)), *self._attempt((_FREE,))))
        yield Branch(f"{name}_draw", (Rule((), (Jump(f"{name}_try"),)),) * _DRAWS_IN_BLOCK)
        still = marks.counted_among("tenants", tenancy)
        yield Branch(
            f"{name}_own",
            (
                Rule((), (SetMark(Found(marks.HOST, "blocks")),)),
                Rule((), (still, draw)),
                Rule((), (Change(Operation.DELETE, "tenants", tenancy),)),
            ),
        )
        first, last = self._config.ports or HIGH_PORTS
        lowest, shift = -(-first // size), size.bit_length() - 1
        count = (last + 1) // size - lowest
        numbers = Numbers(lowest, count, count > _SCANNED, shift, self._above)
        settle: tuple[Statement, ...] = (
            Change(Operation.DELETE, "blocks", marks.HOST, marks.MARK),
            Change(Operation.ADD, "blocks", marks.HOST, marks.MARK),
            draw,
        )
        won = _won("block_users", "blocks_tried", (), settle)
        yield from _repeated(f"{name}_move", (Rule((), (SetMark(numbers),)), *won), numbers)
        yield Branch(
            name,
            (
                Rule((Member(marks.HOST, "blocks"),), (Jump(f"{name}_own"),)),
                Rule((), (Goto(f"{name}_move"),)),
            ),
        )


def _won(
    users: str, tried: str, matches: tuple[Condition, ...], then: tuple[Statement, ...]
) -> Iterator[Rule]:
    """Try to become the first to use what the mark says.

    Who tries is counted for good, and if it goes on with something else it would keep this from
    others. So it is counted as a user only after it was the first of those that tried; and where
    the kernel has seen that no user is left, those that tried do not matter.
    """
    use, attempt = marks.counted(users, marks.MARK), marks.counted(tried, marks.MARK)
    yield Rule(matches, (attempt, use, *then))
    unused = Member(marks.MARK, users, negated=True)
    anew = Change(Operation.DELETE, tried, marks.MARK)
    yield Rule((*matches, unused), (use, anew, attempt, *then))


def _repeated(name: str, once: tuple[Rule, ...], numbers: Numbers) -> Iterator[Branch]:
    """Chains that do something with one number after the other, and give up at last."""
    pick = f"{name}_pick"
    yield Branch(pick, once)
    if numbers.count <= _SCANNED:
        rules = (Rule((), (Jump(pick),)),) * numbers.count
    else:
        yield Branch(f"{name}_picks", (Rule((), (Jump(pick),)),) * _DRAWS)
        rules = (Rule((), (Jump(f"{name}_picks"),)),) * _DRAWS
    yield Branch(name, (*rules, _NONE_LEFT))
