"""Edits: what each changes, and how it says no."""

from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, ip_address, ip_interface

import pytest
from labs import device, lab, router, usual

from patchbay.errors import ConfigError
from patchbay.topology import edit
from patchbay.topology.empty import new_topology
from patchbay.topology.macs import interface_mac, link_local
from patchbay.topology.model import IX
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.requests import DeviceRequest, RouterRequest
from patchbay.values import (
    Firewall,
    FlowMatch,
    IfaceConfig,
    LinkCondition,
    LinkEngine,
    Nat,
    NatConfig,
    NatV6Mode,
    PortForward,
)


def refusal(function, *args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def iface(topology, node, name="eth0"):
    return edit.find_interface(topology, node, name)


# ---- adding -----------------------------------------------------------------------------------


def test_a_lab_begins_with_the_usual_addresses():
    t = usual()

    assert str(t.routers["dc"].uplink.address) == "198.18.0.10/24"
    assert str(t.routers["dc"].uplink.address6) == "2001:db8::10/64"
    assert str(t.routers["dc"].downstream) == "198.18.1.0/24"
    assert str(t.routers["dc"].downstream6) == "2001:db8:1:1::/64"
    assert str(t.routers["home"].downstream) == "10.0.1.0/24"
    assert str(t.routers["home"].downstream6) == "fd10:0:0:1::/64"
    assert str(iface(t, "laptop").address) == "10.0.1.2/24"
    assert str(iface(t, "laptop").address6) == "fd10:0:0:1::2/64"
    assert iface(t, "laptop").mac == interface_mac(iface(t, "laptop").cable)
    assert t.devices["phone"].default_via == "wlan0"


def test_a_preset_can_be_overridden_in_every_part():
    t = lab(
        router(
            "r",
            preset="corporate",
            nat="home",
            firewall="none",
            ip_support="v4_only",
            downstream="10.64.0.0/18",
            mtu=1400,
        )
    )

    r = t.routers["r"]
    assert (r.nat, r.firewall, r.downstream6, r.mtu) == (Nat.HOME, Firewall.NONE, None, 1400)
    assert r.downstream == IPv4Network("10.64.0.0/18")
    assert r.uplink.address6 is None


def test_several_hundred_top_level_routers_fit():
    t = lab(*(router(f"r{n}") for n in range(500)))

    addresses = [r.uplink.address for r in t.routers.values()]
    assert len({a.ip for a in addresses}) == 500
    networks = list(dict.fromkeys(str(a.network) for a in addresses))
    assert networks == ["198.18.0.0/24", "198.19.255.0/24", "198.19.254.0/24"]
    assert len({r.downstream for r in t.routers.values()}) == 500
    again = edit.remove(t, "r300")
    again = edit.add_router(again, router("new"))
    assert again.routers["new"].uplink.address == t.routers["r300"].uplink.address
    assert again.routers["new"].downstream == t.routers["r300"].downstream


def test_a_pool_that_is_used_up_is_told():
    t = lab(router("all", downstream="10.0.0.0/8", nat="home"))
    assert "all /24 subnets of the private pool are taken" in refusal(
        edit.add_router, t, router("r", nat="home")
    )


def test_a_lan_that_is_full_is_told():
    t = lab(router("r", downstream="10.9.0.0/30", ip_support="v4_only"), device("a", "r"))
    assert str(iface(t, "a").address) == "10.9.0.2/30"
    assert "all addresses of 10.9.0.0/30, LAN of 'r', are taken" in refusal(
        edit.add_device, t, device("b", "r")
    )
    assert "no other IPv4 address is free" in refusal(edit.renew_ip, t, "a", "eth0")


def test_two_homes_can_have_the_same_subnet():
    t = lab(*(router(n, preset="home", downstream="192.168.1.0/24") for n in "ab"))
    assert t.routers["a"].downstream == t.routers["b"].downstream


@pytest.mark.parametrize(
    ("requests", "what"),
    [
        ([router("a", downstream="198.18.0.0/25")], "which is that of the IX"),
        ([router("a", downstream6="2001:db8::/48")], "which is that of the IX"),
        (
            [router("a", downstream="10.5.0.0/16"), router("b", downstream="10.5.1.0/24")],
            "the LAN of router",
        ),
        (
            [
                router("a", nat="home", downstream="192.168.1.0/24"),
                router("b", "a", nat="home", downstream="192.168.1.0/25"),
            ],
            "the uplink of router 'b'",
        ),
    ],
)
def test_subnets_that_meet_must_not_overlap(requests, what):
    assert what in refusal(lab, *requests)


def test_switching_nat_off_must_not_let_equal_subnets_meet():
    t = lab(*(router(n, preset="home", downstream="192.168.1.0/24") for n in "ab"))
    t = edit.set_nat(t, "a", Nat.NONE)
    assert "router 'b': the subnet 192.168.1.0/24 overlaps" in refusal(
        edit.set_nat, t, "b", Nat.NONE
    )


def test_addresses_and_macs_can_be_chosen():
    config = IfaceConfig(
        "r", address="10.5.0.77", address6="fd00::7", mac="02:00:00:00:00:03", mtu=9000, up=False
    )
    t = lab(
        router("r", downstream="10.5.0.0/16", downstream6="fd00::/120"),
        device("first", "r"),
        device("d", ifaces={"e": config}),
        device("next", "r"),
    )
    chosen = iface(t, "d", "e")
    assert str(chosen.address) == "10.5.0.77/16"
    assert str(chosen.address6) == "fd00::7/120"
    assert (chosen.mtu, chosen.up) == (9000, False)
    macs = [i.mac for d in t.devices.values() for i in d.interfaces]
    assert len(set(macs)) == 3


def test_an_address_that_a_later_request_chooses_is_not_given_to_an_earlier_one():
    config = IfaceConfig("r", address="10.5.0.2")
    t = lab(
        router("r", downstream="10.5.0.0/16"),
        device("first", "r"),
        device("d", ifaces={"eth0": config}),
    )
    assert str(iface(t, "d").address.ip) == "10.5.0.2"
    assert str(iface(t, "first").address.ip) == "10.5.0.3"


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"address": "10.6.0.2"}, "is not in the LAN of 'r', which has 10.5.0.0/24"),
        ({"address": "10.5.0.0"}, "is the network address of"),
        ({"address": "10.5.0.1"}, "is the gateway's address of"),
        ({"address": "10.5.0.255"}, "is the broadcast address of"),
        ({"address": "10.5.0.2"}, "is taken"),
        ({"address": "10.5.0.9/16"}, "should have the prefix of 10.5.0.0/24"),
        ({"address6": "fd00::1"}, "no IPv6 subnet"),
        ({"mac": "02:00:00:00:00:02"}, "is that of node 'a'"),
        ({"mac": "0e:00:00:00:00:02"}, "begins as those of the lab's bridges do"),
        ({"condition": LinkCondition(reorder_pct=1)}, "give a latency_ms"),
    ],
)
def test_a_choice_that_cannot_be_had_is_told(config, what):
    t = lab(router("r", downstream="10.5.0.0/24", ip_support="v4_only"), device("a", "r"))
    ifaces = {"eth0": IfaceConfig("r", **config)}
    assert what in refusal(edit.add_device, t, device("d", ifaces=ifaces))


