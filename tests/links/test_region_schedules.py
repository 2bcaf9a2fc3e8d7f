"""Links between regions take what any link takes: schedules, traces, flows, in either direction."""

import socket

import pytest

from patchbay import (
    ConfigError,
    FlowMatch,
    Hold,
    Lab,
    LinkCondition,
    LinkEngine,
    RegionLink,
    Schedule,
    Trace,
)
from tests.waiting import wait_until

CUT = LinkCondition(loss_pct=100)
SOON = 0.01
"""Seconds."""
SOON_CUT = Schedule(Hold(None, SOON), Hold(CUT))
SOON_MENDED = Trace([(0, CUT), (SOON, None)])
LONG = 10_000
TRUNK = "trunk1"


@pytest.fixture
def world(lab):
    with lab.batch():
        for name in ("us", "eu"):
            lab.add_region(name)
            lab.add_device(name.upper(), lab.add_router(f"dc-{name}", region=name))
    return lab


def ended(lab, count=1):
    """Wait until so many schedules have made their last change; where that was."""

    def found():
        return [each.fields for each in lab.events() if each.kind == "link_schedule_ended"]

    wait_until(lambda: len(found()) >= count, "schedules do not end", patience=60)
    return [(each["node"], each["iface"], each["direction"]) for each in found()]


def passes(lab, timeout=60.0):
    return lab.device("US").ping(lab.device("EU"), timeout=timeout).received == 1


def lost(lab):
    return not passes(lab, 0.3)


def udp_socket(lab, name):
    device = lab.device(name)
    made = device.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((str(device.ip), 7000))
    made.settimeout(60)
    return made


def region_links(lab, what):
    return [each.fields for each in lab.events() if each.kind == f"region_link_{what}"]


def test_a_link_follows_what_it_was_made_with_each_direction_its_own(world):
    world.link_regions("us", "eu", SOON_CUT, back="wifi")
    assert ended(world) == [("us", TRUNK, "up")]

    us, eu = (world.region(name).iface(TRUNK) for name in ("us", "eu"))
    assert (us.condition("up"), eu.condition("down")) == (CUT, CUT)
    assert (us.condition("down"), eu.condition("up")) == (LinkCondition.WIFI, LinkCondition.WIFI)
    assert us.schedule("up") == eu.schedule("down") == SOON_CUT
    assert us.schedule("down") is eu.schedule("up") is None
    assert lost(world)
    (added,) = region_links(world, "added")
    assert added["link"]["schedule"]["kind"] == "schedule"
    assert added["back"]["condition"]["latency_ms"] == LinkCondition.WIFI.latency_ms
    assert added["back"]["schedule"] is None


def test_a_link_is_given_a_schedule_and_another_at_run_time(world):
    world.link_regions("us", "eu")
    world.update_region_link("eu", "us", None, back=SOON_CUT)
    assert ended(world) == [("us", TRUNK, "up")]
    assert lost(world)
    world.update_region_link("us", "eu", SOON_MENDED)
    assert set(ended(world, 3)[1:]) == {("us", TRUNK, "up"), ("eu", TRUNK, "up")}
    assert passes(world)
    world.update_region_link("us", "eu", Schedule(Hold(None, LONG), Hold(CUT)), since="lab")
    assert world.region("us").iface(TRUNK).condition("up") is None
    world.update_region_link("us", "eu", None)
    assert world.region("us").iface(TRUNK).schedule("up") is None
    with pytest.raises(ConfigError, match="did you mean 'satellite'"):
        world.update_region_link("us", "eu", "sattelite")


def test_the_ends_of_a_link_are_interfaces_that_take_conditions(world):
    world.link_regions("us", "eu", RegionLink.good(1))
    us, eu = (world.region(name).iface(TRUNK) for name in ("us", "eu"))
    with us.record_conditions("down") as recording:
        us.set_condition(SOON_CUT, "down")
        assert ended(world) == [("eu", TRUNK, "up")]
    assert eu.condition("up") == CUT
    assert us.condition("up") == LinkCondition(1)
    assert recording.trace().changes[-1][1] == CUT
    eu.set_condition(None)
    assert us.condition("up") is us.condition("down") is None
    assert passes(world)
    with pytest.raises(ConfigError, match="no end of a link between regions"):
        world.region("us").iface("lan").set_condition(CUT)


