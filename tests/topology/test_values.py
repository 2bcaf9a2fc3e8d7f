"""Values are checked when they are made, tell all mistakes at once, and know their names."""

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbay.errors import ConfigError, PatchbayError, Problem, nearest
from patchbay.topology.plain import from_plain, to_plain
from patchbay.values import (
    Firewall,
    FirewallConfig,
    FirewallRule,
    IfaceConfig,
    IpSupport,
    LinkCondition,
    Nat,
    NatConfig,
    NatFiltering,
    NatMapping,
    NatTimeouts,
    NatV6Mode,
    PortForward,
    PortPolicy,
    RegionLink,
    RouterPreset,
    parse,
    parse_firewall,
    parse_nat,
)

ENUMS = (Nat, NatMapping, NatFiltering, NatV6Mode, Firewall, RouterPreset, IpSupport)


@pytest.mark.parametrize("kind", ENUMS)
def test_every_member_is_found_by_any_spelling_of_its_name(kind):
    for member in kind:
        for spelling in (member.name, member.name.lower(), member.value.replace("_", "-")):
            assert parse(kind, spelling) is member
            assert kind(spelling) is member
        assert parse(kind, member) is member


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ConfigError) as caught:
        parse(RouterPreset, "hmoe", "router 'r', preset")

    (problem,) = caught.value.problems
    assert problem.place == "router 'r', preset"
    assert problem.nearest == "home"
    assert "did you mean 'home'?" in str(caught.value)


@given(st.text())
def test_no_text_breaks_parsing(text):
    for kind in (Nat, LinkCondition):
        with suppress(ConfigError):
            assert isinstance(parse(kind, text), kind)


def test_what_is_no_name_at_all_is_told():
    with pytest.raises(ConfigError, match="5 is not a Nat or one of none, home"):
        parse(Nat, 5)


def test_config_error_lists_all_and_is_a_value_error():
    error = ConfigError([Problem("a", "is wrong"), Problem("b", "is too", "c")])

    assert isinstance(error, PatchbayError)
    assert isinstance(error, ValueError)
    assert str(error) == "2 mistakes:\n  - a: is wrong\n  - b: is too; did you mean 'c'?"


def test_nearest_ignores_case_and_gives_nothing_far_away():
    assert nearest("LAPTPO", ["Laptop", "phone"]) == "Laptop"
    assert nearest("xyz", ["laptop"]) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lan", (0, 0, 0, None)),
        ("wifi", (5, 2, 0.1, None)),
        ("wifi_bad", (40, 15, 2, 20_000)),
        ("mobile-4g", (25, 8, 0.5, None)),
        ("mobile", (25, 8, 0.5, None)),
        ("mobile_3g", (100, 30, 2, 2_000)),
        ("SATELLITE", (40, 7, 1, None)),
        ("satellite_geo", (300, 20, 0.5, 25_000)),
    ],
)
def test_presets_of_links_carry_their_values(name, expected):
    condition = parse(LinkCondition, name)

    got = (condition.latency_ms, condition.jitter_ms, condition.loss_pct, condition.rate_kbit)
    assert got == expected


def test_only_a_condition_that_does_nothing_is_perfect():
    assert LinkCondition().perfect
    assert LinkCondition.LAN.perfect
    assert not LinkCondition(queue_pkts=1).perfect


def test_all_mistakes_of_a_condition_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        LinkCondition(
            latency_ms=-1,
            jitter_ms=float("nan"),
            loss_pct=101,
            rate_kbit=0,
            loss_burst_pkts=0,
            queue_pkts=0,
        )

    places = [problem.place for problem in caught.value.problems]
    expected = ["latency_ms", "jitter_ms", "loss_pct", "loss_burst_pkts", "rate_kbit", "queue_pkts"]
    assert places == expected


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("home", (Nat.HOME, "none", "block_inbound", "dual_stack", False)),
        ("public", (Nat.NONE, "none", "none", "dual_stack", True)),
        ("public_v4", (Nat.NONE, "none", "none", "v4_only", True)),
        ("isp_cgnat", (Nat.CGNAT, "none", "none", "dual_stack", False)),
        ("isp_v6", (Nat.NONE, "nat64", "block_inbound", "v6_only", True)),
        ("corporate", (Nat.CORPORATE, "none", "corporate", "dual_stack", False)),
        ("hotel", (Nat.CORPORATE, "none", "captive_portal", "v4_only", False)),
        ("cloud", (Nat.CLOUD_NAT, "none", "none", "dual_stack", False)),
    ],
)
def test_presets_of_routers_carry_their_values(preset, expected):
    kind = RouterPreset(preset)

    got = (kind.nat, str(kind.nat_v6), str(kind.firewall), str(kind.ip_support), kind.public)
    assert got == expected