def test_all_mistakes_of_a_batch_are_told_and_none_of_it_is_done():
    t = usual()
    text = refusal(
        edit.batch,
        t,
        [
            router("a b", "hoem"),
            router("bad", preset="isp_v6"),
            device("behind", "bad"),
            device("server", "dc"),
            device("x", "laptop"),
            device("y", ifaces={"lo": "dc", "a/b": "dc"}, default_via="eth0", mtu=10),
        ],
    )
    for part in (
        "the name 'a b' has ' ' in it",
        "did you mean 'home'?",
        "router 'bad', nat_v6 (of preset 'isp_v6'): 'nat64' is not available yet",
        "device 'server': there is a device of this name already",
        "'laptop' is a device",
        "'lo' belongs to the loopback",
        "'a/b' has '/' in it",
        "there is no interface 'eth0'",
        "10 is not a number of bytes",
    ):
        assert part in text
    assert "behind" not in text
    assert t == usual()


def test_a_batch_can_name_what_comes_later_in_it():
    t = lab(device("d", "inner"), router("inner", "outer"), router("outer"))
    assert t.routers["inner"].upstream == "outer"


def test_routers_in_a_circle_are_told():
    assert "there is no router" in refusal(lab, router("a", "b"), router("b", "a"))


@pytest.mark.parametrize("name", ["ix", "", ".", "..", "a b", "a/b", "a\n", "#a", "é" * 32])
def test_names_that_nodes_cannot_have(name):
    assert "name" in refusal(lab, router(name))


