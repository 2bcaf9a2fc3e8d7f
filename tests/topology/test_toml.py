"""TOML: what is dumped is loaded again as it was, and mistakes are told kindly, all at once."""

import tomllib
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.errors import ConfigError
from patchbay.topology import edit, toml
from patchbay.topology.empty import new_topology
from patchbay.topology.model import IX, Topology
from patchbay.topology.requests import (
    DeviceRequest,
    RouterRequest,
    device_request,
    router_request,
)
from patchbay.topology.toml.lines import find_lines
from patchbay.topology.toml.writing import key, table, value
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
    RouterPreset,
)

# Machines may be slow and runs shall be alike.
steady = settings(derandomize=True, deadline=None, max_examples=60)


def first() -> Topology:
    topology = new_topology("first")
    topology = edit.add_router(topology, router_request("dc", preset="public"))
    topology = edit.add_device(topology, device_request("server", "dc"))
    topology = edit.add_router(topology, router_request("home", preset="home"))
    return edit.add_device(
        topology,
        device_request(
            "phone",
            ifaces={"wlan0": IfaceConfig("home", condition="lan"), "cell0": "dc"},
            default_via="cell0",
        ),
    )


def assert_round_trip(topology: Topology) -> None:
    again = toml.load(toml.dump(topology)).topology()

    assert topology == again
    assert list(topology.routers) == list(again.routers)
    assert list(topology.devices) == list(again.devices)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        toml.load(text, source="topo.toml")
    return [str(problem) for problem in caught.value.problems]


# ---- there and back ---------------------------------------------------------------------------


def test_dump_writes_what_was_chosen_in_the_order_in_which_it_was_added():
    expected = """\
[lab]
name = "first"

[[router]]
name = "dc"
preset = "public"

[device.server.eth0]
gateway = "dc"

[[router]]
name = "home"
preset = "home"

[device.phone]
default-via = "cell0"

[device.phone.wlan0]
gateway = "home"
condition = "lan"

[device.phone.cell0]
gateway = "dc"
"""

    assert expected == toml.dump(first())


def test_the_first_lab_comes_back():
    assert_round_trip(first())


def test_an_empty_lab_comes_back():
    assert_round_trip(new_topology("empty", ipv6_dad=True))


def test_dump_writes_addresses_that_allocation_would_not_give():
    topology = edit.renew_ip(first(), "server", "eth0")

    written = tomllib.loads(toml.dump(topology))["device"]

    assert written["server"]["eth0"]["address"] == str(
        topology.devices["server"].interfaces[0].address
    )
    assert "address" in written["phone"]["cell0"], "the LAN's others would move up"
    assert "address" not in written["phone"]["wlan0"], "another LAN is not concerned"
    assert_round_trip(topology)


def test_all_that_can_be_changed_comes_back():
    topology = first()
    topology = edit.add_router(
        topology,
        router_request("inner", upstream="home", downstream="172.20.0.0/16", mtu=1400),
    )
    topology = edit.add_router(topology, router_request("v4", ip_support="v4_only", nat="home"))
    topology = edit.add_device(topology, device_request("bare"))
    topology = edit.add_device(
        topology,
        device_request(
            "odd",
            ifaces={"eth0": IfaceConfig("inner", address="172.20.7.7", mac="02:aa:00:00:00:01")},
            mtu=1300,
        ),
    )
    topology = edit.add_iface(topology, "odd", "eth1", IfaceConfig("v4", up=False, mtu=900))
    topology = edit.add_ip(topology, "odd", "eth0", IPv4Interface("172.20.9.9/16"))
    topology = edit.add_ip(topology, "odd", "eth0", IPv6Interface("fd99::1/64"))
    topology = edit.set_mtu(topology, "home", "wan", 1480)
    topology = edit.set_up(topology, "home", "wan", False)
    topology = edit.set_condition(topology, "phone", "cell0", LinkCondition.LAN, "down")
    topology = edit.set_nat(topology, "dc", Nat.HOME)
    topology = edit.set_firewall(topology, "home", Firewall.NONE)
    topology = edit.replug(topology, "server", "eth0", "v4")
    topology = edit.remove(topology, "phone")
    topology = replace(
        topology,
        names=(("a.example", "198.18.1.2"), ("b.example", "::1"), ("a.example", "10.0.0.1")),
        node_names=MappingProxyType({"server": (("only.here", "10.1.2.3"),)}),
    )

    assert_round_trip(topology)


def test_a_router_that_was_plugged_behind_a_later_one_comes_back():
    topology = edit.add_router(first(), router_request("isp", nat="home"))

    assert_round_trip(edit.replug(topology, "home", "wan", "isp"))