def test_kinds_of_nat_are_spelled_out():
    home, full, corporate = Nat.HOME.config, Nat.FULL_CONE.config, Nat.CORPORATE.config
    assert Nat.NONE.config is None
    assert home == NatConfig("endpoint_independent", "address_and_port_dependent", hairpin=True)
    assert (home.timeouts.udp, home.timeouts.udp_stream) == (120, 300)
    assert home.timeouts.tcp_established == 7440
    legacy = NatTimeouts(udp=30, udp_stream=300, tcp_established=7200)
    assert Nat.HOME_LEGACY.config == NatConfig(timeouts=legacy)
    assert full == NatConfig(filtering="endpoint-independent", hairpin=True, timeouts=legacy)
    assert Nat.CGNAT.config.filtering is NatFiltering.ENDPOINT_INDEPENDENT
    assert corporate.mapping is NatMapping.ADDRESS_AND_PORT_DEPENDENT
    assert corporate.timeouts == NatTimeouts(udp=30, udp_stream=120, tcp_established=3600)
    assert Nat.CLOUD_NAT.config.timeouts.udp_stream == 350


def test_kinds_of_nat_have_names_as_games_have_them():
    assert [parse_nat(name) for name in ("open", "moderate", "strict")] == [
        Nat.FULL_CONE,
        Nat.HOME,
        Nat.CORPORATE,
    ]
    assert Nat.OPEN is Nat.FULL_CONE


def test_all_mistakes_of_a_nat_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        NatConfig(
            "home",
            addresses=["x", "198.18.0.9", "198.18.0.9"],
            one_to_one={"10.0.1.2": "y"},
            forwards=[PortForward("tcp", 80, "10.0.1.2"), PortForward("tcp", 80, "10.0.1.3")],
            exempt=["10.0.0.0/33"],
            block_size=100,
            quota=0,
            hold_down=-1,
            rebind_every=0,
            parity=True,
        )
    assert [problem.place for problem in caught.value.problems] == [
        "mapping", "addresses", "one_to_one", "exempt", "block_size", "parity", "quota",
        "hold_down", "rebind_every", "forwards", "addresses",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        # A word would be true, whatever it says.
        (lambda: NatConfig(hairpin="no"), "hairpin: 'no' is neither True nor False"),
        (lambda: NatConfig(parity=2), "parity: 2 is neither True nor False"),
        (lambda: FirewallConfig(block_inbound="off"), "block_inbound: 'off' is neither"),
        (lambda: FirewallConfig(outbound_icmp=PortPolicy.BLOCK_ALL), "outbound_icmp: PortPolicy"),
        # A text is no list of its letters, nor a subnet one of its addresses.
        (lambda: NatConfig(addresses="198.18.0.9"), "addresses: '198.18.0.9' is no list of addr"),
        (lambda: NatConfig(exempt=IPv4Network("10.0.0.0/8")), "exempt: IPv4Network('10.0.0.0/8')"),
        (lambda: NatConfig(one_to_one=("10.0.1.2", "198.18.0.9")), "'10.0.1.2' is no list of addr"),
        (lambda: FirewallRule("drop", "inbound", "tcp", ports="80"), "ports: '80' is no list"),
        (lambda: PortPolicy(80), "ports: 80 is no list of ports"),
        # Nothing is left out in silence.
        (lambda: NatConfig(one_to_one=[("10.0.1.2",)]), "one_to_one: ('10.0.1.2',) is no pair"),
        (
            lambda: NatConfig(one_to_one=[("10.0.1.2", "198.18.0.9", "198.18.0.10")]),
            "is no pair of an internal and an external address",
        ),
        # A number is no address, although `ipaddress` reads it as one.
        (lambda: PortForward("tcp", 80, 8080), "host: 8080 is not an IPv4Address"),
        (lambda: FirewallRule("drop", "inbound", source=[10]), "source: 10 is not an address"),
        # What is of another kind.
        (lambda: NatConfig(timeouts={"udp": 5}), "timeouts: {'udp': 5} is not a NatTimeouts"),
        (lambda: NatConfig(ports=5000), "ports: 5000 is not a first and a last port"),
        (lambda: NatConfig(ports="5000-5010"), "ports: '5000-5010' is not a first and a last"),
        (lambda: NatConfig(forwards=[("tcp", 80, "10.0.1.2")]), "forwards[0]: ('tcp', 80"),
        (lambda: NatConfig(forwards=PortForward("tcp", 80, "10.0.1.2")), "no list of PortForwards"),
        (lambda: FirewallConfig(rules=FirewallRule("drop", "inbound")), "no list of FirewallRules"),
        (lambda: FirewallRule("drop", "inbound", source=None), "source: None is no list of"),
    ],
)
def test_what_is_typed_for_something_else_is_told(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)