@pytest.mark.parametrize("name", ["büro", "日本", "a" * 63, "a.b", "Router-1", "é" * 31])
def test_names_that_nodes_can_have(name):
    assert name in lab(router(name)).routers


def test_routers_and_devices_share_one_name_space():
    t = usual()
    assert "a device of this name" in refusal(edit.add_router, t, router("laptop"))
    assert "a router of this name" in refusal(edit.add_device, t, device("home"))


@pytest.mark.parametrize(
    "request_",
    [
        lambda: router("r", nat_v6="nptv6"),
        lambda: router("r", preset="isp_v6"),
    ],
)
def test_what_does_not_work_yet_says_so(request_):
    assert "not available yet" in refusal(lab, request_())


def test_equal_to_what_works_is_fine():
    lab(router("r", nat=Nat.HOME.config, firewall=Firewall.BLOCK_INBOUND.config))
    lab(router("r", downlink=LinkCondition()))
    assert "not available yet" in refusal(new_topology, "x", ipv6_provisioning="ra")


def test_versions_of_ip_meet_where_both_ends_speak_them():
    t = lab(
        router("six", ip_support="v6_only"),
        router("below", "six"),
        router("four", ip_support="v4_only"),
        device("d", "six"),
        device("e", "four"),
    )
    assert t.routers["below"].uplink.address is None
    assert t.routers["below"].uplink.address6 is not None
    assert iface(t, "d").address is None
    assert iface(t, "e").address6 is None
    assert "has the other version only" in refusal(
        edit.add_router, t, router("x", "six", ip_support="v4_only")
    )
    assert "has no IPv4 LAN" in refusal(
        edit.add_router, t, router("x", ip_support="v6_only", downstream="10.0.0.0/24")
    )


def test_ipv6_needs_1280_bytes():
    assert "from 1280 to 65535 (with IPv6" in refusal(lab, router("r", mtu=1000))
    assert "from 1280" in refusal(lab, router("r"), device("d", "r", mtu=1000))
    lab(router("r", ip_support="v4_only", mtu=500), device("d", "r", mtu=68))


# ---- changing ---------------------------------------------------------------------------------


def test_a_router_with_something_plugged_in_stays():
    text = refusal(edit.remove, usual(), "isp")
    assert "wan of 'home', cell0 of 'phone' still plugged into its LAN" in text


def test_removing_a_node_forgets_it():
    t = edit.remove(usual(), "laptop")
    assert "laptop" not in t.devices
    assert "did you mean 'server'?" in refusal(edit.remove, t, "servr")


def test_replug_keeps_what_belongs_to_the_interface():
    t = edit.set_mtu(usual(), "phone", "wlan0", 1400)
    t = edit.add_ip(t, "phone", "wlan0", ip_interface("10.0.1.50"))
    before = iface(t, "phone", "wlan0")
    after = iface(edit.replug(t, "phone", "wlan0", "dc"), "phone", "wlan0")
    assert (after.lan, after.mtu, after.mac, after.cable) == ("dc", 1400, before.mac, before.cable)
    assert str(after.address) == "198.18.1.3/24"
    assert after.extra == ()
    assert edit.replug(t, "phone", "wlan0", "home") is t


def test_a_router_can_be_replugged_but_not_below_itself():
    t = usual()
    assert edit.replug(t, "home", "wan", "dc").routers["home"].upstream == "dc"
    assert edit.replug(t, "home", "wan", IX).routers["home"].upstream == IX
    assert "its own or below it" in refusal(edit.replug, t, "isp", "wan", "home")
    assert "its own or below it" in refusal(edit.replug, t, "isp", "wan", "isp")


def test_renew_gives_other_addresses_of_the_same_lan():
    t = edit.add_ip(usual(), "phone", "cell0", ip_interface("198.18.2.4"))
    before, after = (iface(x, "phone", "cell0") for x in (t, edit.renew_ip(t, "phone", "cell0")))
    assert after.address != before.address
    assert after.address6 != before.address6
    assert after.address.network == before.address.network
    assert after.address not in before.extra
    assert after.extra == before.extra


