"""Links follow schedules and traces by themselves, whatever the client does meanwhile."""

import time

import pytest

from patchbay import (
    ConfigError,
    EngineChoice,
    Hold,
    IfaceConfig,
    Lab,
    LinkCondition,
    LinkEngine,
    Ramp,
    Schedule,
    Trace,
)
from tests.waiting import wait_until

PATIENCE = 60.0
CUT = LinkCondition(loss_pct=100)
SOON = 0.01
"""Seconds."""


@pytest.fixture
def net(lab):
    lab.add_device("server", lab.add_router("dc"))
    lab.add_device("laptop", lab.add_router("home"))
    return lab


def wait_for(net, kind, count=1):
    """Wait until there are so many events of a kind; return them."""
    deadline = time.monotonic() + PATIENCE
    while len(found := [each for each in net.events() if each.kind == kind]) < count:
        assert time.monotonic() < deadline, f"no {kind}"
        time.sleep(0.01)
    return found


def lost(net):
    """Whether packets of the laptop get lost."""
    return net.device("laptop").ping(net.device("server"), timeout=0.3).received == 0


def passes(net):
    """Whether packets of the laptop pass, which may take a while on a busy machine."""
    return net.device("laptop").ping(net.device("server"), timeout=PATIENCE).received == 1


def test_a_link_is_cut_and_mended_by_itself(net):
    eth0 = net.device("laptop").iface("eth0")
    schedule = Schedule(Hold(None, SOON), Hold(CUT))
    eth0.set_condition(schedule, "up")
    (ended,) = wait_for(net, "link_schedule_ended")

    assert ended.fields == {"node": "laptop", "iface": "eth0", "direction": "up"}
    assert eth0.condition("up") == CUT
    assert eth0.schedule("up") == schedule
    assert eth0.schedule("down") is None
    assert lost(net)
    eth0.set_condition(Trace([(0, CUT), (SOON, None)]))
    wait_for(net, "link_schedule_ended", 3)
    assert eth0.condition("up") is None
    assert passes(net)
    (_, changed) = [each for each in net.events() if each.kind == "link_condition_changed"]
    assert changed.fields["condition"]["loss_pct"] == 100
    assert changed.fields["schedule"] == {
        "kind": "trace",
        "changes": 2,
        "pass_seconds": SOON,
        "repeat": 1,
    }


def test_what_is_set_is_played_no_longer_than_until_something_else_is(net):
    eth0 = net.device("laptop").iface("eth0")
    again_and_again = Schedule(Hold(None, SOON), Hold(CUT, SOON), repeat=None)
    eth0.set_condition(again_and_again)
    eth0.set_condition(None, "up")
    assert eth0.schedule("up") is None
    assert eth0.schedule("down") == again_and_again
    eth0.set_condition("lan", "down")
    assert eth0.schedule("down") is None
    # one that began later is over: what had been set before would have changed many times
    net.device("server").iface("eth0").set_condition(Schedule(Hold(None, 5 * SOON), Hold("lan")))
    wait_for(net, "link_schedule_ended", 2)
    assert (eth0.condition("up"), eth0.condition("down")) == (None, LinkCondition.LAN)
    assert passes(net)


def test_a_link_follows_what_it_was_made_with_and_keeps_it_when_replugged(net):
    schedule = Schedule(Hold(None, SOON), Ramp(LinkCondition(loss_pct=100), 3 * SOON, SOON))
    config = IfaceConfig("home", condition=schedule)
    phone = net.add_device("phone", ifaces={"wlan0": config})
    wait_for(net, "link_schedule_ended", 2)

    wlan0 = phone.iface("wlan0")
    assert (wlan0.condition("up"), wlan0.condition("down")) == (CUT, CUT)
    wlan0.set_condition(schedule.repeated())
    wlan0.replug(net.router("dc"))
    assert wlan0.schedule("up") == schedule.repeated()
    wlan0.remove()
    net.remove(phone)
    assert passes(net)
    assert not [each for each in net.events() if each.kind == "link_schedule_failed"]


def test_a_downlink_follows_schedules_too(net):
    home = net.router("home")
    home.set_downlink_condition(Schedule(Hold(None, SOON), Hold(CUT)))
    (ended,) = wait_for(net, "link_schedule_ended")

    assert ended.fields == {"node": "home", "iface": "lan", "direction": "up"}
    assert home.downlink_condition == CUT
    assert lost(net)
    home.set_downlink_condition(None)
    assert passes(net)
    home.set_downlink_condition(Schedule(Hold(None, SOON), Hold(CUT)), net.device("laptop"))
    wait_for(net, "link_schedule_ended", 2)
    assert net.device("laptop").iface("eth0").condition("down") == CUT


def test_times_can_count_from_the_beginning_of_the_lab(net):
    long_ago = Schedule(Hold(CUT, 0.001), Hold("wifi", 10_000), Hold(CUT))
    eth0 = net.device("laptop").iface("eth0")
    eth0.set_condition(long_ago, "up", since="lab")
    wait_until(lambda: eth0.condition("up") == LinkCondition.WIFI)
    eth0.set_condition(Schedule(Hold("wifi", 10_000), Hold(CUT)), since="now")
    assert eth0.condition("up") == LinkCondition.WIFI
    with pytest.raises(ConfigError, match="did you mean 'lab'"):
        eth0.set_condition(long_ago, since="labs")


def test_a_lab_of_a_file_follows_what_the_file_says(net, tmp_path):
    eth0 = net.device("laptop").iface("eth0")
    trace = Trace([(0, None), (SOON, CUT)])
    eth0.set_condition(trace, "down")
    (tmp_path / "lab.toml").write_text(net.to_toml())

    with Lab.load(tmp_path / "lab.toml") as again:
        wait_for(again, "link_schedule_ended")
        laptop = again.device("laptop")
        assert laptop.iface("eth0").schedule("down") == trace
        assert laptop.iface("eth0").condition("down") == CUT
        assert lost(again)


def test_one_engine_makes_all_of_it_on_every_kernel(net):
    eth0 = net.device("laptop").iface("eth0")
    rate = LinkCondition(rate_kbit=100_000)
    eth0.set_condition(rate, "up")
    assert eth0.engine("up").engine is LinkEngine.KERNEL
    eth0.set_condition(Schedule(Hold(rate, 1000), Hold(LinkCondition(mtu=900))), "up")
    assert eth0.engine("up") == EngineChoice(
        LinkEngine.USER, "the kernel has no loss of long packets (for mtu)"
    )
    with pytest.raises(
        ConfigError, match="the kernel's engine does not do that in any kernel: engine='user' does"
    ):
        eth0.set_condition(Schedule(Hold(LinkCondition(mtu=900))), engine="kernel")
    assert isinstance(eth0.schedule("up"), Schedule)