def test_an_interface_may_have_the_name_of_a_key():
    topology = edit.batch(
        new_topology("x"),
        [
            router_request("dc"),
            device_request("d", ifaces={"mtu": "dc", "count": "dc"}, default_via="count", mtu=1400),
        ],
    )

    assert_round_trip(topology)


node_names = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/#"), min_size=1, max_size=15
).filter(lambda name: name not in (IX, ".", "..") and len(name.encode()) <= 15)
interface_names = node_names.filter(lambda name: not set(":%") & set(name) and name != "lo")


@st.composite
def histories(draw: st.DrawFn) -> Topology:
    """A lab that was built up and changed, step by step."""
    topology = new_topology(draw(st.text(st.characters(exclude_categories=["Cs"]))))
    for _ in range(draw(st.integers(1, 10))):
        routers, devices = list(topology.routers), list(topology.devices)
        plugs = [(name, i.name) for name, d in topology.devices.items() for i in d.interfaces]
        verbs = ["router", "device"] + (["replug", "renew", "iface"] if plugs else [])
        verb = draw(st.sampled_from(verbs if routers else ["router"]))
        free = node_names.filter(lambda name, taken=(*routers, *devices): name not in taken)
        if verb == "router":
            upstream = draw(st.sampled_from([IX, *routers]))
            preset = draw(st.sampled_from([None, RouterPreset.HOME, RouterPreset.PUBLIC]))
            request = RouterRequest(name=draw(free), upstream=upstream, preset=preset)
            topology = edit.add_router(topology, request)
        elif verb == "device":
            names = draw(st.lists(interface_names, max_size=3, unique=True))
            plugged = tuple((n, IfaceConfig(draw(st.sampled_from(routers)))) for n in names)
            via = draw(st.sampled_from(names)) if names else None
            request = DeviceRequest(name=draw(free), ifaces=plugged, default_via=via)
            topology = edit.add_device(topology, request)
        else:
            node, interface = draw(st.sampled_from(plugs))
            if verb == "replug":
                lan = draw(st.sampled_from(routers))
                topology = edit.replug(topology, node, interface, lan)
            elif verb == "renew":
                topology = edit.renew_ip(topology, node, interface)
            elif draw(st.booleans()):
                topology = edit.remove_iface(topology, node, interface)
            else:
                topology = edit.remove(topology, node)
    return topology


@steady
@given(histories())
def test_whatever_happened_to_a_lab_it_comes_back(topology):
    assert_round_trip(topology)


def test_values_that_cannot_be_built_yet_are_still_written_and_read():
    topology = first()
    home = replace(
        topology.routers["home"],
        nat=NatConfig(
            NatMapping.ADDRESS_DEPENDENT,
            NatFiltering.ENDPOINT_INDEPENDENT,
            hairpin=True,
            timeouts=NatTimeouts(udp=7),
            ports=(1024, 2048),
            tcp_mapping="endpoint_independent",
            tcp_filtering="address_dependent",
            port_choice="random",
            addresses=["198.18.0.200", "198.18.0.201"],
            pooling="arbitrary",
            one_to_one={"10.0.1.9": "198.18.0.202"},
            forwards=[PortForward("tcp", 80, "10.0.1.3", 8080), PortForward("udp", 53, "10.0.1.3")],
            exempt=["198.19.0.0/16"],
            block_size=64,
            quota=100,
            hold_down=5,
            inbound_refresh=False,
            rebind_every=2.5,
            rebind_address=True,
            refuse_syn_after=7,
        ),
        nat_v6=NatV6Mode.NPTV6,
        firewall=FirewallConfig(
            block_inbound=True,
            outbound_tcp=PortPolicy.allow(80, 443),
            outbound_icmp=False,
            rules=[
                FirewallRule("accept", "inbound", "tcp", ports=[22, (80, 90)], source="10.0.0.0/8"),
                FirewallRule("reject", "outbound", source_ports=[1], protocol="udp"),
                FirewallRule("drop", "outbound", destination=["fd00::/8", "10.0.0.1"]),
            ],
            refuse="reject",
            filtering="endpoint_independent",
            allow_ipsec=True,
            block_spoofed=True,
            block_icmp_frag_needed=True,
            captive_portal=True,
        ),
        block_icmp_frag_needed=True,
        released=("02:00:00:00:00:01", "02:00:00:00:00:02"),
        downlink=LinkCondition(latency_ms=12.5, loss_pct=0.1, rate_kbit=2000),
    )
    topology = replace(topology, routers=MappingProxyType({**topology.routers, "home": home}))

    requests = toml.load(toml.dump(topology)).requests

    (request,) = [each for each in requests if each.name == "home"]
    assert isinstance(request, RouterRequest)
    for name in ("nat", "nat_v6", "firewall", "block_icmp_frag_needed", "released", "downlink"):
        assert getattr(home, name) == getattr(request, name)


