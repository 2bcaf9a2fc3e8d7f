"""TCP SYNs that come unasked: copies of them go to who answers them late.

A rule drops a packet or answers it at once, and RFC 6092 REC-34 and RFC 5382 REQ-4 want neither.
"""

from __future__ import annotations

from patchbay.rules.model import Condition, Log, Rule, match, unless
from patchbay.rules.words import Field, TcpFlag
from patchbay.values import Firewall, FirewallConfig, Nat, NatConfig

GROUP = 6092
"""Of the log that they are in; named after the RFC."""
_SYN = match(Field.TCP_FLAGS, TcpFlag.SYN), unless(Field.TCP_FLAGS, TcpFlag.ACK)


def noted(*conditions: Condition) -> Rule:
    """The rule before the one that drops packets of these conditions."""
    return Rule((*conditions, *_SYN), (Log(GROUP),), "may be answered later")


def delay(nat: Nat | NatConfig, firewall: Firewall | FirewallConfig, *, version: int) -> int | None:
    """Seconds after which a router answers a SYN of a version of IP; None for never."""
    wall = firewall if isinstance(firewall, FirewallConfig) else firewall.config
    blocks = wall is not None and wall.block_inbound
    of_wall = wall.refuse_syn_after if wall is not None and blocks else None
    config = nat if isinstance(nat, NatConfig) else nat.config
    if version == 6 or config is None:
        return of_wall
    return None if blocks and of_wall is None else config.refuse_syn_after
