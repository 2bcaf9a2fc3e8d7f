"""What plays schedules, with a clock of its own: every change comes at its time, and no other."""

import pytest

from patchbay import player
from patchbay.errors import PatchbayError
from patchbay.events import EventLog
from patchbay.player import Player
from patchbay.topology import edit
from patchbay.topology.empty import new_topology
from patchbay.topology.playing import Begun
from patchbay.topology.requests import device_request, router_request
from patchbay.values import Hold, LinkCondition, Ramp, Schedule, Trace

SECOND = 1_000_000_000
SLOW, CUT = LinkCondition(latency_ms=100), LinkCondition(loss_pct=100)


class World:
    """A clock, a timer, and a network that is changed in no time."""

    descriptor = 7

    def __init__(self, monkeypatch):
        self.now = 5 * SECOND
        self.due = None
        self.refuses = ()
        self.seen = []
        monkeypatch.setattr(player, "Timer", lambda: self)
        monkeypatch.setattr(player.time, "monotonic_ns", lambda: self.now)
        self.log = EventLog(None)
        self.topology = new_topology("lab")
        self.topology = edit.add_router(self.topology, router_request("home"))
        self.topology = edit.add_device(self.topology, device_request("a", "home"))
        self.topology = edit.add_device(self.topology, device_request("b", "home"))
        self.player = Player(self.watch, self.log, lambda: self.topology, self.have)

    def watch(self, descriptor, handler):
        assert descriptor == self.descriptor
        self.fire = handler

    def start_at(self, due):
        self.due = due

    def stop(self):
        self.due = None

    def read(self):
        pass

    def have(self, after):
        met = [self.met(after, name) for name in "ab"]
        if any(each in met for each in self.refuses):
            raise PatchbayError("the kernel said no")
        self.topology = after
        self.seen.append(((self.now - 5 * SECOND) / SECOND, *met))
        self.player.follow(after)

    def met(self, topology, name):
        return topology.devices[name].interfaces[0].condition_up

    def set(self, name, condition, since="now"):
        begun = self.player.begun(since)
        self.have(edit.set_condition(self.topology, name, "eth0", condition, "up", begun=begun))

    def wait(self, seconds):
        """Let time pass, as a process would that does nothing but wait."""
        end = self.now + round(seconds * SECOND)
        while self.due is not None and self.due <= end:
            self.now = max(self.now, self.due)
            self.fire()
        self.now = end

    def events(self):
        return [record["kind"] for record in self.log.since(0)]


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_changes_come_at_their_times(world):
    world.set("a", Schedule(Hold(SLOW, 1.5), Ramp(LinkCondition(200), 1, 0.5), Hold(None)))
    world.wait(10)
    assert world.seen == [
        *((0, SLOW, None), (2.0, LinkCondition(150), None), (2.5, None, None)),
    ]
    assert world.events() == ["link_schedule_ended"]
    assert world.due is None


def test_links_that_change_together_do_so_in_one_change(world):
    world.set("a", Schedule(Hold(SLOW, 2), Hold(CUT)), since="lab")
    world.set("b", Schedule(Hold(CUT, 2), Hold(SLOW)), since="lab")
    world.wait(3)
    assert world.seen[2:] == [(2.0, CUT, SLOW)]
    assert world.events() == ["link_schedule_ended"] * 2


def test_who_wakes_up_late_skips_what_is_past(world):
    world.set("a", Trace([(0, None), (1, SLOW), (2, CUT), (3, None)], 4, repeat=None))
    world.now += round(6.25 * SECOND)
    world.fire()
    assert world.seen[1:] == [(6.25, CUT, None)]
    assert world.due == world.now + round(0.75 * SECOND)


def test_repetition_drifts_by_nothing(world):
    world.set("a", Schedule(Hold(SLOW, 0.1), Hold(CUT, 0.2), repeat=None))
    world.wait(300)
    times = [time for time, *_ in world.seen]
    assert len(times) == 2_001
    assert times[-1] == 300
    assert times[1:5] == [0.1, 0.3, 0.4, 0.6]


def test_a_schedule_that_is_set_again_begins_again(world):
    schedule = Schedule(Hold(SLOW, 2), Hold(CUT))
    world.set("a", schedule)
    world.wait(1.5)
    world.set("a", schedule)
    world.wait(1.5)
    assert world.met(world.topology, "a") == SLOW
    world.wait(1)
    assert world.met(world.topology, "a") == CUT


def test_what_began_before_goes_on_where_it_is_by_now(world):
    schedule = Schedule(Hold(SLOW, 2), Hold(CUT, 2), Hold(None))
    world.wait(3)
    world.set("a", schedule, since="lab")
    assert world.met(world.topology, "a") == CUT
    world.wait(1)
    assert world.seen == [(3.0, CUT, None), (4.0, None, None)]
    assert world.player.begun("lab") == Begun(0, 4 * SECOND)


def test_a_link_that_is_made_with_a_schedule_begins_with_it(world):
    schedule = Schedule(Hold(SLOW, 2), Hold(CUT))
    world.wait(100)
    world.topology = edit.remove(world.topology, "a")
    world.have(edit.add_device(world.topology, device_request("a", "home", condition=schedule)))
    world.wait(1.9)
    assert world.met(world.topology, "a") == SLOW
    world.wait(0.1)
    assert world.met(world.topology, "a") == CUT


def test_other_changes_of_the_network_disturb_nothing(world):
    world.set("a", Schedule(Hold(SLOW, 2), Hold(CUT)))
    world.wait(1)
    world.set("b", LinkCondition.WIFI)
    world.wait(1)
    assert world.met(world.topology, "a") == CUT
    world.set("a", None)
    assert world.due is None


def test_what_cannot_be_made_is_told_and_ends_nothing_else(world):
    world.set("a", Schedule(Hold(SLOW, 2), Hold(CUT, 2), Hold(SLOW)), since="lab")
    world.set("b", Schedule(Hold(None, 2), Hold(SLOW, 2), Hold(None)), since="lab")
    world.refuses = (CUT,)
    world.wait(10)
    assert world.met(world.topology, "a") == SLOW
    assert world.met(world.topology, "b") is None
    assert world.events() == ["link_schedule_failed", "link_schedule_ended"]
    failed = world.log.since(0)[0]
    assert (failed["node"], failed["iface"], failed["direction"]) == ("a", "eth0", "up")
    assert failed["error"] == "the kernel said no"


def test_what_cannot_even_be_stopped_stays_until_something_else_changes(world):
    world.set("a", Schedule(Hold(SLOW, 2), Hold(CUT)))
    world.refuses = (CUT, SLOW)
    world.wait(10)
    assert world.met(world.topology, "a") == SLOW
    assert world.events() == ["link_schedule_failed"]
    assert world.due is None
    world.refuses = ()
    world.set("b", CUT)
    world.wait(0)
    assert world.met(world.topology, "a") == CUT
    assert world.events() == ["link_schedule_failed", "link_schedule_ended"]
