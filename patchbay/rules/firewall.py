"""A router's firewall as nftables tables, the same for IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import Iterator

from patchbay.rules.model import Chain, Rule, Table, match
from patchbay.rules.words import (
    ChainType,
    CtState,
    Family,
    Field,
    Hook,
    Icmpv6Type,
    L4Proto,
    Priority,
    Verdict,
)
from patchbay.values import Firewall, FirewallConfig

_NEIGHBOUR_DISCOVERY = (
    Icmpv6Type.ND_ROUTER_SOLICIT,
    Icmpv6Type.ND_ROUTER_ADVERT,
    Icmpv6Type.ND_NEIGHBOR_SOLICIT,
    Icmpv6Type.ND_NEIGHBOR_ADVERT,
    Icmpv6Type.MLD_LISTENER_QUERY,
)
"""What a router must hear on its uplink to stay on it (RFC 4890 4.4.1)."""

_KNOWN = match(Field.CT_STATE, CtState.ESTABLISHED, CtState.RELATED)


def tables(firewall: Firewall | FirewallConfig, *, wan: str) -> tuple[Table, ...]:
    """The tables of a router with this firewall; none if it lets everything through.

    Args:
        firewall: what to let through.
        wan: name of the uplink's interface.
    """
    config = firewall if isinstance(firewall, FirewallConfig) else firewall.config
    if config is None or config == FirewallConfig():
        return ()
    return (_table(config, wan),)


def _table(config: FirewallConfig, wan: str) -> Table:
    from_wan = match(Field.IIFNAME, wan)
    let_known_in = Rule((from_wan, _KNOWN), (Verdict.ACCEPT,))
    drop_the_rest = Rule((from_wan,), (Verdict.DROP,), "belongs to no flow from inside")
    keep_the_link = Rule(
        (from_wan, match(Field.ICMPV6_TYPE, *_NEIGHBOUR_DISCOVERY)), (Verdict.ACCEPT,)
    )
    to_router = (let_known_in, keep_the_link, drop_the_rest)
    inbound = (let_known_in, drop_the_rest)
    chains = (
        Chain(
            name="input",
            type=ChainType.FILTER,
            hook=Hook.INPUT,
            priority=Priority.FILTER,
            rules=to_router if config.block_inbound else (),
        ),
        Chain(
            name="forward",
            type=ChainType.FILTER,
            hook=Hook.FORWARD,
            priority=Priority.FILTER,
            rules=(*(inbound if config.block_inbound else ()), *_outbound(config, wan)),
        ),
    )
    return Table(
        family=Family.INET, name="firewall", chains=tuple(chain for chain in chains if chain.rules)
    )


def _outbound(config: FirewallConfig, wan: str) -> Iterator[Rule]:
    """Which connections the LAN may begin; answers to others' are not asked for their ports."""
    to_wan = match(Field.OIFNAME, wan)
    policies = (
        (config.outbound_tcp, L4Proto.TCP, Field.TCP_DPORT),
        (config.outbound_udp, L4Proto.UDP, Field.UDP_DPORT),
    )
    if any(policy.ports is not None for policy, _, _ in policies):
        yield Rule((to_wan, _KNOWN), (Verdict.ACCEPT,))
    for policy, protocol, port in policies:
        if policy.ports is None:
            continue
        if policy.ports:
            yield Rule((to_wan, match(port, *policy.ports)), (Verdict.ACCEPT,))
        yield Rule((to_wan, match(Field.L4PROTO, protocol)), (Verdict.DROP,), "port not allowed")
