"""A router's firewall as nftables tables and sysctls, the same for IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from patchbay.rules import black_hole, opened, portal, spoofing, unsolicited
from patchbay.rules.model import (
    Branch,
    Chain,
    Match,
    Range,
    Reject,
    RejectWith,
    Rule,
    Table,
    Value,
    match,
)
from patchbay.rules.words import (
    ChainType,
    CtState,
    CtStatus,
    Family,
    Field,
    Hook,
    Icmpv6Type,
    L4Proto,
    Priority,
    Verdict,
)
from patchbay.values import (
    Firewall,
    FirewallAction,
    FirewallConfig,
    FirewallDirection,
    FirewallProtocol,
    FirewallRule,
    NatFiltering,
    Network,
    Pinhole,
)

_NEIGHBOUR_DISCOVERY = (
    Icmpv6Type.ND_ROUTER_SOLICIT,
    Icmpv6Type.ND_ROUTER_ADVERT,
    Icmpv6Type.ND_NEIGHBOR_SOLICIT,
    Icmpv6Type.ND_NEIGHBOR_ADVERT,
    Icmpv6Type.MLD_LISTENER_QUERY,
)
"""What a router must hear on its uplink to stay on it (RFC 4890 4.4.1)."""
_KNOWN = match(Field.CT_STATE, CtState.ESTABLISHED, CtState.RELATED)
_SENT_ON = match(Field.CT_STATUS, CtStatus.DNAT)
_UNASKED = "belongs to no flow from inside"
_IKE = 500
_PRIVATE_NETWORKS = (L4Proto.ESP, L4Proto.AH, L4Proto.HIP)
_PROTOCOLS = {
    FirewallProtocol.TCP: (L4Proto.TCP,),
    FirewallProtocol.UDP: (L4Proto.UDP,),
    FirewallProtocol.ICMP: (L4Proto.ICMP, L4Proto.ICMPV6),
}
_PORTS = {
    FirewallProtocol.TCP: (Field.TCP_SPORT, Field.TCP_DPORT),
    FirewallProtocol.UDP: (Field.UDP_SPORT, Field.UDP_DPORT),
}
_ADDRESSES = {4: (Field.IP_SADDR, Field.IP_DADDR), 6: (Field.IP6_SADDR, Field.IP6_DADDR)}
_UDP, _ESTABLISHED, _TRANSITORY = 300, 7440, 240
"""Seconds: RFC 6092 REC-14, and REC-35 twice."""


def tables(
    firewall: Firewall | FirewallConfig,
    *,
    wan: str,
    lan: str = "lan",
    released: Iterable[str] = (),
    pinholes: Iterable[Pinhole] = (),
    block_icmp_frag_needed: bool = False,
) -> tuple[Table, ...]:
    """The tables of a router with this firewall; none if it lets everything through.

    Args:
        firewall: what to let through.
        wan: name of the uplink's interface.
        lan: name of the LAN's interface.
        released: hardware addresses of hosts that a captive portal lets pass.
        pinholes: ways in that hosts have asked for; the firewall's own rules come before.
        block_icmp_frag_needed: whether path MTU discovery ends here, whatever the firewall says.
    """
    config = _config(firewall)
    if config.block_inbound:
        config = replace(config, rules=(*config.rules, *map(_way_in, pinholes)))
    found = _table(config, wan)
    silence = block_icmp_frag_needed or config.block_icmp_frag_needed
    return (
        *(portal.tables(released, wan=wan, lan=lan) if config.captive_portal else ()),
        *([found] if found.chains else []),
        *([black_hole.table()] if silence else []),
    )


def idle_timeout(protocol: str) -> int:
    """Seconds for which a firewall remembers an idle flow: an open one, of `udp` or `tcp`."""
    return _UDP if protocol == "udp" else _ESTABLISHED


def sysctls(firewall: Firewall | FirewallConfig) -> tuple[tuple[str, str], ...]:
    """How long a router without NAT remembers idle flows: sysctls (key in dots, below `net`).

    They are those of RFC 6092; none if it need not remember any.
    """
    if not _table(_config(firewall), "wan").chains:
        return ()
    transitory = ("syn_sent", "syn_recv", "fin_wait", "close_wait", "last_ack")
    stated = {
        "udp_timeout": _UDP,
        "udp_timeout_stream": _UDP,
        "tcp_timeout_established": _ESTABLISHED,
        **{f"tcp_timeout_{state}": _TRANSITORY for state in transitory},
    }
    return tuple(
        (f"netfilter.nf_conntrack_{name}", str(seconds)) for name, seconds in stated.items()
    )


def _way_in(pinhole: Pinhole) -> FirewallRule:
    return FirewallRule(
        FirewallAction.ACCEPT,
        FirewallDirection.INBOUND,
        pinhole.protocol,
        ports=[pinhole.port],
        source_ports=() if pinhole.remote_port is None else [pinhole.remote_port],
        source=() if pinhole.remote is None else [pinhole.remote],
        destination=[pinhole.host],
    )


def _config(firewall: Firewall | FirewallConfig) -> FirewallConfig:
    config = firewall if isinstance(firewall, FirewallConfig) else firewall.config
    return FirewallConfig() if config is None else config


@lru_cache(maxsize=256)
def _table(config: FirewallConfig, wan: str) -> Table:
    from_wan, to_wan = match(Field.IIFNAME, wan), match(Field.OIFNAME, wan)
    inbound = tuple(_ruled(config, FirewallDirection.INBOUND, from_wan))
    outbound = (
        *_ruled(config, FirewallDirection.OUTBOUND, to_wan),
        *_port_policies(config, to_wan),
    )
    # First, and whichever way they go: this is as far as most packets come.
    known = (Rule((_KNOWN,), (Verdict.ACCEPT,)),) if config.stateful else ()
    to_router: tuple[Rule, ...] = inbound
    to_lan: tuple[Rule, ...] = inbound
    if config.block_inbound:
        refuse = tuple(_refused(config, from_wan))
        discovery = match(Field.ICMPV6_TYPE, *_NEIGHBOUR_DISCOVERY)
        to_router += (Rule((from_wan, discovery), (Verdict.ACCEPT,)), *refuse)
        to_lan += (*_let_in(config, from_wan), *refuse)
    chains: list[Chain | Branch] = []
    if config.block_spoofed:
        chains += spoofing.chains()
    if to_router:
        chains.append(_chain("input", Hook.INPUT, (*known, *to_router)))
    if to_lan or outbound:
        chains.append(_chain("forward", Hook.FORWARD, (*known, *to_lan, *outbound)))
    table = Table(family=Family.INET, name="firewall", chains=tuple(chains))
    if not _opens(config):
        return table
    refuse = tuple(_refused(config))
    return Table(
        family=table.family,
        name=table.name,
        sets=opened.sets(config.filtering),
        chains=(
            *table.chains,
            *opened.notes(config.filtering, wan),
            *opened.branches(config.filtering, refuse),
        ),
    )


def _chain(name: str, hook: Hook, rules: tuple[Rule, ...]) -> Chain:
    return Chain(name=name, type=ChainType.FILTER, hook=hook, priority=Priority.FILTER, rules=rules)


def _refused(config: FirewallConfig, *conditions: Match) -> Iterator[Rule]:
    """What is done to what nothing has let in."""
    if config.refuse_syn_after is not None:
        yield unsolicited.noted(*conditions)
    yield from _verdicts(config.refuse, conditions, _UNASKED)


def _opens(config: FirewallConfig) -> bool:
    """Whether others than those that were sent to may answer."""
    strict = NatFiltering.ADDRESS_AND_PORT_DEPENDENT
    return config.block_inbound and config.filtering is not strict


def _let_in(config: FirewallConfig, from_wan: Match) -> Iterator[Rule]:
    """What comes in unasked although inbound flows are blocked."""
    accept = (Verdict.ACCEPT,)
    yield Rule((from_wan, _SENT_ON), accept, "sent on by NAT")
    if config.allow_ipsec:
        yield Rule((from_wan, match(Field.L4PROTO, *_PRIVATE_NETWORKS)), accept)
        yield Rule((from_wan, match(Field.UDP_DPORT, _IKE)), accept)
    if _opens(config):
        yield from opened.rules(from_wan)


def _port_policies(config: FirewallConfig, to_wan: Match) -> Iterator[Rule]:
    """Which connections the LAN may begin; answers to others' are not asked for their ports."""
    policies = (
        (config.outbound_tcp, L4Proto.TCP, Field.TCP_DPORT),
        (config.outbound_udp, L4Proto.UDP, Field.UDP_DPORT),
    )
    for policy, protocol, port in policies:
        if policy.ports is None:
            continue
        if policy.ports:
            yield Rule((to_wan, match(port, *policy.ports)), (Verdict.ACCEPT,))
        to_others = (to_wan, match(Field.L4PROTO, protocol))
        tcp = protocol is L4Proto.TCP
        yield from _verdicts(config.refuse, to_others, "port not allowed", tcp=tcp)
    if not config.outbound_icmp:
        icmp = match(Field.L4PROTO, L4Proto.ICMP, L4Proto.ICMPV6)
        yield from _verdicts(config.refuse, (to_wan, icmp), "ICMP not allowed", tcp=False)


