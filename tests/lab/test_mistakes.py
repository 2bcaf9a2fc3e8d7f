"""What people get wrong: each mistake is one clear error that names the place, and builds nothing."""

import pytest
from support import home_and_server

from patchbay import ConfigError, Iface, IfaceConfig, Lab, LinkCondition, NatTimeouts

MISTAKES = [
    # names
    (lambda lab: lab.add_device("tablet", "hoem"), ["tablet", "'hoem'", "did you mean 'home'"]),
    (lambda lab: lab.add_device("server", "dc"), ["server", "already"]),
    (lambda lab: lab.add_router("server"), ["server", "already"]),
    (lambda lab: lab.add_device("x", "server"), ["'x'", "'server' is a device"]),
    (lambda lab: lab.add_router("r", upstream="server"), ["'r'", "'server' is a device"]),
    (lambda lab: lab.add_router("r", upstream="dcc"), ["'r'", "did you mean 'dc'"]),
    (lambda lab: lab.remove("laptob"), ["'laptob'", "did you mean 'laptop'"]),
    (lambda lab: lab.node("srv"), ["'srv'"]),
    (lambda lab: lab.dns_entry("bad name", "192.0.2.1"), ["'bad name'", "' '"]),
    (lambda lab: lab.dns_entry("localhost", "192.0.2.1"), ["localhost"]),
    (lambda lab: lab.dns_entry("x.example", "192.0.2.300"), ["x.example", "192.0.2.300"]),
    (lambda lab: lab.dns_entry("x.example", lab.add_device("lone")), ["lone", "no address"]),
    # presets and enums
    (lambda lab: lab.add_router("r", preset="hom"), ["'r'", "preset", "did you mean 'home'"]),
    (lambda lab: lab.add_router("r", preset=3), ["'r'", "preset", "3"]),
    (lambda lab: lab.add_router("r", nat="fullcone"), ["nat", "did you mean 'full_cone'"]),
    (lambda lab: lab.add_router("r", nat=True), ["nat", "True"]),
    (lambda lab: lab.add_router("r", nat_v6="nat66"), ["nat_v6", "nat64"]),
    (lambda lab: lab.add_router("r", ip_support="ipv4"), ["ip_support", "v4_only"]),
    (lambda lab: lab.add_router("r", firewall="block"), ["firewall", "block_inbound"]),
    (lambda lab: lab.add_router("r", region="eu"), ["region", "there is no region 'eu'"]),
    (
        lambda lab: lab.add_router("r", downlink=LinkCondition(reorder_pct=1)),
        ["downlink", "give a latency_ms"],
    ),
    (lambda lab: lab.add_device("x", "dc", condition="wfi"), ["condition", "did you mean 'wifi'"]),
    (
        lambda lab: lab.add_device("x", "dc", condition=LinkCondition(reorder_pct=1)),
        ["eth0", "give a latency_ms"],
    ),
    (lambda lab: LinkCondition(loss_pct=150), ["loss_pct", "150"]),
    (lambda lab: LinkCondition(latency_ms=-1), ["latency_ms", "-1"]),
    (lambda lab: NatTimeouts(udp=0), ["udp", "0"]),
    # subnets and addresses
    (lambda lab: lab.add_router("r", downstream="10.0.0.0/33"), ["downstream", "10.0.0.0/33"]),
    (lambda lab: lab.add_router("r", downstream="10.0.0.5/24"), ["downstream", "host bits"]),
    (lambda lab: lab.add_router("r", downstream="10.9.0.0/31"), ["10.9.0.0/31", "/30"]),
    (lambda lab: lab.add_router("r", downstream="10.9.0.0/32"), ["10.9.0.0/32", "/30"]),
    (lambda lab: lab.add_router("r", downstream="224.0.0.0/24"), ["224.0.0.0/24"]),
    (lambda lab: lab.add_router("r", downstream="198.18.1.0/25"), ["overlaps", "'dc'"]),
    (lambda lab: lab.add_router("r", downstream="198.18.0.128/25"), ["overlaps", "the IX"]),
    (lambda lab: lab.add_router("r", downstream6="fd00::/127"), ["fd00::/127", "/126"]),
    (lambda lab: lab.add_router("r", downstream=24), ["downstream", "24"]),
    (
        lambda lab: lab.add_router("r", ip_support="v6_only", downstream="10.9.0.0/24"),
        ["v6_only", "no IPv4 LAN"],
    ),
    (
        lambda lab: lab.add_device("x", ifaces={"e": IfaceConfig("dc", address="10.9.9.9")}),
        ["10.9.9.9 is not in the LAN of 'dc'", "198.18.1.0/24"],
    ),
    (
        lambda lab: lab.add_device("x", ifaces={"e": IfaceConfig("dc", address="198.18.1.1")}),
        ["198.18.1.1", "gateway"],
    ),
    (
        lambda lab: lab.add_device("x", ifaces={"e": IfaceConfig("dc", address="198.18.1.2")}),
        ["198.18.1.2 is taken"],
    ),
    (lambda lab: IfaceConfig("dc", address="two"), ["address", "'two'"]),
    (lambda lab: IfaceConfig("dc", mac="01:00:00:00:00:01"), ["multicast"]),
    (lambda lab: IfaceConfig("dc", mac="nonsense"), ["nonsense"]),
    (lambda lab: lab.device("server").iface("eth0").add_ip("nonsense"), ["eth0", "'nonsense'"]),
    (lambda lab: lab.device("server").iface("eth0").add_ip("198.18.1.2/24"), ["taken"]),
    (lambda lab: lab.device("server").iface("eth0").add_ip("198.18.1.255/24"), ["broadcast"]),
    # interfaces
    (
        lambda lab: lab.add_device("x", ifaces={"a-very-long-name0": "dc"}),
        ["a-very-long-name0", "at most 15"],
    ),
    (lambda lab: lab.add_device("x", ifaces={"lo": "dc"}), ["'lo'"]),
    (lambda lab: lab.add_device("x", ifaces={"a/b": "dc"}), ["'a/b'", "'/'"]),
    (lambda lab: lab.add_device("x", ifaces={"": "dc"}), ["empty"]),
    (lambda lab: lab.add_device("x", "dc", ifaces={"e": "dc"}), ["either a gateway"]),
    (lambda lab: lab.add_device("x", "dc", default_via="eth1"), ["default_via", "'eth0'"]),
    (lambda lab: lab.device("server").add_iface("eth0", "dc"), ["eth0", "already"]),
    (lambda lab: lab.device("server").add_iface("eth1", "cd"), ["eth1", "'cd'"]),
    (lambda lab: lab.device("server").iface("eth0").replug("server"), ["is a device"]),
    (lambda lab: lab.device("server").iface("eth0").replug("hme"), ["did you mean 'home'"]),
    (lambda lab: lab.device("server").set_default_route("eth9"), ["'eth9'", "'eth0'"]),
    (lambda lab: lab.router("home").iface("wan").remove(), ["home", "router"]),
    (lambda lab: lab.router("home").iface("lan").down(), ["home", "'lan' is its LAN"]),
    (lambda lab: lab.ix.iface("ix").down(), ["internet exchange"]),
    (lambda lab: lab.device("server").iface("eth0").set_condition("lan", "left"), ["'left'"]),
    *(
        (lambda lab, ask=ask: ask(lab.device("server").iface("eth0"), "both"), ["'both' is no"])
        for ask in (Iface.condition, Iface.schedule, Iface.flows, Iface.engine)
    ),
    # numbers
    (lambda lab: lab.add_device("x", "dc", mtu=10), ["mtu", "10"]),
    (lambda lab: lab.add_device("x", "dc", mtu="big"), ["mtu", "'big'"]),
    (lambda lab: lab.add_device("x", "dc", mtu=1000), ["mtu", "1280", "IPv6"]),
    (lambda lab: lab.add_router("r", mtu=70_000), ["mtu", "70000"]),
    (lambda lab: lab.device("server").iface("eth0").set_mtu(100), ["eth0", "mtu", "100"]),
    (lambda lab: lab.device("server").iface("eth0").set_mtu("1400"), ["mtu", "'1400'"]),
    # truth values
    (lambda lab: lab.add_router("r", block_icmp_frag_needed="no"), ["'r'", "'no' is neither"]),
    (lambda lab: lab.add_router("r", port_mapping="off"), ["port_mapping", "'off' is neither"]),
    (lambda lab: lab.router("home").set_block_icmp_frag_needed("no"), ["'no' is neither"]),
    (lambda lab: lab.router("home").set_port_mapping("off"), ["'off' is neither"]),
    (lambda lab: lab.router("home").set_nat("home", flush="no"), ["flush", "'no' is neither"]),
    (lambda lab: lab.router("home").rebind_nat(address="no"), ["address", "'no' is neither"]),
    # types
    (lambda lab: lab.add_device("x", 5), ["'x'", "5", "router"]),
    (lambda lab: lab.add_device(7, "dc"), ["7", "name"]),
    (lambda lab: lab.add_router(None), ["None", "name"]),
    (lambda lab: lab.add_router("r", upstream=3), ["'r'", "3", "router"]),
    (lambda lab: lab.add_device("x", ifaces=["dc"]), ["'x'", "ifaces"]),
    (lambda lab: lab.add_device("x", ifaces={"e": 4}), ["'x'", "e", "4"]),
    (lambda lab: lab.device("server").iface("eth0").replug(3), ["3", "router"]),
    # the lab itself
    (lambda lab: Lab(link_engine="kernal"), ["link_engine", "did you mean 'kernel'"]),
    (lambda lab: Lab(ipv6_provisioning="statik"), ["did you mean 'static'"]),
    (lambda lab: Lab(ipv6_provisioning="ra"), ["not available yet"]),
    (lambda lab: Lab(name=5), ["name", "5"]),
]


