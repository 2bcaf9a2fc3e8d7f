"""IPv4 network address translation as nftables tables and sysctls.

`mapping` gives out ports; what is here is around it: which packets come to it, and what becomes of
the others. What comes from the uplink is let in if it belongs to a flow that the inside began, or
was sent on to the owner of a port. The rest is dropped before its connection is confirmed, so that
a packet that comes early, before the inside host has sent to its sender, leaves no trace: it can
take no port from the flow that is to come.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from patchbay.rules import mapping
from patchbay.rules.model import Chain, Goto, Match, Rule, Snat, Table, match, unless
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
from patchbay.values import Nat, NatConfig, NatFiltering, NatTimeouts

KERNEL_TIMEOUTS = NatTimeouts(udp=30, udp_stream=120, tcp_established=432_000)
"""What a new namespace has, and goes back to when it does NAT no more."""

_OTHERS = {
    "icmp_timeout": 60,  # RFC 5508 REQ-2
    "tcp_timeout_syn_sent": 240,  # RFC 5382 REQ-5: four minutes for what is half open
    "tcp_timeout_syn_recv": 240,
    "tcp_timeout_fin_wait": 240,  # and for what is half closed
    "tcp_timeout_close_wait": 240,
    "tcp_timeout_last_ack": 240,
}
_KERNEL_OTHERS = {
    "icmp_timeout": 30,
    "tcp_timeout_syn_sent": 120,
    "tcp_timeout_syn_recv": 60,
    "tcp_timeout_fin_wait": 120,
    "tcp_timeout_close_wait": 60,
    "tcp_timeout_last_ack": 30,
}


def tables(nat: Nat | NatConfig, *, wan: str, address: IPv4Address) -> tuple[Table, ...]:
    """The tables of a router that does this NAT; none for `Nat.NONE`.

    Args:
        nat: what to do.
        wan: name of the uplink's interface.
        address: the uplink's address, which everything that leaves gets.

    """
    config = _config(nat)
    return () if config is None else (_table(config, wan, address),)


def sysctls(nat: Nat | NatConfig) -> tuple[tuple[str, str], ...]:
    """How long the router remembers idle flows: sysctls (key in dots, below `net`)."""
    config = _config(nat)
    timeouts = KERNEL_TIMEOUTS if config is None else config.timeouts
    others = _KERNEL_OTHERS if config is None else _OTHERS
    stated = {
        "udp_timeout": timeouts.udp,
        "udp_timeout_stream": timeouts.udp_stream,
        "tcp_timeout_established": timeouts.tcp_established,
        **others,
    }
    return tuple(
        (f"netfilter.nf_conntrack_{name}", str(seconds)) for name, seconds in stated.items()
    )


def _config(nat: Nat | NatConfig) -> NatConfig | None:
    return nat if isinstance(nat, NatConfig) else nat.config


def _table(config: NatConfig, wan: str, address: IPv4Address) -> Table:
    from_wan, to_wan = match(Field.IIFNAME, wan), match(Field.OIFNAME, wan)
    known = match(Field.CT_STATE, CtState.ESTABLISHED, CtState.RELATED)
    let_known_in = Rule((from_wan, known), (Verdict.ACCEPT,))
    drop_the_rest = Rule((from_wan,), (Verdict.DROP,), "belongs to no flow from inside")
    return Table(
        family=Family.IP,
        name="nat",
        sets=mapping.sets(config),
        chains=(
            Chain(
                name="input",
                type=ChainType.FILTER,
                hook=Hook.INPUT,
                priority=Priority.FILTER,
                rules=(
                    let_known_in,
                    Rule(
                        (from_wan, match(Field.ICMP_TYPE, IcmpType.ECHO_REQUEST)),
                        (Verdict.ACCEPT,),
                    ),
                    drop_the_rest,
                ),
            ),
            Chain(
                name="forward",
                type=ChainType.FILTER,
                hook=Hook.FORWARD,
                priority=Priority.FILTER,
                rules=(
                    mapping.hold(),
                    let_known_in,
                    Rule((from_wan, match(Field.CT_STATUS, CtStatus.DNAT)), (Verdict.ACCEPT,)),
                    drop_the_rest,
                    Rule(
                        (to_wan, match(Field.CT_STATE, CtState.INVALID)),
                        (Verdict.DROP,),
                        "would leave untranslated",
                    ),
                ),
            ),
            Chain(
                name="prerouting",
                type=ChainType.NAT,
                hook=Hook.PREROUTING,
                priority=Priority.DSTNAT,
                rules=tuple(_arriving(config, wan, address)),
            ),
            Chain(
                name="postrouting",
                type=ChainType.NAT,
                hook=Hook.POSTROUTING,
                priority=Priority.SRCNAT,
                rules=(
                    *_by_protocol((to_wan,), ""),
                    Rule((to_wan,), (Snat(address),)),
                    *_turning_back(config, wan),
                ),
            ),
            *mapping.chains(config, address),
        ),
    )


def _arriving(config: NatConfig, wan: str, address: IPv4Address) -> Iterator[Rule]:
    to_us = match(Field.IP_DADDR, address)
    if config.filtering is not NatFiltering.ADDRESS_AND_PORT_DEPENDENT:
        yield from _by_protocol((match(Field.IIFNAME, wan), to_us), "_in")
    if config.hairpin:
        yield from _by_protocol((unless(Field.IIFNAME, wan), to_us), "_back")


def _turning_back(config: NatConfig, wan: str) -> Iterator[Rule]:
    """From inside to inside by the outside address: whoever receives it sees that as its source."""
    if config.hairpin:
        inside = unless(Field.IIFNAME, wan), unless(Field.OIFNAME, wan)
        yield from _by_protocol((*inside, match(Field.CT_STATUS, CtStatus.DNAT)), "")


def _by_protocol(matches: tuple[Match, ...], way: str) -> Iterator[Rule]:
    for name, protocol in mapping.PROTOCOLS.items():
        yield Rule((*matches, match(Field.L4PROTO, protocol)), (Goto(f"{name}{way}"),))