def test_tcp_is_as_udp_unless_it_is_said_otherwise():
    config = NatConfig("address_dependent", tcp_filtering="address_dependent")
    assert config.mapping_of("tcp") is config.mapping_of("udp") is NatMapping.ADDRESS_DEPENDENT
    assert config.filtering_of("tcp") is NatFiltering.ADDRESS_DEPENDENT
    assert config.filtering_of("udp") is NatFiltering.ADDRESS_AND_PORT_DEPENDENT
    mixed = NatConfig(tcp_mapping="address_dependent")
    assert (str(mixed.port_choice_of("udp")), str(mixed.port_choice_of("tcp"))) == (
        "preserve",
        "random",
    )


def test_kinds_of_firewall_are_spelled_out():
    corporate = Firewall.CORPORATE.config
    assert Firewall.NONE.config is None
    assert Firewall.BLOCK_INBOUND.config == FirewallConfig(
        block_inbound=True,
        filtering="endpoint_independent",
        allow_ipsec=True,
        block_spoofed=True,
        refuse_syn_after=6,
    )
    assert corporate.outbound_tcp == PortPolicy.allow(443, 80)
    assert corporate.outbound_udp.ports == (53,)
    assert Firewall.CAPTIVE_PORTAL.config.outbound_tcp is PortPolicy.ALLOW_ALL
    assert PortPolicy.BLOCK_ALL.ports == ()


def test_configs_pass_where_names_do():
    config = NatConfig(hairpin=True)
    assert parse_nat(config) is config
    assert parse_nat("home") is Nat.HOME
    assert parse_firewall("block-inbound") is Firewall.BLOCK_INBOUND
    assert replace(config, mapping="address_dependent").hairpin


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: NatConfig(mapping="home"),
        lambda: NatConfig(ports=(10, 5)),
        lambda: NatTimeouts(udp=0),
        lambda: PortForward("icmp", 1, "10.0.0.1"),
        lambda: PortForward("udp", 0, "10.0.0.1"),
        lambda: PortForward("udp", 1, "host"),
        lambda: NatConfig(ports=(5000, 5062), block_size=64),
        lambda: NatConfig(addresses=[f"198.18.0.{host}" for host in range(20, 36)]),
        lambda: PortPolicy.allow(0),
        lambda: RegionLink(-1),
        lambda: IfaceConfig("r", mtu=67),
        lambda: IfaceConfig("r", mtu=65_536),
        lambda: IfaceConfig("r", mac="01:00:00:00:00:01"),
        lambda: IfaceConfig("r", mac="2:0:0:0:0:1"),
        lambda: IfaceConfig("r", address="2001:db8::1"),
        lambda: IfaceConfig("r", address6="10.0.0.1"),
        lambda: IfaceConfig("r", condition="wfi"),
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()


def test_an_iface_config_reads_what_is_typed():
    class Handle:
        name = "home"

    config = IfaceConfig(Handle(), address="10.0.1.9/24", mac="02-AB-00-00-00-01", condition="wifi")

    assert config.router == "home"
    assert config.address == IPv4Interface("10.0.1.9/24")
    assert config.mac == "02:ab:00:00:00:01"
    assert config.condition is LinkCondition.WIFI
    assert from_plain(IfaceConfig, to_plain(config)) == config


def test_region_links_take_their_latency_one_way():
    assert RegionLink.good(80) == RegionLink(latency_ms=80)
    assert RegionLink.degraded(80) == RegionLink(80, jitter_ms=8, loss_pct=0.5)


@pytest.mark.parametrize(
    "value", [NatConfig(hairpin=True, ports=(1, 2)), *LinkCondition.PRESETS.values()]
)
def test_values_survive_being_made_plain(value):
    assert from_plain(type(value), to_plain(value)) == value
