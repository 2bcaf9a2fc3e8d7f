"""IPv4 network address translation as nftables tables and sysctls.

`mapping` and `ports` give out ports; what is here is around them: which packets come to them, and
what becomes of the others. What comes from the uplink is let in if it belongs to a flow that the
inside began, or was sent on to the owner of a port. The rest is dropped before its connection is
confirmed, so that a packet that comes early, before the inside host has sent to its sender, leaves
no trace: it can take no port from the flow that is to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address

from patchbay.rules import lifetimes, mapping, marks, unsolicited
from patchbay.rules.model import (
    Branch,
    Chain,
    Change,
    Company,
    Condition,
    Dnat,
    Goto,
    Operation,
    PortOf,
    Reject,
    RejectWith,
    Rule,
    Set,
    SetMark,
    Snat,
    Table,
    match,
    unless,
)
from patchbay.rules.words import (
    ChainType,
    CtState,
    CtStatus,
    Family,
    Field,
    Hook,
    IcmpType,
    Priority,
    Verdict,
)
from patchbay.values import Nat, NatConfig, PortForward, PortMapping

sysctls = lifetimes.sysctls

_PORTS = {"udp": (Field.UDP_SPORT, Field.UDP_DPORT), "tcp": (Field.TCP_SPORT, Field.TCP_DPORT)}


def tables(
    nat: Nat | NatConfig, *, wan: str, address: IPv4Address, mapped: Iterable[PortMapping] = ()
) -> tuple[Table, ...]:
    """The tables of a router that does this NAT; none for `Nat.NONE`.

    Args:
        nat: what to do.
        wan: name of the uplink's interface.
        address: the uplink's address; what leaves gets it, or one of those that the NAT has beside
            it.
        mapped: ports that hosts of its LAN asked for; they are forwarded as those of the NAT are.
    """
    config = nat if isinstance(nat, NatConfig) else nat.config
    if config is None:
        return ()
    asked = [PortForward(each.protocol, each.port, each.host, each.host_port) for each in mapped]
    if asked:
        config = replace(config, forwards=(*config.forwards, *asked))
    return (_table(config, wan, address),)


@lru_cache(maxsize=256)
def _table(config: NatConfig, wan: str, address: IPv4Address) -> Table:
    return _Nat(config, wan, address).table()


_KNOWN = Rule((match(Field.CT_STATE, CtState.ESTABLISHED, CtState.RELATED),), (Verdict.ACCEPT,))
"""As near the beginning of a chain as it can be: this is as far as most packets go."""


class _Nat:
    def __init__(self, config: NatConfig, wan: str, address: IPv4Address) -> None:
        self._config = config
        self._addresses = (address, *config.addresses)
        self._from_wan, self._to_wan = match(Field.IIFNAME, wan), match(Field.OIFNAME, wan)
        self._from_inside = unless(Field.IIFNAME, wan)
        self._to_inside = unless(Field.OIFNAME, wan)
        drop = Rule((self._from_wan,), (Verdict.DROP,), "belongs to no flow from inside")
        late = config.refuse_syn_after is not None
        self._unasked = (*([unsolicited.noted(self._from_wan)] if late else []), drop)

    def table(self) -> Table:
        echo_request = match(Field.ICMP_TYPE, IcmpType.ECHO_REQUEST)
        return Table(
            family=Family.IP,
            name="nat",
            sets=(*mapping.sets(self._config), *self._quota_sets(), *lifetimes.sets(self._config)),
            chains=(
                *lifetimes.chains(self._config, self._from_wan, self._to_wan, self._addresses),
                _filter(
                    "input",
                    Hook.INPUT,
                    _KNOWN,
                    Rule((self._from_wan, echo_request), (Verdict.ACCEPT,)),
                    *self._unasked,
                ),
                _filter("forward", Hook.FORWARD, *self._forwarded()),
                _translating("prerouting", Hook.PREROUTING, *self._arriving()),
                _translating("postrouting", Hook.POSTROUTING, *self._leaving()),
                Branch("outbound", tuple(self._outbound())),
                *mapping.chains(self._config, self._addresses),
            ),
        )

    def _forwarded(self) -> Iterator[Rule]:
        yield mapping.hold(self._config)
        yield _KNOWN
        yield Rule((self._from_wan, match(Field.CT_STATUS, CtStatus.DNAT)), (Verdict.ACCEPT,))
        if self._config.exempt:
            exempt = match(Field.IP_SADDR, *self._config.exempt)
            yield Rule((self._from_wan, exempt), (Verdict.ACCEPT,))
        yield from self._unasked
        translated: tuple[Condition, ...] = ()
        if self._config.exempt:
            translated = (unless(Field.IP_DADDR, *self._config.exempt),)
        yield Rule(
            (self._to_wan, *translated, match(Field.CT_STATE, CtState.INVALID)),
            (Verdict.DROP,),
            "would leave untranslated",
        )
        if self._config.quota is not None:
            first = unless(Field.CT_STATUS, CtStatus.CONFIRMED)
            count = Change(
                Operation.ADD,
                "sessions",
                marks.HOST,
                company=Company.OTHERS,
                limit=self._config.quota,
            )
            refuse = Reject(RejectWith.ICMP_HOST_UNREACHABLE)
            yield Rule(
                (self._from_inside, first, mapping.WITH_PORTS), (count, refuse), "has its share"
            )

    def _quota_sets(self) -> Iterator[Set]:
        if self._config.quota is not None:
            yield Set(name="sessions", key=marks.HOST)

    def _arriving(self) -> Iterator[Rule]:
        """To an outside address, from the uplink; and from inside, if it may turn back."""
        yield from self._sent_on(self._from_wan, filtered=True)
        if self._config.hairpin:
            yield from self._sent_on(self._from_inside, filtered=False)

    def _sent_on(self, side: Condition, *, filtered: bool) -> Iterator[Rule]:
        for each in self._config.forwards:
            port = match(_PORTS[each.protocol][1], each.port)
            yield Rule((side, self._to(0), port), (Dnat(each.host, each.host_port),))
        for inside, outside in self._config.one_to_one:
            yield Rule((side, match(Field.IP_DADDR, outside)), (Dnat(inside),))
        for name, protocol in marks.PROTOCOLS.items():
            if filtered and not mapping.open_to_others(self._config, name):
                continue
            chain = mapping.delivery(self._config, name, filtered=filtered)
            for index in range(len(self._addresses)):
                mark = SetMark(PortOf(_PORTS[name][1], marks.bits(protocol, index)))
                yield Rule((side, self._to(index)), (mark, Goto(chain)))

    def _to(self, index: int) -> Condition:
        return match(Field.IP_DADDR, self._addresses[index])

    def _leaving(self) -> Iterator[Rule]:
        """To the uplink; and from inside to inside by an outside address.

        Whoever receives the latter sees its sender's outside address.
        """
        if self._config.exempt:
            exempt = match(Field.IP_DADDR, *self._config.exempt)
            yield from mapping.untranslated((self._to_wan, exempt))
        yield Rule((self._to_wan,), (Goto("outbound"),))
        if self._config.hairpin:
            turning = match(Field.CT_STATUS, CtStatus.DNAT)
            yield Rule((self._from_inside, self._to_inside, turning), (Goto("outbound"),))
        yield from mapping.arrived(self._config, self._from_wan)

    def _outbound(self) -> Iterator[Rule]:
        for inside, outside in self._config.one_to_one:
            host = match(Field.IP_SADDR, inside)
            yield Rule((host, mapping.WITH_PORTS), (Snat(outside, Field.TH_SPORT),))
            yield Rule((host,), (Snat(outside),))
        for each in self._config.forwards:
            mark = marks.bits(marks.PROTOCOLS[each.protocol]) | each.port
            port = match(_PORTS[each.protocol][0], each.host_port)
            use = Goto(f"{each.protocol}_use")
            yield Rule((match(Field.IP_SADDR, each.host), port), (SetMark(mark), use))
        for name in marks.PROTOCOLS:
            yield Rule((_is(name),), (Goto(name),))
        yield Rule((), (Goto("other"),))


def _is(name: str) -> Condition:
    return match(Field.L4PROTO, marks.PROTOCOLS[name])


def _filter(name: str, hook: Hook, *rules: Rule) -> Chain:
    return Chain(name=name, type=ChainType.FILTER, hook=hook, priority=Priority.FILTER, rules=rules)


def _translating(name: str, hook: Hook, *rules: Rule) -> Chain:
    priority = Priority.DSTNAT if hook is Hook.PREROUTING else Priority.SRCNAT
    return Chain(name=name, type=ChainType.NAT, hook=hook, priority=priority, rules=rules)