def test_added_addresses_get_the_prefix_of_their_subnet():
    t = edit.add_ip(usual(), "laptop", "eth0", ip_interface("10.0.1.50"))
    t = edit.add_ip(t, "laptop", "eth0", ip_interface("fd10:0:0:1::50"))
    t = edit.add_ip(t, "laptop", "eth0", ip_interface("192.0.2.7/32"))
    extra = iface(t, "laptop").extra
    assert [str(a) for a in extra] == ["10.0.1.50/24", "fd10:0:0:1::50/64", "192.0.2.7/32"]
    assert "is taken" in refusal(edit.add_ip, t, "laptop", "eth0", ip_interface("10.0.1.50"))
    assert "gateway" in refusal(edit.add_ip, t, "laptop", "eth0", ip_interface("10.0.1.1"))


def test_the_default_route_moves_to_what_can_carry_it():
    t = lab(
        router("r"),
        device("d", ifaces={"a": "r", "b": IfaceConfig("r", up=False), "c": "r"}),
    )
    t = edit.remove_iface(t, "d", "a")
    assert t.devices["d"].default_via == "c"
    t = edit.remove_iface(t, "d", "c")
    assert t.devices["d"].default_via == "b"
    t = edit.remove_iface(t, "d", "b")
    assert t.devices["d"].default_via is None
    t = edit.add_iface(t, "d", "new", IfaceConfig("r"))
    assert t.devices["d"].default_via == "new"


def test_conditions_are_kept_by_direction():
    t = edit.set_condition(usual(), "laptop", "eth0", LinkCondition.LAN, "up")
    assert iface(t, "laptop").condition_up == LinkCondition.LAN
    assert iface(t, "laptop").condition_down is None
    assert "no direction" in refusal(
        edit.set_condition, t, "laptop", "eth0", LinkCondition.LAN, "sideways"
    )
    t = edit.set_condition(t, "laptop", "eth0", LinkCondition.WIFI, "down", LinkEngine.KERNEL)
    assert iface(t, "laptop").condition_up == LinkCondition.LAN
    assert iface(t, "laptop").engine_down is LinkEngine.KERNEL
    t = edit.set_condition(t, "home", "lan", LinkCondition.WIFI, "up")
    assert t.routers["home"].downlink == LinkCondition.WIFI
    assert "has the direction 'up' only" in refusal(
        edit.set_condition, t, "home", "lan", LinkCondition.WIFI
    )


def test_flows_are_kept_by_direction_until_the_next_condition():
    flows = ((FlowMatch(port=443), LinkCondition.WIFI),)
    t = edit.set_condition(usual(), "laptop", "eth0", None, "down", flows=flows)
    assert (iface(t, "laptop").flows_up, iface(t, "laptop").flows_down) == ((), flows)
    t = edit.set_condition(t, "laptop", "eth0", None, "up")
    assert iface(t, "laptop").flows_down == flows
    t = edit.set_condition(t, "laptop", "eth0", None)
    assert iface(t, "laptop").flows_down == ()
    t = edit.set_downlink(t, "home", None, flows=flows)
    assert t.routers["home"].downlink_flows == flows
    kernel_only = replace(t, link_features=("netem", "tbf"))
    assert "this kernel has no conditions of flows" in refusal(
        edit.set_condition, kernel_only, "laptop", "eth0", None, flows=flows
    )
    hopeless = ((FlowMatch(), LinkCondition(reorder_pct=1)),)
    assert "condition, flow 1: packets can only overtake" in refusal(
        edit.set_condition, t, "laptop", "eth0", None, flows=hopeless
    )


def test_a_condition_that_the_host_cannot_make_is_refused():
    t = replace(usual(), link_features=("tbf",))
    edit.set_condition(t, "laptop", "eth0", LinkCondition(rate_kbit=1000))
    for change in (
        lambda: edit.set_condition(t, "laptop", "eth0", LinkCondition.WIFI),
        lambda: edit.set_downlink(t, "home", LinkCondition.WIFI),
        lambda: edit.add_device(t, device("d", "home", condition="wifi")),
        lambda: edit.add_router(t, router("r", downlink="wifi")),
    ):
        assert "this kernel has no netem (for latency_ms); `patchbay guest" in refusal(change)


def test_unknown_nodes_and_interfaces_are_told_with_the_nearest():
    t = usual()
    assert "did you mean 'wlan0'?" in refusal(edit.set_up, t, "phone", "wlan", False)
    assert "did you mean 'phone'?" in refusal(edit.renew_ip, t, "phon", "wlan0")
    assert "a router, not a device" in refusal(edit.add_iface, t, "dc", "e", IfaceConfig("dc"))
    assert "a device, not a router" in refusal(edit.set_nat, t, "phone", Nat.HOME)
    assert "not available yet" in refusal(edit.set_nat_v6, t, "dc", NatV6Mode.NAT64)
    assert "already" in refusal(edit.add_iface, t, "phone", "wlan0", IfaceConfig("dc"))


