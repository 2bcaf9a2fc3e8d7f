"""What cannot be encoded is refused in words; what can is the same bytes every time."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from patchbay.rules import firewall, nat
from patchbay.rules.encode import encode, replacement
from patchbay.rules.model import Chain, Match, Range, Rule, Table, Value, match
from patchbay.rules.words import ChainType, Family, Field, Hook, Verdict
from patchbay.values import (
    Firewall,
    FirewallConfig,
    Nat,
    NatConfig,
    NatTimeouts,
)

WAN = ip_address("198.18.0.10")


def table(*matches: Match, family: Family = Family.IP, comment: str | None = None) -> Table:
    rule = Rule(matches, (Verdict.DROP,), comment)
    chain = Chain(name="c", type=ChainType.FILTER, hook=Hook.INPUT, priority=0, rules=(rule,))
    return Table(family=family, name="t", chains=(chain,))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (Field.TCP_DPORT, 65536),
        (Field.TCP_DPORT, -1),
        (Field.TCP_DPORT, "http"),
        (Field.TCP_DPORT, Range(9, 8)),
        (Field.IIFNAME, "a name of sixteen"),
        (Field.IIFNAME, 7),
        (Field.IP_SADDR, ip_address("fd00::1")),
        (Field.IP_SADDR, 7),
        (Field.CT_STATE, 7),
    ],
)
def test_a_value_that_the_field_never_has_is_refused(field: Field, value: Value) -> None:
    with pytest.raises(ValueError, match=f"{field.value} is never"):
        encode(table(match(field, value)))


def test_a_field_of_the_other_version_of_ip_is_refused() -> None:
    with pytest.raises(ValueError, match="no ip6 saddr in a ip table"):
        encode(table(match(Field.IP6_SADDR, ip_network("fd00::/8"))))


def test_a_match_without_values_and_a_long_comment_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        encode(table(match(Field.IIFNAME)))
    with pytest.raises(ValueError, match="at most 127 bytes"):
        encode(table(comment="x" * 128))


def test_a_replacement_names_every_table_once() -> None:
    wall = firewall.tables(Firewall.CORPORATE, wan="wan")
    made = ["make the table inet firewall", "delete the table inet firewall"]
    asks = [message.asks for message in replacement(wall, wall)]
    assert asks[:3] == [*made, "make the table inet firewall"]
    assert asks.count("delete the table inet firewall") == 1
    assert replacement(wall, wall) == replacement((), wall)
    assert [message.asks for message in replacement(wall, ())] == made


def test_sets_that_both_tables_have_are_kept() -> None:
    """A change of filtering leaves mappings be; one of mapping leaves the ports that are in use."""
    home, cone, corporate = (
        nat.tables(kind, wan="wan", address=WAN)
        for kind in (Nat.HOME, Nat.FULL_CONE, Nat.CORPORATE)
    )
    asks = [message.asks for message in replacement(home, cone)]
    assert "delete the table ip nat" not in asks
    assert not [each for each in asks if "ports" in each or "mappings" in each]
    asks = [message.asks for message in replacement(home, corporate)]
    assert [each for each in asks if each.startswith("delete the set")] == [
        "delete the set udp_mappings of nat",
        "delete the set udp_last of nat",
        "delete the set tcp_mappings of nat",
        "delete the set tcp_last of nat",
    ]


def test_chains_that_both_tables_have_are_left_alone() -> None:
    """A change costs what differs; and a chain is made anew if a set that it names is."""
    (home,), (cone,), (dependent,) = (
        nat.tables(kind, wan="wan", address=WAN)
        for kind in (
            Nat.HOME,
            NatConfig(filtering="endpoint_independent", hairpin=True),
            NatConfig(mapping="address_dependent", port_choice="preserve", hairpin=True),
        )
    )
    assert [each.asks for each in replacement([home], [home])] == ["make the table ip nat"]
    asks = [each.asks for each in replacement([home], [cone])]
    touched = {each.removeprefix("delete the rules of ") for each in asks if "delete" in each}
    assert touched == {"prerouting of nat", "postrouting of nat"}, "others may send, and keep it"
    asks = [each.asks for each in replacement([home], [dependent])]
    for name in ("udp", "udp_take", "udp_deliver"):
        named = f"delete the rules of {name} of nat" in asks
        assert named is (name != "udp_deliver"), "it looks at owners, and these stay"


def test_timeouts_are_those_of_the_nat() -> None:
    """Those of Home are the shortest that RFC 4787, RFC 5382 and RFC 5508 allow."""
    prefix = "netfilter.nf_conntrack_"
    home = {key.removeprefix(prefix): value for key, value in nat.sysctls(Nat.HOME)}
    assert (home["udp_timeout"], home["udp_timeout_stream"], home["icmp_timeout"]) == (
        "120", "300", "60",
    )  # fmt: skip
    open_ = {"established", "unacknowledged", "max_retrans"}
    for name, value in home.items():
        if name.startswith("tcp_timeout_"):
            assert value == ("7440" if name.removeprefix("tcp_timeout_") in open_ else "240"), name
    assert home.keys() == {key.removeprefix(prefix) for key, _ in nat.sysctls(Nat.NONE)}
    assert dict(nat.sysctls(NatConfig(timeouts=NatTimeouts(udp=5))))[f"{prefix}udp_timeout"] == "5"


def test_a_firewall_that_blocks_nothing_has_no_table() -> None:
    assert firewall.tables(FirewallConfig(), wan="wan") == ()
