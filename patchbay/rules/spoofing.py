"""Packets that are not from where they say they are, or that no network should carry (RFC 6092 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network

from patchbay.rules.model import Branch, Chain, Goto, Rule, match
from patchbay.rules.words import ChainType, Field, Hook, NfProto, Presence, Priority, Verdict

_ON_THE_LINK = (IPv6Address("::"), IPv6Network("fe80::/10"))
"""Sources of neighbour discovery, which are routed nowhere."""
_FORBIDDEN = (
    IPv6Network("::/96"),  # IPv4-compatible (RFC 5156 2.3)
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped (RFC 5156 2.2)
    IPv6Network("2001:10::/28"),  # ORCHID (RFC 5156 2.7)
    IPv6Network("fec0::/10"),  # site-local (RFC 3879)
)
"""RFC 6092 REC-3, but for the addresses of documentation: they are the internet of a lab."""
_DEPRECATED = 0
"""The type of routing header that leads packets to and fro (RFC 5095)."""


def chains() -> Iterator[Chain | Branch]:
    """The chains that drop them, whichever way they go, before anybody takes note of them."""
    drop = (Verdict.DROP,)
    stray = Rule((match(Field.FIB_SADDR_IIF, Presence.MISSING),), drop, "not its way")
    yield Chain(
        name="spoofed",
        type=ChainType.FILTER,
        hook=Hook.PREROUTING,
        priority=Priority.RAW,
        rules=(Rule((match(Field.NFPROTO, NfProto.IPV6),), (Goto("spoofed6"),)), stray),
    )
    yield Branch(
        "spoofed6",
        (
            Rule((match(Field.IP6_SADDR, *_ON_THE_LINK),), (Verdict.ACCEPT,)),
            stray,
            Rule((match(Field.IP6_SADDR, *_FORBIDDEN),), drop, "of no host"),
            Rule((match(Field.IP6_DADDR, *_FORBIDDEN),), drop, "of no host"),
            Rule((match(Field.RT_TYPE, _DEPRECATED),), drop, "deprecated"),
        ),
    )
