"""Plans and steps: what is where, in which order, and how much of it."""

import time
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from labs import device, lab, router, usual
from pure_kernel import Kernel

from patchbay.errors import ConfigError
from patchbay.topology import edit
from patchbay.topology import steps as s
from patchbay.topology.diff import steps
from patchbay.topology.model import IX
from patchbay.topology.plan import node_plan, plan
from patchbay.values import Firewall, IfaceConfig, Nat, NatConfig


def named(todo, kind):
    return [step for step in todo if isinstance(step, kind)]


def routes(topology, node):
    return {
        (str(r.destination), str(r.via), r.interface, r.table)
        for r in node_plan(topology, node).routes
    }


def test_a_router_has_routes_to_all_below_that_nat_does_not_hide():
    t = lab(
        router("a"), router("b", "a"), router("c", "b"), router("h", "c", nat="home"),
        router("i", "h"),
    )  # fmt: skip
    main = s.MAIN_TABLE
    assert ("198.18.3.0/24", "198.18.0.10", IX, main) in routes(t, IX)
    assert ("2001:db8:1:3::/64", "2001:db8::10", IX, main) in routes(t, IX)
    assert ("198.18.3.0/24", "198.18.1.2", "lan", main) in routes(t, "a")
    assert ("198.18.3.0/24", "198.18.2.2", "lan", main) in routes(t, "b")
    everywhere = {r[0] for name in (IX, "a", "b", "c") for r in routes(t, name)}
    assert "10.0.1.0/24" not in everywhere
    assert "198.18.4.0/24" not in everywhere
    assert "fd10:0:0:1::/64" in everywhere
    assert ("198.18.4.0/24", "10.0.1.2", "lan", main) in routes(t, "h")


def test_a_device_with_several_interfaces_answers_by_the_one_that_was_asked():
    t = edit.add_ip(usual(), "phone", "cell0", ip_interface("198.18.2.99"))
    table = 1000 + edit.find_interface(t, "phone", "cell0").cable
    rules = {(str(r.source), r.table) for r in node_plan(t, "phone").rules}
    assert {("198.18.2.3/32", table), ("198.18.2.99/32", table)} <= rules
    assert ("2001:db8:1:2::3/128", table) in rules
    assert ("0.0.0.0/0", "198.18.2.1", "cell0", table) in routes(t, "phone")
    assert ("198.18.2.0/24", "None", "cell0", table) in routes(t, "phone")
    assert node_plan(t, "laptop").rules == ()


def test_hosts_and_gateway_know_each_other():
    t = usual()
    phone = edit.find_interface(t, "phone", "wlan0")
    home = {(n.interface, str(n.address)): n.mac for n in node_plan(t, "home").neighbours}
    assert home["lan", "10.0.1.3"] == home["lan", "fd10:0:0:1::3"] == phone.mac
    bridge = node_plan(t, "home").bridges[0]
    own = {(n.interface, str(n.address)): n.mac for n in node_plan(t, "phone").neighbours}
    assert own["wlan0", "10.0.1.1"] == own["wlan0", "fd10:0:0:1::1"] == bridge.mac


def test_adding_a_device_touches_only_it_and_its_router():
    before = usual()
    todo = steps(before, edit.add_device(before, device("tv", "home")))
    assert {getattr(step, "node", None) for step in todo} == {"tv", "home", None}
    (cable,) = [step.cable for step in named(todo, s.AddCable)]
    assert (cable.node, cable.peer_node, cable.bridge) == ("tv", "home", "lan")
    assert cable.peer_interface == f"p{cable.number}"


def test_steps_come_in_an_order_that_never_leaves_a_gap():
    before = usual()
    todo = steps(before, edit.renew_ip(before, "laptop", "eth0"))
    kinds = [type(step).__name__ for step in todo]
    assert kinds.index("AddAddress") < kinds.index("SetNeighbour") < kinds.index("RemoveAddress")
    assert not named(todo, s.RemoveRoute)


def test_the_default_route_of_several_addresses_names_the_renewed_one():
    t = edit.add_ip(usual(), "laptop", "eth0", ip_interface("10.0.1.50"))
    t = edit.renew_ip(t, "laptop", "eth0")
    default = next(r for r in node_plan(t, "laptop").routes if r.destination.version == 4)
    assert default.source == t.devices["laptop"].interfaces[0].address.ip


def test_an_interface_that_is_down_keeps_addresses_and_loses_routes():
    before = usual()
    after = edit.set_up(before, "laptop", "eth0", False)
    todo = steps(before, after)
    assert not named(todo, s.RemoveAddress)
    assert len(named(todo, s.RemoveRoute)) == 2
    assert todo[-1] == s.SetLink(node="laptop", interface="eth0", up=False, old_up=True)
    back = steps(after, before)
    assert back[0] == s.SetLink(node="laptop", interface="eth0", up=True, old_up=False)
    assert {str(step.route.destination) for step in named(back, s.SetRoute)} == {
        "0.0.0.0/0", "::/0",
    }  # fmt: skip
    assert not named(back, s.AddAddress)


