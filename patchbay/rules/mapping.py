"""External ports: who has which, by rules alone, for TCP and for UDP.

The kernel by itself makes translated flows differ in *some* way: two hosts may share an external
port as long as their peers differ. Then nobody can say whom a packet from a third one is for, and
whoever speaks to a common peer second is moved to another port. So the rules here give every
mapping (RFC 4787 4) a port of its own, and leave nothing to the kernel but the translation.

The first packet of a flow that leaves comes by; the others follow their flow. It looks for the
mapping of its key: the inside address and port and, where the mapping depends on it, the peer's
address and port. If there is none, it tries ports until it has one for itself (`ports`). All this
is in sets that rules fill:

- `ports` is who holds what. Its elements count the connections that use a port (`ct count`): the
  first to be counted has won the port, and nobody wins it while one of them is alive. This is the
  one place where it is decided, in one step, so that no two packets on two processors both win.
- `ports_tried` counts those that tried for a port in vain, too, and is asked before `ports` is: what
  is counted stays so, and one that has gone on to another port must not keep this one from others.
- `udp_mappings` and `tcp_mappings` have the port of a key, and count the connections that use it;
  looking a dead one up finds nothing.
- `udp_last` and `tcp_last` have the port that a key was given last, and count nothing.
- `owners` has whom a port was given to last, for what comes from outside.
- `held` has ports of connections that were closed of late. The kernel remembers them for a while,
  and would take a new connection of another host for the old one. `closed` has whose they were.
- `udp_peers` and `tcp_peers` have to which peers a port sends, where others may write to it.
- `permitted` has to which addresses a port has sent, for filtering by address, and counts the
  connections that did. `udp_sent` and `tcp_sent` have the port that a connection had last. One that
  begins anew is what it was to a counter, whatever port it has now, and would keep its old port,
  which may be another's by then, open to its peer.

Nothing here has a lifetime of its own. A mapping is alive as long as the kernel tracks one of its
connections, whatever their timeouts are and whoever forgets them; what is left of a dead one is
never used, but made anew. (The counters forget but a few dead connections at a time, so that a
mapping of very many may be taken for alive some seconds longer.) What has been found is kept in
the mark of the connection (`marks`).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from patchbay.rules import marks, ports
from patchbay.rules.model import (
    Branch,
    Change,
    Condition,
    Dnat,
    Found,
    Goto,
    Member,
    Operation,
    Part,
    Rule,
    Set,
    SetMark,
    Snat,
    match,
    unless,
)
from patchbay.rules.words import CtState, Field, TcpFlag, Verdict
from patchbay.values import NatConfig, NatFiltering, NatMapping

WITH_PORTS = match(Field.L4PROTO, *marks.PROTOCOLS.values())
"""What holds for packets of protocols whose ports are given out."""
_AS_IT_IS = Snat(Field.IP_SADDR, Field.TH_SPORT)
"""Without it the kernel takes another port when it has come to know of the flow meanwhile."""
_HELD = 120
"""Seconds that an element is held that says nothing else."""


def sets(config: NatConfig) -> tuple[Set, ...]:
    """What the chains fill."""
    by_address = [name for name in marks.PROTOCOLS if _by_address(config, name)]
    return (
        Set(name="ports", key=marks.MARK),
        Set(name="ports_tried", key=marks.MARK),
        Set(name="held", key=marks.MARK, timeout=_HELD),
        Set(name="closed", key=marks.BEGINNER, timeout=_HELD),
        Set(name="owners", key=marks.MARK, data=marks.INSIDE),
        *([Set(name="permitted", key=marks.SENDER)] if by_address else []),
        *(Set(name=f"{name}_sent", key=marks.FLOW, data=marks.MARK) for name in by_address),
        *(
            Set(name=f"{name}_peers", key=marks.PEER)
            for name in marks.PROTOCOLS
            if _for_some(config, name)
        ),
        *(
            Set(name=f"{name}_{kind}", key=marks.KEYS[config.mapping_of(name)], data=marks.MARK)
            for name in marks.PROTOCOLS
            for kind in ("mappings", "last")
        ),
        *ports.sets(config),
    )


def hold(config: NatConfig) -> Rule:
    """For packets that are passed on: when a TCP connection is closed, its port is held.

    Few packets close one: what most are not is asked first.
    """
    closing = match(Field.TCP_FLAGS, TcpFlag.FIN, TcpFlag.RST)
    known = match(Field.CT_STATE, CtState.ESTABLISHED)
    return Rule((closing, known), held(max(config.timeouts.tcp_closing, config.hold_down)))


def held(seconds: int) -> tuple[Change, ...]:
    """Keep the port of the connection from other hosts for a while."""
    changes = (("held", marks.MARK), ("closed", marks.BEGINNER))
    return tuple(Change(Operation.UPDATE, name, key, timeout=seconds) for name, key in changes)


def chains(config: NatConfig, addresses: tuple[IPv4Address, ...]) -> tuple[Branch, ...]:
    """The chains that packets go to.

    Those named as a protocol are for packets to the uplink, and `other` for those of other
    protocols. `delivery` says which are for packets to an outside port.

    Args:
        config: what is done.
        addresses: the outside addresses that are shared out, the uplink's own first.
    """
    return (
        *ports.chains(config, addresses),
        *(chain for name in marks.PROTOCOLS for chain in _outbound(config, name)),
        *_translate(addresses),
        *(chain for name in marks.PROTOCOLS for chain in _inbound(config, name)),
        *(_to_forwarded(config, name) for name in _forwarded(config)),
    )


def _outbound(config: NatConfig, name: str) -> Iterator[Branch]:
    key, mappings, last = marks.KEYS[config.mapping_of(name)], f"{name}_mappings", f"{name}_last"
    new, use = Goto(f"{name}_new"), Goto(f"{name}_use")
    forget = Change(Operation.DELETE, mappings, key, marks.MARK)
    give_up = (
        Change(Operation.DELETE, "ports_tried", marks.MARK),
        Change(Operation.DELETE, "ports", marks.MARK),
    )
    free = marks.counted("ports_tried", marks.MARK), *give_up
    by_address, sent = _by_address(config, name), f"{name}_sent"
    shut = (
        SetMark(Found(marks.FLOW, sent)),
        marks.counted("permitted", marks.RECEIVER),
        Change(Operation.DELETE, "permitted", marks.RECEIVER),
    )
    known: Goto = use
    if forwarded := marks.forwarded(config, name):
        # A mapping from before its port was forwarded: flows keep the port, but no other one gets
        # it. Packets of whom the port is forwarded to do not come here.
        known = Goto(f"{name}_known")
        taken_over = Rule((match(Field.CT_MARK, *forwarded),), (forget, new))
        yield Branch(f"{name}_known", (taken_over, Rule((), (use,))))
    yield Branch(
        name,
        (
            *([Rule((), shut)] if by_address else []),
            Rule((Member(key, mappings, negated=True),), (new,)),
            # Once alone: who looks is counted, twice if it looks twice, and seems to have company.
            Rule((), (SetMark(Found(key, mappings)), known)),
            # The mapping is dead. A connection that begins anew would keep the port it had alive.
            Rule((), (forget, SetMark(Found(key, last)), *free)),
            Rule((), (new,)),
        ),
    )
    # The port is won: write down whose it is, unless another packet has just won one for it.
    meet = marks.counted_among(mappings, key, marks.MARK)
    owner = _written("owners", marks.MARK, marks.INSIDE)
    yield Branch(
        f"{name}_take",
        (
            Rule((), (meet, *give_up, SetMark(Found(key, mappings)), use)),
            # Nothing forgets a last port. When its map is full, packets go on to the next rule.
            Rule((), _written(last, key, marks.MARK)),
            Rule((), (*owner, use)),
        ),
    )
    counted = [marks.counted("ports", marks.MARK), marks.counted("ports_tried", marks.MARK)]
    if by_address:
        counted.append(marks.counted("permitted", marks.RECEIVER))
    if config.block_size is not None:
        block = marks.block_of(config.block_size)
        counted.append(marks.counted("block_users", (block,)))
        counted.append(marks.counted("blocks_tried", (block,)))
        counted.append(marks.counted_among("tenants", (block, Field.IP_SADDR)))
    if _for_some(config, name):
        counted.append(marks.counted(f"{name}_peers", marks.PEER))
    notes = [Rule((), (each,)) for each in counted]
    if by_address:
        notes.append(Rule((), _written(sent, marks.FLOW, marks.MARK)))
    yield Branch(f"{name}_use", (*notes, Rule((), (Goto("translate"),))))


def _written(name: str, key: tuple[Part, ...], data: tuple[Part, ...]) -> tuple[Change, ...]:
    """Put something into a map, in place of what it had."""
    return Change(Operation.DELETE, name, key, data), Change(Operation.ADD, name, key, data)


def _translate(addresses: tuple[IPv4Address, ...]) -> Iterator[Branch]:
    """To the port and address of the mark; where there is no port, to an address alone."""
    if len(addresses) == 1:
        yield Branch("translate", (Rule((), (Snat(addresses[0], Field.CT_MARK),)),))
        yield Branch("other", (Rule((), (Snat(addresses[0]),)),))
        return
    each = [(ports.addressed(index), address) for index, address in enumerate(addresses)]
    yield Branch(
        "translate",
        tuple(Rule((given,), (Snat(address, Field.CT_MARK),)) for given, address in each),
    )
    its_own = Rule((match(Field.IP_SADDR, addresses[0]),), (Snat(addresses[0]),))
    chosen = (Rule((given,), (Snat(address),)) for given, address in each)
    yield Branch("other", (its_own, ports.CHOOSE, *chosen))


def delivery(config: NatConfig, name: str, *, filtered: bool) -> str:
    """The chain for packets of a protocol that belong to no flow; the mark says to which port.

    Args:
        config: what is done.
        name: of the protocol.
        filtered: whether only those may send that the filtering lets in.
    """
    return f"{name}_in" if filtered and _by_address(config, name) else f"{name}_deliver"


def open_to_others(config: NatConfig, name: str) -> bool:
    """Whether others than those that a port has sent to may send to it."""
    return config.filtering_of(name) is not NatFiltering.ADDRESS_AND_PORT_DEPENDENT


def _inbound(config: NatConfig, name: str) -> Iterator[Branch]:
    """What belongs to no flow: to the owner of a port that is alive, if the sender may."""
    if not open_to_others(config, name) and not config.hairpin:
        return
    if _by_address(config, name):
        on = Rule((), (Goto(f"{name}_deliver"),))
        yield Branch(f"{name}_in", (*_alive("permitted", marks.SENDER), on))
    owner = Found(marks.MARK, "owners")
    yield Branch(f"{name}_deliver", (*_alive("ports", marks.MARK), Rule((), (Dnat(owner),))))
    if not open_to_others(config, name):
        return
    mapping = config.mapping_of(name)
    if mapping is NatMapping.ENDPOINT_INDEPENDENT:
        key = marks.KEYS_OF_ARRIVING[mapping]
        first = Rule((), (marks.counted_among(f"{name}_mappings", key, marks.MARK),))
    else:
        sender = Field.CT_MARK, Field.IP_SADDR, Field.TH_SPORT
        uncrossed = Member(sender, f"{name}_peers", negated=True)
        first = Rule((uncrossed,), (Verdict.ACCEPT,), "the host may speak to it by another port")
    yield Branch(f"{name}_arrived", (first, Rule((), (_AS_IT_IS,))))


def _forwarded(config: NatConfig) -> list[str]:
    """The protocols that ports are forwarded of."""
    return [name for name in marks.PROTOCOLS if name in {each.protocol for each in config.forwards}]


def _to_forwarded(config: NatConfig, name: str) -> Branch:
    key = marks.KEYS_OF_ARRIVING[config.mapping_of(name)]
    unmapped = Member(key, f"{name}_mappings", negated=True)
    return Branch(f"{name}_forwarded", (Rule((unmapped,), (_AS_IT_IS,)),))


def arrived(config: NatConfig, from_wan: Condition) -> Iterator[Rule]:
    """For first packets that were sent on: they keep their source, whatever crosses them.

    A packet of the inside host to their sender may be on its way through the router, from the same
    outside port: the two are one flow then. Where a mapping is for some peers, others may send to
    it whom the host speaks to by another one: that is another flow, and as the kernel would have
    them the same, it must change the port.

    Their connection keeps the mapping of who receives them, unless it is for one peer: then it is
    kept by what is sent there alone.
    """
    for name, protocol in marks.PROTOCOLS.items():
        if open_to_others(config, name):
            matches = from_wan, unless(Field.CT_MARK, 0), match(Field.L4PROTO, protocol)
            yield Rule(matches, (Goto(f"{name}_arrived"),))
    if config.exempt:
        yield Rule((from_wan, match(Field.IP_SADDR, *config.exempt), WITH_PORTS), (_AS_IT_IS,))
    if config.one_to_one:
        hosts = match(Field.IP_DADDR, *(host for host, _ in config.one_to_one))
        yield Rule((from_wan, hosts, WITH_PORTS), (_AS_IT_IS,))
    for name in _forwarded(config):
        yield Rule(
            (from_wan, match(Field.L4PROTO, marks.PROTOCOLS[name])), (Goto(f"{name}_forwarded"),)
        )


def untranslated(matches: tuple[Condition, ...]) -> Iterator[Rule]:
    """Let packets leave as they are."""
    yield Rule((*matches, WITH_PORTS), (_AS_IT_IS,))
    yield Rule(matches, (Verdict.ACCEPT,), "not translated")


def _by_address(config: NatConfig, name: str) -> bool:
    return config.filtering_of(name) is NatFiltering.ADDRESS_DEPENDENT


def _for_some(config: NatConfig, name: str) -> bool:
    independent = config.mapping_of(name) is NatMapping.ENDPOINT_INDEPENDENT
    return not independent and open_to_others(config, name)


def _alive(name: str, key: tuple[Field, ...]) -> tuple[Rule, ...]:
    """Go no further unless a set has an element with a connection that is alive.

    One without is deleted: its only connection would be this one, which leads nowhere.
    """
    forget = Change(Operation.DELETE, name, key)
    return (
        Rule((Member(key, name, negated=True),), (Verdict.ACCEPT,), "unasked"),
        Rule(
            (),
            (marks.counted(name, key), forget, Verdict.ACCEPT),
            "no connection of it is alive",
        ),
    )
