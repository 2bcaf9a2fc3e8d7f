"""Who reaches whom, over IPv4 and IPv6."""

import itertools
import time

import pytest
from support import differences, exchange, home_and_server, reaches, refused

from patchbay import ConfigError, RouterPreset

VERSIONS = (4, 6)
NOT_YET = ("isp_v6",)


@pytest.mark.parametrize("version", VERSIONS)
def test_hosts_of_one_lan_reach_each_other_and_their_router(lab, version):
    home = lab.add_router("home", preset="home")
    one, other = lab.add_device("one", home), lab.add_device("other", home)

    assert reaches(one, other, version)
    assert one.ping(
        one.iface("eth0").gateway if version == 4 else one.iface("eth0").gateway6, timeout=30
    )
    assert exchange(other, one, version) == str(other.ip if version == 4 else other.ip6)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_host_behind_nat_reaches_a_server_but_is_not_reached(lab, version):
    _, home, server, laptop = home_and_server(lab)

    seen = exchange(laptop, server, version)

    assert seen == str(home.uplink_ip if version == 4 else laptop.ip6)
    assert reaches(laptop, server, version)
    assert refused(server, laptop, version)


def test_behind_two_nats_the_server_sees_the_outer_one(lab):
    dc = lab.add_router("dc", preset="public")
    isp = lab.add_router("isp", nat="home")
    home = lab.add_router("home", preset="home", upstream=isp)
    server, laptop = lab.add_device("server", dc), lab.add_device("laptop", home)

    assert exchange(laptop, server) == str(isp.uplink_ip)
    assert exchange(laptop, server, 6) == str(laptop.ip6)
    assert str(home.uplink_ip) == str(isp.downstream[2])
    assert home.upstream == isp
    assert isp.upstream is None


@pytest.mark.parametrize("version", VERSIONS)
def test_routers_behind_routers_are_reached_from_everywhere(lab, version):
    """Without NAT, every LAN at any depth reaches every other."""
    names = ["top", "middle", "low"]
    for above, name in zip([None, *names[:-1]], names, strict=True):
        lab.add_router(name, upstream=above)
    lab.add_router("other")
    hosts = [lab.add_device(f"at-{name}", name) for name in [*names, "other"]]

    for one, another in itertools.permutations(hosts, 2):
        assert reaches(one, another, version), (one, another)
    assert differences(lab) == []


@pytest.mark.parametrize("support", ["v4_only", "v6_only", "dual_stack"])
def test_routers_speak_the_versions_they_were_told_to(lab, support):
    dc = lab.add_router("dc")
    router = lab.add_router("r", ip_support=support)
    server, host = lab.add_device("server", dc), lab.add_device("host", router)
    v4, v6 = support != "v6_only", support != "v4_only"

    assert (host.ip is not None, host.ip6 is not None) == (v4, v6)
    assert (router.uplink_ip is not None, router.uplink_ip6 is not None) == (v4, v6)
    assert (router.downstream is not None, router.downstream6 is not None) == (v4, v6)
    assert bool(host.ping(server.ip, timeout=30.0 if v4 else 0.15)) is v4
    assert bool(host.ping(server.ip6, timeout=30.0 if v6 else 0.15)) is v6
    assert host.ping(server, timeout=30)
    assert differences(lab) == []


def test_a_host_pings_a_node_by_a_version_that_both_have(lab):
    """A node as target stands for whichever of its addresses the asking node can reach."""
    lab.add_router("dc")
    for support in ("v4_only", "v6_only"):
        lab.add_router(support, ip_support=support)
    server = lab.add_device("server", "dc")
    four, six = lab.add_device("four", "v4_only"), lab.add_device("six", "v6_only")

    assert four.ping(server, timeout=30).target == str(server.ip)
    assert six.ping(server, timeout=30).target == str(server.ip6)
    with server.reflector("udp") as reflector:
        assert reflector.observe(six, timeout=30).ip == six.ip6
        assert reflector.observe(four, timeout=30).ip == four.ip


def test_sub_routers_of_a_v6_only_router_work(lab):
    lab.add_router("above", ip_support="v6_only")
    lab.add_router("below", upstream="above", ip_support="v6_only")
    lab.add_router("dc")
    host, server = lab.add_device("host", "below"), lab.add_device("server", "dc")

    assert reaches(host, server, 6)
    assert reaches(server, host, 6)


@pytest.mark.parametrize("preset", ["home", "public", "public_v4"])
def test_presets_give_what_they_say(lab, preset):
    dc = lab.add_router("dc")
    router = lab.add_router("r", preset=preset)
    server, host = lab.add_device("server", dc), lab.add_device("host", router)
    known = RouterPreset(preset)

    assert (router.nat, router.nat_v6, router.firewall) == (
        known.nat,
        known.nat_v6,
        known.firewall,
    )
    assert router.ip_support is known.ip_support
    assert exchange(host, server) == str(router.uplink_ip if preset == "home" else host.ip)
    assert router.downstream.network_address.is_private
    assert str(router.downstream).startswith("10." if preset == "home" else "198.18.")
    if host.ip6:
        v6 = known.ip_support.v6
        assert bool(host.ping(server.ip6, timeout=30.0 if v6 else 0.15)) is v6