def test_a_replugged_cable_is_moved_and_not_made_anew():
    before = usual()
    todo = steps(before, edit.replug(before, "laptop", "eth0", "dc"))
    (move,) = named(todo, s.MoveCable)
    assert (move.before.peer_node, move.after.peer_node) == ("home", "dc")
    assert not named(todo, s.AddCable)
    assert not named(todo, s.RemoveInterface)


def test_mtus_of_ends_are_what_was_asked_and_ports_never_limit():
    t = lab(
        router("r", mtu=1400),
        device("d", "r"),
        device("e", ifaces={"eth0": IfaceConfig("r", mtu=9000)}),
    )
    cables = {c.node: c for c in node_plan(t, "r").cables}
    assert (cables["r"].mtu, cables["r"].peer_mtu) == (1400, 1500)
    assert (cables["d"].mtu, cables["d"].peer_mtu) == (1500, 1500)
    assert (cables["e"].mtu, cables["e"].peer_mtu) == (9000, 9000)
    assert node_plan(t, "r").bridges[0].mtu == 1400


def test_setting_an_mtu_tells_both_values():
    before = usual()
    todo = steps(before, edit.set_mtu(before, "laptop", "eth0", 9000))
    assert todo == (
        s.SetLink(node="home", interface="p5", mtu=9000, old_mtu=1500),
        s.SetLink(node="laptop", interface="eth0", mtu=9000, old_mtu=1500),
    )


def test_nat_and_firewall_become_tables_and_timeouts():
    t = usual()
    assert [table.name for table in node_plan(t, "home").tables] == ["nat", "firewall"]
    todo = steps(t, edit.set_nat(t, "home", Nat.NONE))
    (change,) = named(todo, s.SetTables)
    assert [table.name for table in change.tables] == ["firewall"]
    timeouts = {step.key: (step.old, step.value) for step in named(todo, s.SetSysctl)}
    # Its firewall remembers flows as long as RFC 6092 wants.
    assert timeouts["netfilter.nf_conntrack_udp_timeout"] == ("120", "300")
    assert "netfilter.nf_conntrack_tcp_timeout_established" not in timeouts
    assert {(step.node, str(step.route.destination)) for step in named(todo, s.SetRoute)} == {
        ("isp", "10.0.1.0/24"), (IX, "10.0.1.0/24"),
    }  # fmt: skip
    gone = edit.set_firewall(edit.set_nat(t, "home", Nat.NONE), "home", Firewall.NONE)
    assert node_plan(gone, "home").tables == ()


def test_a_new_uplink_address_reaches_nat_and_routes():
    before = usual()
    todo = steps(before, edit.renew_ip(before, "home", "wan"))
    assert {step.node for step in named(todo, s.SetTables)} == {"home"}
    hop = {str(step.route.via) for step in named(todo, s.SetRoute) if step.node == "isp"}
    assert hop == {"2001:db8:1:2::4"}


def test_forwarding_comes_first_and_dad_is_as_asked():
    for dad in (False, True):
        t = lab(router("r"), device("d", "r"), ipv6_dad=dad)
        for name, forwards in (("r", "1"), (IX, "1"), ("d", "0")):
            sysctls = node_plan(t, name).sysctls
            assert sysctls[0] == ("ipv4.ip_forward", forwards)
            values = dict(sysctls)
            assert len(values) == len(sysctls)
            assert values["ipv6.conf.default.accept_dad"] == str(int(dad))
            assert values["ipv6.conf.all.forwarding"] == forwards


def test_a_lan_of_thousands_is_several_bridges():
    many = [device(f"d{n}", "r") for n in range(1100)]
    t = lab(router("r", downstream="10.64.0.0/18", ip_support="v4_only"), *many)
    r = node_plan(t, "r")
    assert [bridge.name for bridge in r.bridges] == ["lan", "lan1", "lan2"]
    assert len({bridge.mac for bridge in r.bridges}) == 3
    joints = [c for c in r.cables if c.node == c.peer_node]
    assert {(c.mtu, c.peer_mtu) for c in joints} == {(65_535, 65_535)}
    assert [(c.node_bridge, c.bridge) for c in joints] == [("lan1", "lan"), ("lan2", "lan")]
    smaller = t
    for n in range(50):
        smaller = edit.remove(smaller, f"d{1050 + n}")
    assert len(node_plan(smaller, "r").bridges) == 3
    for n in range(60):
        smaller = edit.remove(smaller, f"d{990 + n}")
    todo = steps(t, smaller)
    assert s.RemoveInterface(node="r", interface="lan2") in todo


def test_a_plan_can_be_read():
    text = str(plan(usual()))
    for part in (
        "lab test",
        "bridge ix mtu 1500 198.18.0.1/24 2001:db8::1/64",
        "wan mtu 1500 198.18.2.2/24",
        "route default via 10.0.1.1 dev eth0",
        "rule from 198.18.2.3/32 table 100",
        "snat to 198.18.2.2",
    ):
        assert part in text
    assert plan(usual()).nodes[0].name == IX


