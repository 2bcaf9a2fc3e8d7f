"""Changes of a network that runs: what stays right for both versions of IP, and what lives on."""

import pytest
from support import (
    Traffic,
    differences,
    exchange,
    held_open,
    home_and_server,
    link_states,
    reaches,
    refused,
)

from patchbay import ConfigError, LinkCondition, NodeGone


@pytest.fixture
def net(lab):
    """Two data centres with a server each, a home, and a laptop at home."""
    home_and_server(lab)
    lab.add_device("mirror", lab.add_router("dc2", preset="public"))
    return lab


def right(lab, *pairs):
    """Everything is as planned, and these pairs of names reach each other by both versions."""
    assert differences(lab) == []
    for one, other in pairs:
        for version in (4, 6):
            assert reaches(lab.node(one), lab.node(other), version), (one, other, version)


def _identity(name):
    """Index and hardware address of an interface; runs on a node."""
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, 0x8927, struct.pack("256s", name.encode()))
    return socket.if_nametoindex(name), answer[18:24].hex(":")


# ---- replug --------------------------------------------------------------------------------------


def test_replug_gives_addresses_of_the_new_lan_and_keeps_the_interface(net):
    laptop, dc = net.device("laptop"), net.router("dc")
    eth0 = laptop.iface("eth0")
    before, mac, old = laptop.call(_identity, "eth0"), eth0.mac, eth0.ip

    eth0.replug(dc)

    assert laptop.call(_identity, "eth0") == before
    assert eth0.mac == mac
    assert eth0.router == dc
    assert eth0.ip in dc.downstream
    assert eth0.ip6 in dc.downstream6
    assert (eth0.gateway, eth0.gateway6) == (dc.downstream[1], dc.downstream6[1])
    right(net, ("laptop", "server"), ("server", "laptop"), ("laptop", "mirror"))
    assert not net.device("server").ping(old, timeout=0.15)


def test_replug_keeps_the_mtu(net):
    eth0 = net.device("laptop").iface("eth0")
    eth0.set_mtu(1400)
    eth0.replug("dc")

    assert eth0.mtu == 1400
    right(net, ("laptop", "server"))