# ---- what people write ------------------------------------------------------------------------


def test_dashes_underscores_and_nodes_before_their_routers_are_fine():
    description = toml.load(
        """
        device.laptop.eth0 = { gateway = "home" }
        [[router]]
        name = "home"
        upstream = "isp"
        ip_support = "v4-only"
        [[router]]
        name = "isp"
        ip-support = "dual_stack"
        """
    )

    topology = description.topology("unnamed")
    assert topology.name == "unnamed"
    assert topology.routers["home"].ip_support is IpSupport.V4_ONLY
    assert list(topology.routers) == ["home", "isp"]
    assert topology.devices["laptop"].interfaces[0].cable == 1, "it is written first"


def test_count_makes_a_group():
    description = toml.load(
        """
        [[router]]
        name = "dc"
        [device.peer]
        count = 3
        [device.peer.eth0]
        gateway = "dc"
        [device.one]
        count = 1
        """
    )

    assert list(description.topology().devices) == ["peer-0", "peer-1", "peer-2", "one-0"]


def test_conditions_nats_and_firewalls_are_names_or_tables():
    description = toml.load(
        """
        [[router]]
        name = "a"
        nat = { custom = { mapping = "endpoint_independent", hairpin = true } }
        firewall = "captive-portal"
        downlink = { latency-ms = 20, rate_kbit = 500.5 }
        [device.d]
        eth0 = { gateway = "a", impair = "mobile" }
        [device.e.eth0]
        gateway = "a"
        condition-up = "wifi-bad"
        [router.wan]
        condition = "satellite"
        """
    )

    router, device, _ = description.requests
    assert router.nat == NatConfig(hairpin=True)
    assert router.firewall is Firewall.CAPTIVE_PORTAL
    assert router.downlink == LinkCondition(latency_ms=20, rate_kbit=500.5)
    assert device.ifaces[0][1].condition == LinkCondition.MOBILE_4G
    assert description.details["e", "eth0"].condition_up == LinkCondition.WIFI_BAD
    assert description.details["e", "eth0"].condition_down is None
    assert description.details["a", "wan"].condition_down == LinkCondition.SATELLITE


def test_a_chosen_address_of_an_uplink_is_kept_from_others():
    topology = toml.load(
        """
        [[router]]
        name = "a"
        [[router]]
        name = "b"
        [router.wan]
        address = "198.18.0.10/24"
        """
    ).topology()

    assert topology.routers["b"].uplink.address == IPv4Interface("198.18.0.10/24")
    assert topology.routers["a"].uplink.address == IPv4Interface("198.18.0.11/24")


