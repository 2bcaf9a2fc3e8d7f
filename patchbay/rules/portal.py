"""A captive portal as an nftables table: who has not been released gets a page, and nothing else.

Hosts are told by their hardware addresses, as hotels do: whatever addresses they take, they stay
released. What is held back is so packet by packet, open connections too.
"""

from __future__ import annotations

from collections.abc import Iterable

from patchbay.rules.model import (
    Chain,
    Match,
    Redirect,
    Reject,
    RejectWith,
    Rule,
    Table,
    match,
    unless,
)
from patchbay.rules.words import (
    AddressType,
    ChainType,
    Family,
    Field,
    Hook,
    L4Proto,
    MacAddress,
    NfProto,
    Priority,
    Verdict,
)

PORT = 8910
"""Where the page is served on the router, over TCP; named after RFC 8910."""
_WEB, _NAMES = 80, 53
_BEFORE_THE_FIREWALL = Priority.FILTER - 5


def tables(released: Iterable[str], *, wan: str, lan: str) -> tuple[Table, ...]:
    """The table of a portal.

    Args:
        released: hardware addresses of hosts that may pass.
        wan: name of the uplink's interface.
        lan: name of the LAN's interface.
    """
    known = tuple(map(MacAddress.of, released))
    held: tuple[Match, ...] = (unless(Field.ETHER_SADDR, *known),) if known else ()
    leaving = (match(Field.IIFNAME, lan), match(Field.OIFNAME, wan), *held)
    accept = (Verdict.ACCEPT,)
    web = Rule(
        (
            match(Field.IIFNAME, lan),
            *held,
            match(Field.NFPROTO, NfProto.IPV4),
            match(Field.TCP_DPORT, _WEB),
            unless(Field.FIB_DADDR_TYPE, AddressType.LOCAL),
        ),
        (Redirect(PORT),),
    )
    forward = (
        Rule((*leaving, match(Field.UDP_DPORT, _NAMES)), accept),
        Rule((*leaving, match(Field.TCP_DPORT, _NAMES)), accept),
        Rule((*leaving, match(Field.L4PROTO, L4Proto.TCP)), (Reject(RejectWith.TCP_RESET),)),
        Rule(leaving, (Reject(RejectWith.ICMPX_ADMIN_PROHIBITED),)),
    )
    return (
        Table(
            family=Family.INET,
            name="portal",
            chains=(
                Chain(
                    name="web",
                    type=ChainType.NAT,
                    hook=Hook.PREROUTING,
                    priority=Priority.DSTNAT,
                    rules=(web,),
                ),
                Chain(
                    name="held",
                    type=ChainType.FILTER,
                    hook=Hook.FORWARD,
                    priority=_BEFORE_THE_FIREWALL,
                    rules=forward,
                ),
            ),
        ),
    )
