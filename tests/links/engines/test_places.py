"""Where conditions can be: any interface, either direction, from the start or at run time."""

import pytest
from traffic import cross, eventually, frame_ms, said, stream

from patchbay import ConfigError, Lab, LinkCondition, RegionLink

KBIT = 1_000
SLOW = LinkCondition(rate_kbit=KBIT)
ROW = 20
LEAST_MS = 0.8 * ROW * frame_ms(1_000, KBIT)
"""What a row of packets takes at the rate, but for those that the kernel lets pass at once."""


def is_slow(source, target):
    return cross(source, target, ROW, size=1_000, window=5).took >= LEAST_MS


def becomes_quick(source, target):
    """On a busy machine a row may take any time; without a rate it is quick some time."""
    eventually(lambda: not is_slow(source, target), "packets still wait for a rate")


def test_from_the_start_at_run_time_and_never_more(shaper, net, server):
    phone = net.add_device("phone", "home", condition=SLOW)
    eth0 = phone.iface("eth0")
    assert str(eth0.engine("up")) == f"{shaper}: asked for"
    assert is_slow(phone, server)
    assert is_slow(server, phone)

    eth0.set_condition(None, "up")
    assert eth0.engine("up") is None
    becomes_quick(phone, server)
    assert is_slow(server, phone)
    eth0.set_condition(None)
    assert eth0.condition("down") is None
    becomes_quick(server, phone)
    eth0.set_condition(SLOW, "down")
    assert is_slow(server, phone)
    becomes_quick(phone, server)


def test_a_link_that_is_made_with_a_condition_has_it_from_the_first_packet(net, server):
    condition = LinkCondition(rate_kbit=200, queue_pkts=10)
    phone = net.add_device("phone", "home", condition=condition)
    row = cross(phone, server, 60, size=1_000, window=60, some_are_lost=True)

    assert len(row.numbers) >= 11 - said(phone)
    assert row.lost


def test_an_uplink_of_a_router(net, laptop, server):
    net.router("home").iface("wan").set_condition(SLOW, "up")
    assert is_slow(laptop, server)
    becomes_quick(server, laptop)


def test_a_downlink_is_for_all_hosts_of_a_lan(net, laptop, server):
    dc = net.router("dc")
    other = net.add_device("other", dc)
    dc.set_downlink_condition(SLOW)

    assert dc.downlink_condition == SLOW
    assert dc.iface("lan").condition() == SLOW
    assert is_slow(laptop, server)
    assert is_slow(laptop, other)
    assert is_slow(laptop, net.add_device("later", dc))
    dc.set_downlink_condition(None)
    becomes_quick(laptop, server)


def test_a_downlink_is_for_one_host(net, laptop, server):
    dc = net.router("dc")
    other = net.add_device("other", dc)
    dc.set_downlink_condition(SLOW, server)

    assert server.iface("eth0").condition("down") == SLOW
    assert is_slow(laptop, server)
    becomes_quick(laptop, other)
    with pytest.raises(ConfigError, match="'laptop' is not plugged into its LAN"):
        dc.set_downlink_condition(SLOW, laptop)


def test_it_stays_with_an_interface_whatever_becomes_of_it(net, laptop, server):
    eth0 = laptop.iface("eth0")
    eth0.set_condition(SLOW)
    eth0.replug("dc")
    assert eth0.condition("down") == SLOW
    assert is_slow(server, laptop)
    eth0.down()
    eth0.up()
    assert is_slow(laptop, server)
    eth0.set_mtu(1_400)
    assert is_slow(server, laptop)


def test_it_goes_with_what_is_removed(net, laptop, server):
    eth0 = laptop.iface("eth0")
    eth0.set_condition(SLOW)
    net.remove(laptop)
    laptop = net.add_device("laptop", "home")
    assert laptop.iface("eth0").engine() is None
    becomes_quick(laptop, server)
    home = net.router("home")
    phone = net.add_device("phone", home, condition=SLOW)
    for each in (phone, laptop, home):
        net.remove(each)


def test_links_between_regions(shaper, nothing_left_behind):
    slow = RegionLink(rate_mbit=KBIT / 1_000)
    with Lab("world", link_engine=shaper) as lab:
        us, eu = lab.add_region("us"), lab.add_region("eu")
        lab.link_regions(us, eu, slow)
        with lab.batch():
            near = lab.add_device("near", lab.add_router("home", region=us))
            far = lab.add_device("far", lab.add_router("dc", region=eu))
        assert is_slow(near, far)
        assert is_slow(far, near)
        lab.update_region_link(us, eu, slow, back=RegionLink())
        becomes_quick(far, near)
        assert is_slow(near, far)
        data = bytes(range(256)) * 200
        assert stream(near, far, data).data == data
        lab.break_region_link(us, eu)
        assert near.ping(far, timeout=0.1).received == 0
        lab.restore_region_link(us, eu)
        assert is_slow(near, far)
        lab.update_region_link(us, eu, RegionLink())
        becomes_quick(near, far)
        lab.unlink_regions(us, eu)
        lab.remove(lab.device("far"))


def test_a_lab_of_a_file_has_its_conditions(shaper, nothing_left_behind, tmp_path):
    file = tmp_path / "slow.toml"
    file.write_text(
        f'[lab]\nlink-engine = "{shaper}"\n[[router]]\nname = "dc"\n[device.a.eth0]\n'
        f'gateway = "dc"\ncondition-up = {{ rate-kbit = {KBIT} }}\n'
        '[device.b.eth0]\ngateway = "dc"\n'
    )
    with Lab.load(file) as lab:
        a, b = lab.device("a"), lab.device("b")
        assert str(a.iface("eth0").engine("up")) == f"{shaper}: asked for"
        assert is_slow(a, b)
        becomes_quick(b, a)
