"""A router at which path MTU discovery ends: nobody is told that packets are too long.

Both hooks are needed: what other routers say passes by `forward`; what this one says, about its
own MTU, leaves by `output`.
"""

from __future__ import annotations

from patchbay.rules.model import Chain, Rule, Table, match
from patchbay.rules.words import (
    ChainType,
    Family,
    Field,
    Hook,
    IcmpCode,
    IcmpType,
    Icmpv6Type,
    Priority,
    Verdict,
)

_SILENCE = (
    Rule(
        (
            match(Field.ICMP_TYPE, IcmpType.DESTINATION_UNREACHABLE),
            match(Field.ICMP_CODE, IcmpCode.FRAG_NEEDED),
        ),
        (Verdict.DROP,),
    ),
    Rule((match(Field.ICMPV6_TYPE, Icmpv6Type.PACKET_TOO_BIG),), (Verdict.DROP,)),
)


def table() -> Table:
    """The table that drops "fragmentation needed" and "packet too big"."""
    return Table(
        family=Family.INET,
        name="black_hole",
        chains=tuple(
            Chain(
                name=hook.value,
                type=ChainType.FILTER,
                hook=hook,
                priority=Priority.FILTER,
                rules=_SILENCE,
            )
            for hook in (Hook.FORWARD, Hook.OUTPUT)
        ),
    )