def test_replug_while_down_keeps_it_down(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    eth0.down()
    eth0.replug("dc")

    assert not eth0.is_up
    assert differences(net) == []
    assert not laptop.ping(net.device("server"))
    eth0.up()
    right(net, ("laptop", "server"), ("mirror", "laptop"))


def test_replug_there_and_back_many_times_leaks_nothing(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    addresses = set()
    for router in ["dc", "home", "dc2"] * 5:
        eth0.replug(router)
        addresses.add(eth0.ip)
    right(net, ("laptop", "server"))
    assert len(addresses) == 3


@pytest.mark.parametrize("support", ["v4_only", "v6_only"])
def test_replug_between_lans_with_different_versions_of_ip(net, support):
    router = net.add_router("single", ip_support=support)
    laptop, server = net.device("laptop"), net.device("server")
    eth0 = laptop.iface("eth0")

    eth0.replug(router)
    version = 4 if support == "v4_only" else 6
    assert (laptop.ip is None, laptop.ip6 is None) == (version == 6, version == 4)
    assert reaches(laptop, server, version)
    assert reaches(server, laptop, version)
    assert differences(net) == []

    eth0.replug("home")
    right(net, ("laptop", "server"))


def test_replug_into_its_own_lan_changes_nothing(net):
    before = net.topology()
    net.device("laptop").iface("eth0").replug("home")

    assert net.topology() == before
    right(net, ("laptop", "server"))


def test_replug_of_an_interface_that_is_not_the_default(net):
    phone = net.add_device("phone", ifaces={"wlan0": "home", "cell0": "dc"})
    phone.iface("cell0").replug("dc2")

    assert phone.default_iface.name == "wlan0"
    right(net, ("phone", "server"))
    assert net.device("mirror").ping(phone.iface("cell0").ip, timeout=30)
    assert net.device("server").ping(phone.iface("cell0").ip6, timeout=30)


def test_a_router_can_be_plugged_in_elsewhere_with_all_that_is_below_it(net):
    home, laptop, server = net.router("home"), net.device("laptop"), net.device("server")
    below, desk = net.add_router("below", upstream="home"), None
    desk = net.add_device("desk", below)
    mac = home.iface("wan").mac

    home.iface("wan").replug("dc2")

    assert home.upstream == net.router("dc2")
    assert home.uplink_ip in net.router("dc2").downstream
    assert home.iface("wan").mac == mac
    assert exchange(laptop, server) == str(home.uplink_ip)
    assert exchange(desk, server) == str(home.uplink_ip)
    right(net, ("laptop", "server"), ("desk", "server"), ("laptop", "desk"))

    home.iface("wan").replug(net.ix)
    assert home.upstream is None
    right(net, ("laptop", "server"), ("desk", "server"))


def test_a_router_is_not_plugged_into_what_is_below_it(net):
    net.add_router("below", upstream="dc")
    before = net.topology()

    for target in ("dc", "below"):
        with pytest.raises(ConfigError, match="its own or below it"):
            net.router("dc").iface("wan").replug(target)
    assert net.topology() == before


def test_a_public_router_moves_behind_another_and_is_still_reached(net):
    net.router("dc").iface("wan").replug("dc2")

    right(net, ("mirror", "server"), ("laptop", "server"), ("server", "mirror"))


# ---- up and down ---------------------------------------------------------------------------------


def test_down_and_up_bring_addresses_and_routes_of_both_versions_back(net):
    laptop, server = net.device("laptop"), net.device("server")
    eth0 = laptop.iface("eth0")
    addresses, ll6 = eth0.addresses, eth0.ll6
    for _ in range(2):
        eth0.down()
        assert not eth0.is_up
        assert eth0.addresses == addresses
        assert not laptop.ping(server.ip)
        assert not laptop.ping(server.ip6)
        assert differences(net) == []
        eth0.up()
        assert eth0.is_up
        right(net, ("laptop", "server"))
    assert net.router("home").ping(f"{ll6}%lan", timeout=30)


def test_a_connection_lives_through_down_and_up(net):
    laptop, server = net.device("laptop"), net.device("server")
    for version in (4, 6):
        with held_open(laptop, server, version) as conversation:
            assert conversation.works()
            laptop.iface("eth0").down()
            laptop.iface("eth0").up()
            assert conversation.works()


def test_an_interface_that_is_not_the_default_gets_its_routes_back(net):
    phone = net.add_device("phone", ifaces={"wlan0": "home", "cell0": "dc"})
    cell0, mirror = phone.iface("cell0"), net.device("mirror")
    cell0.down()
    assert not mirror.ping(cell0.ip, timeout=0.15)
    right(net, ("phone", "server"))
    cell0.up()

    assert mirror.ping(cell0.ip, timeout=30)
    assert mirror.ping(cell0.ip6, timeout=30)
    right(net, ("phone", "server"))


def test_the_default_interface_down_leaves_the_others_their_own_routes(net):
    phone = net.add_device("phone", ifaces={"wlan0": "home", "cell0": "dc"})
    phone.iface("wlan0").down()

    assert not phone.ping(net.device("mirror"))
    assert net.device("mirror").ping(phone.iface("cell0").ip, timeout=30)
    phone.set_default_route("cell0")
    right(net, ("phone", "mirror"))
    phone.iface("wlan0").up()
    right(net, ("phone", "mirror"), ("phone", "server"))


@pytest.mark.parametrize("support", ["v4_only", "v6_only"])
def test_down_and_up_with_one_version_of_ip(net, support):
    host = net.add_device("host", net.add_router("single", ip_support=support))
    host.iface("eth0").down()
    host.iface("eth0").up()

    assert differences(net) == []
    assert host.ping(net.device("server"), timeout=30)


def test_a_routers_uplink_goes_down_and_up(net):
    home, laptop, server = net.router("home"), net.device("laptop"), net.device("server")
    with held_open(laptop, server) as conversation:
        home.iface("wan").down()
        assert refused(laptop, server)
        assert laptop.ping(laptop.iface("eth0").gateway, timeout=30)
        home.iface("wan").up()
        assert conversation.works()
    right(net, ("laptop", "server"))


def test_up_twice_and_down_twice_are_fine(net):
    eth0 = net.device("laptop").iface("eth0")
    for action in (eth0.up, eth0.down, eth0.down, eth0.up, eth0.up):
        action()
        assert differences(net) == []
    right(net, ("laptop", "server"))


def test_links_are_ready_when_a_change_returns(net):
    """Both ends of a cable know that it is connected, so that not one packet is lost."""
    laptop, home = net.device("laptop"), net.router("home")
    eth0, wan = laptop.iface("eth0"), home.iface("wan")

    for _ in range(5):
        for change in (
            eth0.down, eth0.up, wan.down, wan.up,
            lambda: eth0.replug("dc"), lambda: eth0.replug("home"),
        ):  # fmt: skip
            change()
            for node in (laptop, home, net.router("dc"), net.ix):
                for name, ready in node.call(link_states).items():
                    iface = {("laptop", "eth0"): eth0, ("home", "wan"): wan}.get((node.name, name))
                    if iface is not None:
                        assert ready is iface.is_up
            if eth0.is_up and wan.is_up:
                assert laptop.ping(net.ix.ip, timeout=30)
                assert laptop.ping(net.ix.ip6, timeout=30)


# ---- addresses -----------------------------------------------------------------------------------


def test_renew_ip_gives_another_address_and_keeps_the_default_routes(net):
    laptop, server = net.device("laptop"), net.device("server")
    before = (laptop.ip, laptop.ip6)

    renewed = laptop.iface("eth0").renew_ip()

    assert renewed == laptop.ip
    assert laptop.ip != before[0]
    assert laptop.ip6 != before[1]
    right(net, ("laptop", "server"))
    assert not net.router("home").ping(before[0], timeout=0.15)
    assert exchange(laptop, server) == str(net.router("home").uplink_ip)


def test_renew_ip_of_a_server_is_seen_by_everybody(net):
    server = net.device("server")
    server.iface("eth0").renew_ip()

    right(net, ("laptop", "server"), ("mirror", "server"))
    assert net.device("laptop").ping("server", timeout=30).target == str(server.ip)


def test_renew_ip_of_an_uplink_changes_what_nat_translates_to(net):
    home, laptop, server = net.router("home"), net.device("laptop"), net.device("server")
    before = home.uplink_ip
    assert exchange(laptop, server) == str(before)

    home.iface("wan").renew_ip()

    assert home.uplink_ip != before
    assert exchange(laptop, server) == str(home.uplink_ip)
    right(net, ("laptop", "server"))


def test_renew_ip_uses_the_last_free_address_and_refuses_when_there_is_none(net):
    small = net.add_router("small", downstream="10.9.0.0/29")
    hosts = [net.add_device(f"h{number}", small) for number in range(4)]
    assert [str(host.ip) for host in hosts] == [f"10.9.0.{number}" for number in (2, 3, 4, 5)]

    assert str(hosts[0].iface("eth0").renew_ip()) == "10.9.0.6"
    right(net, ("h0", "server"), ("server", "h0"), ("h1", "h0"))

    assert str(net.add_device("h4", small).ip) == "10.9.0.2"
    before = net.topology()
    with pytest.raises(ConfigError, match="no other IPv4 address is free in the LAN of 'small'"):
        hosts[0].iface("eth0").renew_ip()
    assert net.topology() == before
    right(net, ("h0", "server"), ("h4", "h0"))


def test_a_connection_over_an_added_address_lives_through_renew_ip(net):
    laptop, server = net.device("laptop"), net.device("server")
    server.iface("eth0").add_ip("198.18.1.200/24")
    with held_open(laptop, server) as of_the_old, server.reflector("tcp", 7100):
        with laptop.socket() as sock:
            sock.settimeout(60)
            sock.connect(("198.18.1.200", 7100))
            assert sock.recv(100)
            server.iface("eth0").renew_ip()
            sock.sendall(b"still")
            assert sock.recv(100) == b"still"
        assert of_the_old.greeting


def test_add_ip_of_the_lans_subnet_is_reached_by_all(net):
    server = net.device("server")
    eth0 = server.iface("eth0")
    eth0.add_ip("198.18.1.77/24")
    eth0.add_ip("2001:db8:1:1::77/64")

    assert [str(each) for each in eth0.addresses[2:]] == ["198.18.1.77/24", "2001:db8:1:1::77/64"]
    for address in ("198.18.1.77", "2001:db8:1:1::77"):
        assert net.device("laptop").ping(address, timeout=30)
    assert server.ip != eth0.addresses[2].ip
    assert exchange(server, net.device("mirror")) == str(server.ip)
    assert exchange(server, net.device("mirror"), 6) == str(server.ip6)
    right(net, ("server", "mirror"))
    eth0.down()
    eth0.up()
    right(net, ("server", "mirror"))
    assert net.device("laptop").ping("198.18.1.77", timeout=30)
    assert net.device("laptop").ping("2001:db8:1:1::77", timeout=30)


def test_add_ip_outside_of_every_subnet_is_the_nodes_own(net):
    server = net.device("server")
    server.iface("eth0").add_ip("203.0.113.5/32")

    assert server.ping("203.0.113.5", timeout=30)
    assert differences(net) == []


# ---- interfaces and nodes ------------------------------------------------------------------------


def test_interfaces_come_and_go(net):
    laptop, server = net.device("laptop"), net.device("server")
    with held_open(laptop, server) as conversation:
        usb0 = laptop.add_iface("usb0", "dc")
        assert usb0.ip in net.router("dc").downstream
        assert laptop.default_iface.name == "eth0"
        assert net.device("mirror").ping(usb0.ip, timeout=30)
        assert differences(net) == []
        assert conversation.works()
        usb0.remove()
        assert [iface.name for iface in laptop.ifaces] == ["eth0"]
        assert conversation.works()
    right(net, ("laptop", "server"))


def test_removing_the_default_interface_moves_the_default_route_in_the_kernel(net):
    phone = net.add_device("phone", ifaces={"wlan0": "home", "cell0": "dc"})
    phone.iface("wlan0").remove()

    assert phone.default_iface.name == "cell0"
    assert exchange(phone, net.device("mirror")) == str(phone.iface("cell0").ip)
    right(net, ("phone", "mirror"), ("mirror", "phone"))


def test_the_last_interface_can_go_and_come_again(net):
    laptop = net.device("laptop")
    laptop.iface("eth0").remove()
    assert laptop.default_iface is None
    assert differences(net) == []
    laptop.add_iface("eth0", "home")
    right(net, ("laptop", "server"))


def test_devices_and_routers_come_and_go(net):
    server, laptop = net.device("server"), net.device("laptop")
    with held_open(laptop, server) as conversation:
        for _ in range(3):
            router = net.add_router("guest", upstream="home")
            visitor = net.add_device("visitor", router)
            assert visitor.ping(server, timeout=30)
            with pytest.raises(ConfigError, match="eth0 of 'visitor' still plugged into its LAN"):
                net.remove(router)
            net.remove(visitor)
            net.remove("guest")
            assert differences(net) == []
            assert conversation.works()
    right(net, ("laptop", "server"))


# ---- MTU -----------------------------------------------------------------------------------------


def _mtu_of(name):
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, 0x8921, struct.pack("16si240x", name.encode(), 0))
    return struct.unpack_from("16si", answer)[1]


def _send_whole(host, size):
    """Send a datagram that must not be fragmented; the errno of the second attempt, 0 if it leaves."""
    import socket
    import time

    v6 = ":" in host
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, 23, 2)  # IPV6_MTU_DISCOVER = IPV6_PMTUDISC_DO
        else:
            sock.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER = IP_PMTUDISC_DO
        sock.connect((host, 9))
        for _ in range(200):
            try:
                sock.send(bytes(size))
            except OSError as error:
                if error.errno != 90:  # a refusal by the far side is not about size
                    continue
                return sock.getsockopt(socket.IPPROTO_IPV6, 24) if v6 else sock.getsockopt(0, 14)
            time.sleep(0.005)
    return 0