# ---- mistakes ---------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_with_file_line_and_nearest_name():
    found = mistakes(
        """\
[lab]
nam = "x"
[[router]]
name = "home"
preset = "hom"
upstream = "isp"
nat = { mapping = "symmetric", harpin = true }
[[router]]
name = "home"
mtu = "big"
[device.laptop]
default_via = "wlan0"
count = 0
[device.laptop.eth0]
gatway = "home"
[device.phone.eth0]
gateway = "hoem"
condition = { loss = 3, latency-ms = -1 }
[[dns]]
name = "a"
address = "nope"
node = "fone"
"""
    )

    assert [line.split(": ")[0:2] for line in found] == [
        ["topo.toml:2", "lab, nam"],
        ["topo.toml:5", "router 'home', preset"],
        ["topo.toml:6", "router 'home', upstream"],
        ["topo.toml:7", "router 'home', nat, mapping"],
        ["topo.toml:7", "router 'home', nat, harpin"],
        ["topo.toml:8", "router 'home'"],
        ["topo.toml:10", "router 'home', mtu"],
        ["topo.toml:12", "device 'laptop', default_via"],
        ["topo.toml:13", "device 'laptop', count"],
        ["topo.toml:14", "device 'laptop', eth0"],
        ["topo.toml:15", "device 'laptop', eth0, gatway"],
        ["topo.toml:17", "device 'phone', eth0, gateway"],
        ["topo.toml:18", "device 'phone', eth0, condition, loss"],
        ["topo.toml:21", "dns, address"],
        ["topo.toml:22", "dns, node"],
    ]
    assert "there is a node of this name already, in line 3" in found[5]
    for line, near in ((0, "name"), (1, "home"), (4, "hairpin"), (10, "gateway"), (14, "phone")):
        assert found[line].endswith(f"did you mean {near!r}?")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[lab\n", "topo.toml: this is no TOML"),
        ("rooter = 1\n", "did you mean 'router'?"),
        ("router = 1\n", "topo.toml:1: router: 1 is not an array"),
        ("router = [1]\n", "write [[router]]"),
        ("device = { x = 1 }\n", "device 'x': this is not a table"),
        ("[[router]]\n", "topo.toml:1: router: 'name' is missing"),
        ('[[router]]\nname = "ix"\n', "belongs to the internet exchange"),
        ('[lab]\nipv6_dad = "no"\n', "topo.toml:2: lab, ipv6_dad: 'no' is not true or false"),
        ("[device.x]\nmtu = true\n", "true is not a whole number"),
        ("[device.x]\nmtu = 1400\nMTU = 1500\n", "the same as 'mtu', which is given too"),
        ('[device.a.eth0]\ngateway = "b"\n[device.b]\n', "is a device, and has no LAN"),
        (
            '[[router]]\nname="r"\n[device.a]\ncount=2\n[device.a.e]\ngateway="r"\n'
            'address="10.0.1.9"\n',
            "several devices cannot share it",
        ),
        (
            '[[router]]\nname="r"\n[router.wan]\ncondition="wifi"\ncondition-up="lan"\n',
            "either one condition for both directions, or each its own",
        ),
        ('[device."a/b"]\n', "topo.toml:1: device 'a/b': the name"),
        ('[[router]]\nname="r"\nfirewall={outbound-tcp="all"}\n', "is not an array of ports"),
        ('[[router]]\nname="r"\nfirewall={rules=[{action="drop"}]}\n', "a rule needs one"),
        ('[[router]]\nname="r"\nfirewall={rules=["drop"]}\n', "is not a table of a rule's"),
        (
            '[[router]]\nname="r"\nfirewall={rules=[{action="drop",direction="inbound",'
            'protocol="tcp",ports=[[1]]}]}\n',
            "is not the first and the last port",
        ),
        ('[[router]]\nname="r"\n[router.wan]\naddresses=["x"]\n', "'x' is not an IP address"),
    ],
)
def test_a_mistake_is_told_plainly(text, expected):
    (told,) = mistakes(text)

    assert expected in told


@pytest.mark.parametrize(
    ("uplink", "expected"),
    [
        ('address = "10.9.9.9/24"', "not in the LAN of 'ix'"),
        ("cable = 1", "cable: 1 is that of node 'a'"),
        ('address6 = "2001:db8::10/64"\n[[router]]\nname="c"\n[router.wan]\n'
         'address6 = "2001:db8::10/64"', "2001:db8::10 is that of node 'b'"),
        ("mtu = 3", "3 is not a number of bytes"),
    ],
)  # fmt: skip
def test_details_that_contradict_the_lab_are_refused(uplink, expected):
    description = toml.load(f'[[router]]\nname="a"\n[[router]]\nname="b"\n[router.wan]\n{uplink}')

    with pytest.raises(ConfigError, match=expected):
        description.topology()


# ---- lines and writing ------------------------------------------------------------------------


def test_lines_are_found_around_strings_comments_and_arrays_of_several_lines():
    text = '''\
# [no.table]
a = """
[[b]]
c = 1 \\"""
"""
d = [ # [x]
  "]", # y = 1
  { z = 1 },
]
[[b]]
"quoted key".inner = 'x'
[b."sub table"]
e = 1
[[b]]
f = 2
'''
    assert dict(find_lines(text)) == {
        ("a",): 2,
        ("d",): 6,
        ("b",): 10,
        ("b", 0): 10,
        ("b", 0, "quoted key"): 11,
        ("b", 0, "quoted key", "inner"): 11,
        ("b", 0, "sub table"): 12,
        ("b", 0, "sub table", "e"): 13,
        ("b", 1): 14,
        ("b", 1, "f"): 15,
    }
    assert tomllib.loads(text)["b"][1] == {"f": 2}


texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@steady
@given(texts, texts, st.dictionaries(texts, values, max_size=4))
def test_whatever_is_written_is_read_again(name, entry, entries):
    text = table(f"[{key(name, entry)}]", entries)

    assert tomllib.loads(text) == {name: {entry: entries}}
    assert find_lines(text)[name, entry] == 1


@given(st.floats(allow_nan=False, allow_infinity=False))
@steady
def test_numbers_keep_their_value(number):
    assert tomllib.loads(f"x = {value(number)}")["x"] == number