def test_time_goes_on_while_a_link_is_broken_or_gone_around(world):
    world.add_region("asia")
    world.link_regions("us", "eu", SOON_MENDED)
    world.break_region_link("us", "eu")
    ended(world, 2)
    assert lost(world)
    world.restore_region_link("us", "eu")
    assert passes(world)

    world.link_regions("us", "asia")
    world.link_regions("asia", "eu")
    world.update_region_link("us", "eu", SOON_CUT)
    world.break_region_link("us", "eu", reroute=True)
    ended(world, 4)
    assert passes(world)
    assert world.region("us").iface(TRUNK).condition("up") == CUT
    world.restore_region_link("us", "eu")
    assert lost(world)


def test_a_schedule_is_over_with_its_link(world):
    world.link_regions("us", "eu", Schedule(Hold(None, SOON), Hold(CUT, SOON), repeat=None))
    world.unlink_regions("us", "eu")
    world.link_regions("eu", "us", SOON_MENDED, back="lan")
    assert ended(world) == [("eu", TRUNK, "up")]
    assert passes(world)
    assert not [each for each in world.events() if each.kind == "link_schedule_failed"]


def test_packets_of_flows_meet_something_else_in_either_direction(world):
    udp = FlowMatch(protocol="udp")
    world.link_regions("us", "eu", SOON_MENDED, flows={udp: CUT}, back_flows={})
    us = world.region("us").iface(TRUNK)
    assert us.engine("up").engine is LinkEngine.USER
    assert us.flows("up") == {udp: CUT}
    assert us.flows("down") == {}
    ended(world, 2)
    assert passes(world)
    lost_before = us.stats().up.drops.get("loss", 0)
    with udp_socket(world, "US") as here, udp_socket(world, "EU") as there:
        here.sendto(b"lost", there.getsockname())
        there.sendto(b"arrives", here.getsockname())
        assert here.recv(100) == b"arrives"
        wait_until(lambda: us.stats().up.drops.get("loss", 0) > lost_before, "nothing is lost")
        world.update_region_link("us", "eu", None)
        here.sendto(b"arrives now", there.getsockname())
        assert there.recv(100) == b"arrives now"


def test_one_engine_makes_all_of_it_or_it_is_refused(world):
    with pytest.raises(
        ConfigError, match=r"link between regions 'us' and 'eu', back: .*engine='user'"
    ):
        world.link_regions(
            "us", "eu", back=Trace([(0, LinkCondition(mtu=900))]), engine=LinkEngine.KERNEL
        )
    with pytest.raises(ConfigError, match=r"flows, 1: .*did you mean 'wifi'"):
        world.link_regions("us", "eu", flows={FlowMatch(port=80): "wify"})
    assert world.region("us").linked == []
    world.link_regions("us", "eu", LinkCondition(rate_kbit=9_000), engine="user")
    assert str(world.region("us").iface(TRUNK).engine("up")) == "user: asked for"


def test_a_lab_of_a_file_has_its_links(world, tmp_path):
    world.link_regions("us", "eu", SOON_CUT, back="wifi", flows={FlowMatch(port=53): "lan"})
    (tmp_path / "lab.toml").write_text(world.to_toml())

    with Lab.load(tmp_path / "lab.toml") as again:
        assert ended(again) == [("us", TRUNK, "up")]
        us = again.region("us").iface(TRUNK)
        assert us.schedule("up") == SOON_CUT
        assert us.condition("down") == LinkCondition.WIFI
        assert us.flows("up") == us.flows("down") == {FlowMatch(port=53): LinkCondition.LAN}
        assert lost(again)


def test_an_uplink_of_a_router_follows_schedules_too(world):
    world.link_regions("us", "eu")
    wan = world.router("dc-us").iface("wan")
    wan.set_condition(SOON_CUT, "up")
    assert ended(world) == [("dc-us", "wan", "up")]
    assert lost(world)
    wan.set_condition(SOON_MENDED, "both")
    ended(world, 3)
    assert passes(world)