def test_set_mtu_is_what_the_kernel_has(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    for mtu in (1400, 9000, 1280, 1500):
        eth0.set_mtu(mtu)
        assert laptop.call(_mtu_of, "eth0") == eth0.mtu == mtu
        right(net, ("laptop", "server"))


def test_large_packets_pass_where_every_link_takes_them(lab):
    """With 9,000 bytes everywhere a jumbo frame passes in one piece."""
    big = lab.add_router("big", mtu=9000)
    one, other = (lab.add_device(name, big, mtu=9000) for name in ("one", "other"))

    assert one.call(_send_whole, str(other.ip), 8900) == 0
    assert one.ping(other, size=8900, timeout=30)
    assert one.ping(other.ip6, size=8900, timeout=30)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("where", ["uplink", "router", "host"])
def test_a_smaller_hop_is_discovered_by_the_sender(net, version, where):
    """Fragmentation-needed and packet-too-big reach who sent, also through NAT."""
    laptop, server = net.device("laptop"), net.device("server")
    if where == "uplink":
        net.router("home").iface("wan").set_mtu(1300)
    elif where == "router":
        net.add_router("narrow", upstream="dc", mtu=1300)
        server = net.add_device("last", "narrow")
    else:
        server.iface("eth0").set_mtu(1300)
    target = str(server.ip if version == 4 else server.ip6)

    assert laptop.call(_send_whole, target, 1200) == 0
    assert laptop.call(_send_whole, target, 1400) == 1300
    assert exchange_much(laptop, server, version)


def exchange_much(client, server, version):
    with held_open(client, server, version) as conversation:
        conversation.socket.sendall(bytes(200_000) + b"\n")
        return len(conversation._file.readline()) == 200_001


def test_a_server_with_a_smaller_mtu_is_talked_to(net):
    laptop, server = net.device("laptop"), net.device("server")
    server.iface("eth0").set_mtu(1280)

    assert exchange_much(laptop, server, 4)
    assert exchange_much(laptop, server, 6)


# ---- NAT and firewall ----------------------------------------------------------------------------


def test_nat_is_switched_on_and_off_while_traffic_flows(net):
    """Flows that are under way go on; new ones are as they should be now."""
    net.add_router("flat", preset="public", upstream=None)
    host, server, flat = net.add_device("host", "flat"), net.device("server"), net.router("flat")
    with server.reflector("udp") as reflector:
        traffic = Traffic(host, str(server.ip), reflector.port)
        for number, (nat, expected) in enumerate([("home", flat.uplink_ip), ("none", host.ip)] * 3):
            flat.set_nat(nat)
            # from a port of its own: one that is drawn might be that of a flow that goes on
            assert reflector.observe(host, source_port=6000 + number, timeout=30).ip == expected
            assert differences(net) == []
        sent, answered = traffic.stop(most_lost=6)
    assert sent > 6
    assert answered >= sent - 6
    right(net, ("host", "server"), ("server", "host"))


def test_flush_nat_forgets_all_translations(net):
    laptop, server, home = net.device("laptop"), net.device("server"), net.router("home")
    with server.reflector("udp") as reflector:
        reflector.observe(laptop, source_port=5555, timeout=30)
        [entry] = [each for each in home.nat_table() if each.protocol == "udp"]
        assert entry.inside == (laptop.ip, 5555)
        assert entry.outside == (home.uplink_ip, 5555)
        assert entry.remote == (server.ip, reflector.port)

        home.flush_nat()

        assert home.nat_table() == []
        assert reflector.observe(laptop, source_port=5555, timeout=30).port == 5555


def test_the_firewall_is_set_while_a_connection_is_open(net):
    dc, server, mirror = net.router("dc"), net.device("server"), net.device("mirror")
    with held_open(server, mirror) as v4, held_open(server, mirror, 6) as v6:
        dc.set_firewall("block_inbound")
        assert v4.works()
        assert v6.works()
        for version in (4, 6):
            assert refused(mirror, server, version)
            assert reaches(server, mirror, version)
        assert differences(net) == []
        dc.set_firewall("none")
        assert v4.works()
        assert v6.works()
    right(net, ("mirror", "server"))


def test_a_home_without_its_firewall_is_open_over_ipv6_only(net):
    net.router("home").set_firewall("none")

    assert reaches(net.device("server"), net.device("laptop"), 6)
    assert refused(net.device("server"), net.device("laptop"), 4)


# ---- a handoff -----------------------------------------------------------------------------------


def test_udp_goes_on_after_a_handoff_and_the_server_sees_the_new_address(net):
    laptop, server = net.device("laptop"), net.device("server")
    with server.reflector("udp") as reflector:
        assert (
            reflector.observe(laptop, source_port=6000, timeout=30).ip
            == net.router("home").uplink_ip
        )
        laptop.iface("eth0").replug("dc2")
        assert reflector.observe(laptop, source_port=6000, timeout=30).ip == laptop.ip


def test_conditions_are_kept_when_an_interface_is_replugged(net):
    eth0 = net.device("laptop").iface("eth0")
    eth0.set_condition("lan")
    assert eth0.condition() is not None
    eth0.set_condition(None, "down")
    assert eth0.condition("down") is None
    slow = LinkCondition(rate_kbit=5000)
    eth0.set_condition(slow, "down")
    eth0.replug("dc")
    assert eth0.condition("up") is not None
    assert eth0.condition("down") == slow
    before = net.topology()
    with pytest.raises(ConfigError, match="give a latency_ms"):
        eth0.set_condition(LinkCondition(reorder_pct=1))
    assert net.topology() == before


def test_an_interface_that_was_removed_is_gone_for_its_handle(net):
    laptop = net.device("laptop")
    usb0 = laptop.add_iface("usb0", "dc")
    usb0.remove()

    for use in (usb0.up, usb0.stats, usb0.renew_ip, lambda: usb0.ip, lambda: usb0.mtu):
        with pytest.raises(NodeGone, match="interface 'usb0' of node 'laptop' was removed"):
            use()
    assert usb0.name == "usb0"
    laptop.add_iface("usb0", "dc2")
    assert usb0.ip in net.router("dc2").downstream