def _ruled(config: FirewallConfig, direction: FirewallDirection, side: Match) -> Iterator[Rule]:
    """The rules of one direction."""
    for rule in config.rules:
        if rule.direction is direction:
            tcp = None if rule.protocol is None else rule.protocol is FirewallProtocol.TCP
            for matches in _matches(rule):
                yield from _verdicts(rule.action, (side, *matches), tcp=tcp)


def _matches(rule: FirewallRule) -> Iterator[tuple[Match, ...]]:
    """What a rule matches: once if addresses do not matter, else for each version of IP."""
    packet: tuple[Match, ...] = ()
    if rule.protocol in _PORTS:
        fields = _PORTS[rule.protocol]
        packet = tuple(
            match(field, *(Range(*each) if isinstance(each, tuple) else each for each in ports))
            for field, ports in zip(fields, (rule.source_ports, rule.ports), strict=True)
            if ports
        )
    if rule.protocol is not None and not packet:
        packet = (match(Field.L4PROTO, *_PROTOCOLS[rule.protocol]),)
    if not rule.source and not rule.destination:
        yield packet
        return
    for version in rule.versions:
        ends = zip(_ADDRESSES[version], (rule.source, rule.destination), strict=True)
        addresses = tuple(
            match(field, *(_address(each) for each in networks if each.version == version))
            for field, networks in ends
            if networks
        )
        yield (*addresses, *packet)


def _address(network: Network) -> Value:
    """A subnet, or the address that is all of it."""
    whole = network.prefixlen == network.max_prefixlen
    return network.network_address if whole else network


def _verdicts(
    action: FirewallAction,
    matches: tuple[Match, ...],
    why: str | None = None,
    *,
    tcp: bool | None = None,
) -> Iterator[Rule]:
    """Rules that do what an action says.

    Args:
        action: what is done.
        matches: to which packets.
        why: for whoever lists the rules.
        tcp: whether they are TCP; None if some may be.
    """
    match action:
        case FirewallAction.ACCEPT:
            yield Rule(matches, (Verdict.ACCEPT,), why)
        case FirewallAction.DROP:
            yield Rule(matches, (Verdict.DROP,), why)
        case FirewallAction.REJECT:
            if tcp is not False:
                only = () if tcp else (match(Field.L4PROTO, L4Proto.TCP),)
                yield Rule((*matches, *only), (Reject(RejectWith.TCP_RESET),), why)
            if not tcp:
                yield Rule(matches, (Reject(RejectWith.ICMPX_ADMIN_PROHIBITED),), why)
