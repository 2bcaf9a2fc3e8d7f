"""How long a router remembers flows and ports: sysctls of the kernel, and rules for what they lack.

The kernel forgets a connection that has been idle for as long as the sysctls say, whichever side
was silent, and a mapping ends with the last of its connections. Two things are beyond that, and
rules see to them where they are asked for, packet by packet:

- *Only packets from inside keep a UDP mapping alive.* `refreshed` and `streams` have the outside
  endpoints that something was sent from lately. What is for another one is dropped before the
  kernel takes note of it.
- *A UDP port is kept from other hosts for a while after its mapping has ended*, which nothing tells
  of: so each packet holds it (`mapping`) for as long as its mapping has to live, and that while.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from patchbay.rules.mapping import held
from patchbay.rules.model import (
    Branch,
    Chain,
    Change,
    Condition,
    Goto,
    Jump,
    Member,
    Operation,
    Rule,
    Set,
    match,
    unless,
)
from patchbay.rules.words import ChainType, CtStatus, Field, Hook, L4Proto, Priority, Verdict
from patchbay.values import Nat, NatConfig, NatTimeouts

_REFRESHED, _STREAMS = "refreshed", "streams"
_UNUSED = 60
"""Seconds that an element would have if no rule said otherwise."""
_FROM = (Field.IP_SADDR, Field.TH_SPORT)
_TO = (Field.IP_DADDR, Field.TH_DPORT)
_UDP = match(Field.L4PROTO, L4Proto.UDP)
_ANSWERED = match(Field.CT_STATUS, CtStatus.ASSURED)

_OF_KERNEL = {
    "udp_timeout": 30,
    "udp_timeout_stream": 120,
    "icmp_timeout": 30,
    "tcp_timeout_established": 432_000,
    "tcp_timeout_unacknowledged": 300,
    "tcp_timeout_max_retrans": 300,
    "tcp_timeout_syn_sent": 120,
    "tcp_timeout_syn_recv": 60,
    "tcp_timeout_fin_wait": 120,
    "tcp_timeout_close_wait": 60,
    "tcp_timeout_last_ack": 30,
    "tcp_timeout_time_wait": 120,
    "tcp_timeout_close": 10,
}
"""Seconds that a new namespace has, and goes back to when it does NAT no more."""
_OPENING = ("syn_sent", "syn_recv")
_CLOSING = ("fin_wait", "close_wait", "last_ack", "time_wait", "close")


def sysctls(nat: Nat | NatConfig) -> tuple[tuple[str, str], ...]:
    """How long the router remembers idle flows: sysctls (key in dots, below `net`)."""
    config = nat if isinstance(nat, NatConfig) else nat.config
    stated = _OF_KERNEL if config is None else _stated(config.timeouts)
    return tuple(
        (f"netfilter.nf_conntrack_{name}", str(seconds)) for name, seconds in stated.items()
    )


def _stated(timeouts: NatTimeouts) -> dict[str, int]:
    return {
        "udp_timeout": timeouts.udp,
        "udp_timeout_stream": timeouts.udp_stream,
        "icmp_timeout": timeouts.icmp,
        "tcp_timeout_established": timeouts.tcp_established,
        # A connection with a peer that has gone quiet is as open as any (RFC 5382 REQ-5).
        "tcp_timeout_unacknowledged": timeouts.tcp_established,
        "tcp_timeout_max_retrans": timeouts.tcp_established,
        **{f"tcp_timeout_{state}": timeouts.tcp_opening for state in _OPENING},
        **{f"tcp_timeout_{state}": timeouts.tcp_closing for state in _CLOSING},
    }


def sets(config: NatConfig) -> Iterator[Set]:
    """What the chains fill."""
    if not config.inbound_refresh:
        for name in (_REFRESHED, _STREAMS):
            yield Set(name=name, key=_FROM, timeout=_UNUSED)


def chains(
    config: NatConfig, from_wan: Condition, to_wan: Condition, addresses: tuple[IPv4Address, ...]
) -> Iterator[Chain | Branch]:
    """The chains that do what sysctls do not; none for most kinds of NAT."""
    translated: list[Rule] = []
    if not config.inbound_refresh:
        to_mapping = _UDP, from_wan, match(Field.IP_DADDR, *addresses)
        yield Chain(
            name="untranslated",
            type=ChainType.FILTER,
            hook=Hook.PREROUTING,
            priority=Priority.RAW,
            rules=(Rule(to_mapping, (Goto("stale"),)),),
        )
        yield Branch("stale", tuple(_stale(config, addresses[0])))
        yield Branch("refresh", tuple(_refresh(config)))
        translated.append(Rule((_UDP, to_wan), (Jump("refresh"),)))
    if config.hold_down:
        mapped = unless(Field.CT_MARK, 0)
        yield Branch("hold", tuple(_hold(config)))
        translated.append(Rule((_UDP, mapped), (Goto("hold"),)))
    if translated:
        yield Chain(
            name="translated",
            type=ChainType.FILTER,
            hook=Hook.POSTROUTING,
            priority=Priority.SRCNAT + 1,
            rules=tuple(translated),
        )


def _stale(config: NatConfig, own: IPv4Address) -> Iterator[Rule]:
    """What is for a mapping that nothing was sent from lately; `own` is the uplink's address."""
    forwarded = [each.port for each in config.forwards if each.protocol == "udp"]
    if forwarded:
        to_host = match(Field.IP_DADDR, own), match(Field.TH_DPORT, *forwarded)
        yield Rule(to_host, (Verdict.ACCEPT,))
    for name in (_REFRESHED, _STREAMS):
        yield Rule((Member(_TO, name),), (Verdict.ACCEPT,))
    yield Rule((), (Verdict.DROP,), "nothing was sent from there lately")


def _refresh(config: NatConfig) -> Iterator[Rule]:
    timeouts = config.timeouts
    stream = Change(Operation.UPDATE, _STREAMS, _FROM, timeout=timeouts.udp_stream)
    yield Rule((_ANSWERED,), (stream,))
    yield Rule((), (Change(Operation.UPDATE, _REFRESHED, _FROM, timeout=timeouts.udp),))


def _hold(config: NatConfig) -> Iterator[Rule]:
    yield Rule((_ANSWERED,), (*held(config.timeouts.udp_stream + config.hold_down), Verdict.ACCEPT))
    yield Rule((), held(config.timeouts.udp + config.hold_down))
