"""The text of rules is that of nft, golden file by golden file."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from patchbay.rules import firewall, nat
from patchbay.rules.model import Chain, Match, Rule, Table, match, unless
from patchbay.rules.text import rule_text, ruleset
from patchbay.rules.words import ChainType, CtState, Family, Field, Hook, Verdict
from patchbay.values import Firewall, FirewallConfig, FirewallRule, Nat, NatConfig, PortPolicy

GOLDEN = Path(__file__).with_name("golden")
WAN = ip_address("198.18.0.10")
CASES = {
    "home_nat": nat.tables(Nat.HOME, wan="wan", address=WAN),
    "no_nat": nat.tables(Nat.NONE, wan="wan", address=WAN),
    "block_inbound": firewall.tables(Firewall.BLOCK_INBOUND, wan="wan"),
    "full_cone_nat": nat.tables(Nat.FULL_CONE, wan="wan", address=WAN),
    "restricted_nat": nat.tables(
        NatConfig("address_dependent", "address_dependent", ports=(5000, 5003)),
        wan="wan",
        address=WAN,
    ),
    "corporate_nat": nat.tables(Nat.CORPORATE, wan="wan", address=WAN),
    "corporate_firewall": firewall.tables(Firewall.CORPORATE, wan="wan"),
    "captive_portal": firewall.tables(Firewall.CAPTIVE_PORTAL, wan="wan"),
    "no_udp": firewall.tables(FirewallConfig(outbound_udp=PortPolicy.BLOCK_ALL), wan="wan"),
    "custom_firewall": firewall.tables(
        FirewallConfig(
            block_inbound=True,
            outbound_tcp=PortPolicy.allow(80),
            outbound_icmp=False,
            refuse="reject",
            filtering="address_dependent",
            rules=[
                FirewallRule("reject", "outbound", destination=["203.0.113.1", "2001:db8:7::/48"]),
                FirewallRule("accept", "inbound", "tcp", ports=[22, (8000, 8010)]),
                FirewallRule("drop", "inbound", "icmp", source="198.18.0.0/15"),
            ],
        ),
        wan="wan",
    ),
    "stateless_firewall": firewall.tables(
        FirewallConfig(
            block_inbound=True,
            stateful=False,
            rules=[FirewallRule("accept", "inbound", "udp", source_ports=53)],
        ),
        wan="wan",
    ),
    "black_hole": firewall.tables(Firewall.NONE, wan="wan", block_icmp_frag_needed=True),
    "no_firewall": firewall.tables(Firewall.NONE, wan="wan"),
    "home_router": (
        *nat.tables(Nat.HOME, wan="wan", address=WAN),
        *firewall.tables(Firewall.BLOCK_INBOUND, wan="wan"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_ruleset_is_its_golden_file(name: str) -> None:
    assert ruleset(CASES[name]) == (GOLDEN / f"{name}.nft").read_text()


KNOWN = match(Field.CT_STATE, CtState.ESTABLISHED, CtState.RELATED)


@pytest.mark.parametrize("nat_kind", [Nat.HOME, Nat.FULL_CONE, Nat.CORPORATE, Nat.CGNAT])
@pytest.mark.parametrize("wall", [Firewall.BLOCK_INBOUND, Firewall.CORPORATE])
def test_most_packets_meet_few_rules(nat_kind: Nat, wall: Firewall) -> None:
    """What is forwarded is sorted out by the state of its connection, not by names of interfaces."""
    tables = (
        *nat.tables(nat_kind, wan="wan", address=WAN),
        *firewall.tables(wall, wan="wan"),
    )
    chains = [
        chain
        for table in tables
        for chain in table.chains
        if isinstance(chain, Chain) and chain.hook is Hook.FORWARD
    ]
    assert {chain.name for chain in chains} >= {"forward"}
    for chain in chains:
        known = Rule((KNOWN,), (Verdict.ACCEPT,))
        met = chain.rules[: chain.rules.index(known)] if known in chain.rules else chain.rules
        assert len(met) <= 1
        for rule in met:
            first = rule.matches[0]
            assert isinstance(first, Match)
            assert first.field in {Field.CT_STATE, Field.TCP_FLAGS}


def test_values_are_sorted_and_flags_joined() -> None:
    rule = Rule(
        (
            match(Field.TCP_DPORT, 443, 80),
            unless(Field.IIFNAME, "wan"),
            match(Field.CT_STATE, CtState.RELATED, CtState.ESTABLISHED),
        ),
        (Verdict.ACCEPT,),
    )
    assert rule_text(rule) == (
        'tcp dport { 80, 443 } iifname != "wan" ct state established,related accept'
    )


@pytest.mark.parametrize(
    ("hook", "priority", "text"),
    [
        (Hook.FORWARD, 0, "filter"),
        (Hook.FORWARD, 5, "filter + 5"),
        (Hook.FORWARD, -10, "filter - 10"),
        (Hook.FORWARD, 11, "11"),
        (Hook.PREROUTING, -100, "dstnat"),
        (Hook.POSTROUTING, -100, "-100"),
        (Hook.POSTROUTING, 100, "srcnat"),
        (Hook.PREROUTING, 100, "100"),
        (Hook.PREROUTING, -300, "raw"),
    ],
)
def test_a_priority_near_a_standard_one_is_named(hook: Hook, priority: int, text: str) -> None:
    chain = Chain(name="c", type=ChainType.FILTER, hook=hook, priority=priority)
    listed = ruleset([Table(family=Family.INET, name="t", chains=(chain,))])
    assert f"priority {text}; policy accept;" in listed