@pytest.mark.parametrize("preset", NOT_YET)
def test_presets_that_do_not_work_yet_say_so_and_leave_nothing(lab, preset):
    before = lab.topology()

    with pytest.raises(ConfigError, match=rf"router 'r', .*{preset}.* is not available yet"):
        lab.add_router("r", preset=preset)

    assert lab.topology() == before
    assert lab.ix.call(_links) == ["ix", "lo"]
    lab.add_router("r", preset="home")


def _links():
    import socket

    return sorted(name for _, name in socket.if_nameindex())


def test_what_stands_beside_a_preset_overrides_it(lab):
    router = lab.add_router(
        "r", preset="home", nat="none", firewall="none", downstream="172.16.0.0/20", mtu=1400
    )
    host = lab.add_device("host", router)
    server = lab.add_device("server", lab.add_router("dc"))

    assert str(router.downstream) == "172.16.0.0/20"
    assert router.iface("wan").mtu == router.iface("lan").mtu == 1400
    assert exchange(server, host) == str(server.ip)


@pytest.mark.parametrize("prefix", [8, 16, 20, 23, 25, 28, 29, 30])
def test_a_lan_can_have_any_prefix_length(lab, prefix):
    router = lab.add_router(
        "r", nat="home", downstream=f"10.{0 if prefix < 10 else 64}.0.0/{prefix}"
    )
    host = lab.add_device("host", router)

    assert str(host.iface("eth0").addresses[0]) == f"{router.downstream[2]}/{prefix}"
    assert str(host.iface("eth0").gateway) == str(router.downstream[1])
    assert host.ping(lab.ix.ip, timeout=30)


def test_chosen_addresses_are_used_and_reached(lab):
    from patchbay import IfaceConfig

    router = lab.add_router("r", downstream="10.1.0.0/16", downstream6="fd99::/64")
    server = lab.add_device("server", router)
    config = IfaceConfig(
        router, address="10.1.200.7", address6="fd99::77", mac="02:aa:bb:cc:dd:ee", mtu=1400
    )
    host = lab.add_device("host", ifaces={"lan0": config})
    iface = host.iface("lan0")

    assert (str(iface.ip), str(iface.ip6)) == ("10.1.200.7", "fd99::77")
    assert (iface.mac, iface.mtu) == ("02:aa:bb:cc:dd:ee", 1400)
    assert reaches(server, host)
    assert reaches(server, host, 6)
    assert differences(lab) == []


def test_the_sixteenth_public_and_the_300th_private_lan_are_like_the_first(lab):
    """Pools neither overlap nor wrap: every LAN has a subnet of its own."""
    with lab.batch():
        publics = [lab.add_router(f"p{number}", preset="public") for number in range(20)]
        homes = [lab.add_router(f"h{number}", nat="home") for number in range(20)]
    subnets = [router.downstream for router in [*publics, *homes]]

    assert not any(a.overlaps(b) for a, b in itertools.combinations(subnets, 2))


def test_addresses_are_used_again_after_removal(lab):
    router = lab.add_router("r", downstream="10.0.0.0/29")
    for _ in range(3):
        devices = [lab.add_device(f"d{number}", router) for number in range(5)]
        with pytest.raises(ConfigError, match="taken"):
            lab.add_device("one-too-many", router)
        assert devices[0].ping(devices[-1], timeout=30)
        for device in devices:
            lab.remove(device)


def test_link_local_addresses_are_what_the_kernel_made(lab):
    home = lab.add_router("home", preset="home")
    one, other = lab.add_device("one", home), lab.add_device("other", home)

    assert one.ping(f"{other.iface('eth0').ll6}%eth0", timeout=30)
    assert one.ping(f"{home.iface('lan').ll6}%eth0", timeout=30)
    assert one.iface("eth0").ll6.is_link_local


@pytest.mark.parametrize("dad", [False, True])
def test_with_and_without_duplicate_address_detection_hosts_reach_each_other(dad):
    from patchbay import Lab

    with Lab(ipv6_dad=dad) as lab:
        dc = lab.add_router("dc")
        one, other = lab.add_device("one", dc), lab.add_device("other", dc)
        assert one.call(_reach_within, str(other.ip6))
        assert one.call(_sysctl, "ipv6/conf/eth0/accept_dad") == str(int(dad))


def _reach_within(host):
    from patchbay.ping import ping

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if ping(host, 1, 0.25, 0, 56):
            return True
    return False


def _sysctl(path):
    with open(f"/proc/sys/net/{path}") as file:
        return file.read().strip()


def test_the_host_is_not_reached(lab):
    """A lab's network ends in itself: nothing of the host can be talked to."""
    import socket

    dc = lab.add_router("dc")
    device = lab.add_device("d", dc)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            device.call(_connect, "127.0.0.1", port)
    assert not device.ping("8.8.8.8", timeout=0.1)


def _connect(host, port):
    """Connect; from a low port, or it could be this very one, and TCP would connect with itself."""
    import socket

    socket.create_connection((host, port), timeout=60, source_address=("", 1)).close()