def test_removing_a_node_unplugs_it_before_it_goes():
    before = usual()
    todo = steps(before, edit.remove(before, "laptop"))
    assert todo[-3:] == (
        s.RemoveInterface(node="laptop", interface="eth0"),
        s.RemoveNode(node="laptop"),
        s.Forget(node="home", host=ip_address("10.0.1.2")),
    )
    assert {step.node for step in todo[:-3]} == {"home"}


def test_a_nat_forgets_what_belongs_to_addresses_that_are_no_more():
    """An address of a host: every NAT that saw it; the uplink's own: all; another: what has it."""
    before = usual()
    (step,) = named(steps(before, edit.renew_ip(before, "laptop", "eth0")), s.Forget)
    assert (step.node, str(step.host)) == ("home", "10.0.1.2")
    (step,) = named(steps(before, edit.renew_ip(before, "home", "wan")), s.Forget)
    assert step == s.Forget(node="home")
    cgn = edit.set_nat(edit.set_nat(before, "isp", Nat.CGNAT), "home", Nat.NONE)
    assert {
        (step.node, str(step.host))
        for step in named(steps(cgn, edit.remove(cgn, "laptop")), s.Forget)
    } == {("isp", "10.0.1.2")}
    pool = NatConfig(addresses=["198.18.2.200"])
    wider = edit.set_nat(before, "home", pool)
    assert not named(steps(before, wider), s.Forget)
    gone = [s.Forget(node="home", outside=ip_address("198.18.2.200"))]
    assert named(steps(wider, before), s.Forget) == gone
    more = edit.set_nat(before, "home", NatConfig(addresses=["198.18.2.201", "198.18.2.200"]))
    assert named(steps(wider, more), s.Forget) == gone, "it is another one to the rules"
    own = edit.set_nat(before, "home", NatConfig(one_to_one={"10.0.1.2": "198.18.2.200"}))
    assert not named(steps(before, own), s.Forget)
    assert named(steps(own, before), s.Forget) == gone


def test_outside_addresses_are_the_uplinks_and_nobody_elses():
    before = usual()
    wider = edit.set_nat(before, "home", NatConfig(addresses=["198.18.2.200"]))
    added = {str(step.address) for step in named(steps(before, wider), s.AddAddress)}
    assert added == {"198.18.2.200/32"}
    for wrong in ("198.18.2.2", "198.18.2.1", "198.18.2.255", "192.0.2.1"):
        with pytest.raises(ConfigError, match=rf"router 'home', nat, addresses: {wrong}"):
            edit.set_nat(before, "home", NatConfig(addresses=[wrong]))
    with pytest.raises(ConfigError, match="taken"):
        edit.add_ip(wider, "home", "wan", ip_interface("198.18.2.200/24"))
    with pytest.raises(ConfigError, match=r"198\.18\.2\.200 is not in the LAN"):
        edit.replug(wider, "home", "wan", IX)


def test_what_a_router_does_to_packets_concerns_no_other_node():
    before = usual()
    todo = steps(before, edit.set_nat(before, "home", Nat.FULL_CONE))
    assert {type(step) for step in todo} == {s.SetTables, s.SetSysctl}
    assert {step.node for step in todo} == {"home"}


def test_with_destinations_that_are_exempt_the_lan_can_be_reached():
    """Routers above know the way back to it, and its subnet must be no other's there."""
    before = usual()
    todo = steps(before, edit.set_nat(before, "home", NatConfig(exempt=["198.18.0.0/24"])))
    assert {step.node for step in named(todo, s.SetRoute)} == {"isp", IX}


def test_the_work_for_one_device_does_not_grow_with_the_lab():
    """Steps are counted, not seconds."""
    small, large = (
        lab(router("r", downstream="10.64.0.0/18"), *(device(f"d{n}", "r") for n in range(count)))
        for count in (1, 900)
    )
    counts = {len(steps(t, edit.add_device(t, device("new", "r")))) for t in (small, large)}
    assert len(counts) == 1


def work(function):
    """How long the processor takes for it, in nanoseconds, and what comes of it."""
    begin = time.process_time_ns()
    result = function()
    return time.process_time_ns() - begin, result


def test_a_batch_is_planned_with_much_less_work_than_one_by_one():
    requests = [device(f"d{n}", "r") for n in range(60)]
    start = lab(router("r", downstream="10.64.0.0/18"))

    def at_once():
        after = edit.batch(start, requests)
        return after, steps(start, after)

    def one_by_one():
        before = start
        for request in requests:
            after = edit.add_device(before, request)
            steps(before, after)
            before = after
        return before

    for _ in range(100):  # others on the machine have a part in single times
        batch, (after, todo) = work(at_once)
        single, same = work(one_by_one)
        assert after == same
        if single > 1.5 * batch:
            break
    assert single > 1.5 * batch
    Kernel().apply(steps(None, start)).apply(todo)


@pytest.mark.parametrize("step", steps(None, usual()))
def test_a_step_undone_twice_is_itself(step):
    inverse = step.inverse()
    if not isinstance(inverse, s.RemoveNode | s.RemoveInterface):
        assert inverse.inverse() == step


def test_routes_name_networks():
    for node in plan(usual()).nodes:
        for route in node.routes:
            assert route.destination == ip_network(str(route.destination))