@pytest.mark.parametrize(("mistake", "words"), MISTAKES, ids=[str(n) for n in range(len(MISTAKES))])
def test_a_mistake_is_one_clear_error(lab_of_the_module, mistake, words):
    lab = lab_of_the_module
    before = lab.topology()

    with pytest.raises(ConfigError) as caught:
        mistake(lab)

    told = str(caught.value)
    assert len(caught.value.problems) == 1, told
    for word in words:
        assert word in told
    if any(device.name == "lone" for device in lab.devices):
        lab.remove("lone")
    assert lab.topology() == before


@pytest.fixture(scope="module")
def lab_of_the_module():
    with Lab("mistakes") as lab:
        home_and_server(lab)
        yield lab


def test_all_mistakes_of_one_call_are_told(lab):
    with pytest.raises(ConfigError) as caught:
        lab.add_router("r r", preset="hom", nat="sym", ip_support="v5", downstream="x")
    assert len(caught.value.problems) >= 4
    with pytest.raises(ConfigError) as caught:
        lab.add_device("a b", ifaces={"toolongforaninterface": "nowhere", "e": "neither"}, mtu=1)
    assert len(caught.value.problems) >= 4


def test_a_full_lan_says_so(lab):
    lab.add_router("small", downstream="10.9.0.0/30")
    lab.add_device("one", "small")
    with pytest.raises(ConfigError, match=r"10.9.0.0/30.*'small'.*taken"):
        lab.add_device("two", "small")


def test_wrong_keywords_are_python_errors(lab):
    with pytest.raises(TypeError, match="prest"):
        lab.add_router("r", prest="home")