def test_requests_survive_being_made_plain():
    for request, kind in (
        (router("r", preset="home", downstream="10.0.0.0/8", nat=NatConfig()), RouterRequest),
        (device("d", ifaces={"e": IfaceConfig("r", address="10.0.0.9")}), DeviceRequest),
    ):
        assert from_plain(kind, to_plain(request)) == request


def test_what_was_typed_wrong_for_a_request_is_told_at_once():
    text = refusal(router, "r", preset="hom", nat="hme", firewall="no", downstream="10.0.0.1/8")
    assert text.startswith("4 mistakes")
    assert "either a gateway" in refusal(device, "d", "r", ifaces={"eth0": "r"})
    assert "with a gateway" in refusal(device, "d", condition="lan")


def test_link_local_addresses_follow_from_hardware_addresses():
    assert link_local("02:00:00:00:00:05") == ip_address("fe80::ff:fe00:5")


def test_a_chosen_address_keeps_its_type():
    assert isinstance(iface(usual(), "laptop").address, IPv4Interface)


# ---- forwarded ports --------------------------------------------------------------------------


def forwarding(*hosts):
    return NatConfig(forwards=[PortForward("tcp", 80, host) for host in hosts])


def nested(**options):
    """A home with a workshop behind it, and a cellar behind that."""
    return lab(
        router("home", nat=options.get("nat", "home"), downstream="192.168.1.0/24"),
        router("workshop", "home", downstream="192.168.2.0/24", nat=options.get("below", "none")),
        router("cellar", "workshop", downstream="192.168.3.0/24"),
        router("dc", downstream="198.18.5.0/24"),
    )


@pytest.mark.parametrize("host", ["192.168.1.77", "192.168.2.2", "192.168.3.2"])
def test_a_forwarded_port_may_lead_wherever_its_router_has_a_route_to(host):
    t = edit.set_nat(nested(), "home", forwarding(host))

    assert t == nested(nat=forwarding(host))
    assert str(t.routers["home"].nat.forwards[0].host) == host


@pytest.mark.parametrize(
    ("host", "nearest"),
    [
        ("10.0.1.2", "192.168.1.2"),
        ("198.18.5.2", "192.168.1.2"),
        ("192.168.4.0", None),
        ("192.168.4.1", None),
        ("192.168.4.255", None),
    ],
)
def test_a_forwarded_port_that_leads_nowhere_is_refused(host, nearest):
    asked = (
        f"router 'home', nat, forwards[0]: tcp port 80 leads to {host}, which is not behind it:"
        " there are 192.168.1.0/24, 192.168.2.0/24 of 'workshop', 192.168.3.0/24 of 'cellar'"
    )
    if nearest is not None:
        asked += f"; did you mean {nearest!r}?"

    assert refusal(edit.set_nat, nested(), "home", forwarding(host)) == asked
    assert refusal(nested, nat=forwarding(host)) == asked


def test_a_forwarded_port_leads_to_the_next_nat_and_not_behind_it():
    to_cellar = forwarding("192.168.3.2")

    assert refusal(nested, nat=to_cellar, below="home") == (
        "router 'home', nat, forwards[0]: tcp port 80 leads to 192.168.3.2, which the NAT of router"
        " 'workshop' hides from it; did you mean '192.168.1.2'?"
    )
    assert nested(nat=to_cellar, below=NatConfig(exempt=["203.0.113.0/24"]))
    assert nested(below=to_cellar)
    six = router("six", nat=forwarding("10.0.1.2"), ip_support="v6_only")
    assert "not behind it: there is no IPv4 LAN" in refusal(lab, six)


def test_a_lan_that_ports_are_forwarded_to_stays_behind_its_router():
    t = nested(nat=forwarding("192.168.3.2"))
    for change in (
        lambda: edit.set_nat(t, "workshop", Nat.HOME),
        lambda: edit.replug(t, "cellar", "wan", "dc"),
        lambda: edit.remove(t, "cellar"),
    ):
        assert "router 'home', nat, forwards[0]: tcp port 80 leads to" in refusal(change)
    moved = edit.replug(t, "cellar", "wan", "home")
    assert edit.remove(edit.set_nat(moved, "home", Nat.HOME), "cellar")
