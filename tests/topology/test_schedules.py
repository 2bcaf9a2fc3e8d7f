"""Schedules and traces as values: what packets meet when, and what is no schedule."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.errors import ConfigError
from patchbay.links.choice import USER_SPACE, choose
from patchbay.links.spec import LinkSpec
from patchbay.topology import edit, toml
from patchbay.topology.empty import new_topology
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.playing import Begun, all_playing, played, playing_at, stopped
from patchbay.topology.requests import device_request, router_request
from patchbay.values import (
    FlowMatch,
    GilbertElliott,
    Hold,
    IfaceConfig,
    LinkCondition,
    LinkEngine,
    Ramp,
    Schedule,
    Trace,
)
from patchbay.values.ramp import between
from tests.topology.labs import TIMED

steady = settings(derandomize=True, deadline=None, max_examples=60)

WIFI, BAD = LinkCondition.WIFI, LinkCondition.WIFI_BAD
CUT = LinkCondition(loss_pct=100)

conditions = st.sampled_from([None, WIFI, CUT, LinkCondition.SATELLITE, LinkCondition(3, 1)])
times = st.integers(1, 5000).map(lambda milliseconds: milliseconds / 1000)
holds = st.builds(Hold, conditions, times)
ramps = st.builds(
    Ramp,
    st.sampled_from([LinkCondition(40), LinkCondition(3, 1, 7)]),
    times,
    st.sampled_from([0.05, 0.1, 0.3]),
)
repeats = st.sampled_from([1, 2, 5, None])
schedules = st.builds(
    lambda steps, repeat: Schedule(*steps, repeat=repeat),
    st.lists(holds | ramps, min_size=1, max_size=5),
    repeats,
)


@st.composite
def _traces(draw):
    met = draw(st.lists(conditions, min_size=1, max_size=8))
    waits = draw(st.lists(times, min_size=len(met), max_size=len(met)))
    at = [round(sum(waits[:number]), 3) for number in range(len(met))]
    return Trace(zip(at, met, strict=True), at[-1] + waits[-1], repeat=draw(repeats))


timelines = schedules | _traces()


def test_a_schedule_is_a_sequence_whose_last_condition_stays():
    schedule = Schedule(Hold("wifi", 5), Hold(CUT, 0.5), Hold(None))
    assert schedule.pass_seconds == 5.5
    assert [schedule.at(each) for each in (0, 4.999, 5, 5.499, 5.5, 9e9)] == [
        *(WIFI, WIFI, CUT, CUT, None, None)
    ]
    assert schedule.changes == ((0, WIFI), (5, CUT), (5.5, None))
    assert schedule.conditions == (WIFI, CUT, None)


def test_a_schedule_is_repeated_as_often_as_asked():
    twice = Schedule(Hold(WIFI, 1), Hold(CUT, 1), repeat=2)
    assert [twice.at(each) for each in (0.5, 1.5, 2.5, 3.5, 4.5)] == [WIFI, CUT, WIFI, CUT, CUT]
    assert twice.repeated().repeat is None
    assert twice.repeated().at(1_000_000.5) == WIFI


def test_a_ramp_is_made_of_steps_and_ends_where_it_leads_to():
    schedule = Schedule(Hold(LinkCondition(10, 2), 1), Ramp(LinkCondition(50, 4), 1, 0.25))
    assert [(time, met.latency_ms, met.jitter_ms) for time, met in schedule.changes] == [
        *((0, 10, 2), (1, 10, 2), (1.25, 20, 2.5), (1.5, 30, 3), (1.75, 40, 3.5))
    ]
    assert schedule.at(2) == LinkCondition(50, 4)


def test_a_step_that_does_not_divide_a_ramp_is_cut_short_by_its_end():
    ramp = Schedule(Ramp(LinkCondition(10), 1, 0.4))
    assert [(time, met.latency_ms) for time, met in ramp.changes] == [(0, 0), (0.4, 4), (0.8, 8)]
    assert ramp.at(1) == LinkCondition(10)


def test_a_ramp_begins_with_what_was_there_or_with_what_is_given():
    down, up = LinkCondition(rate_kbit=100), LinkCondition(rate_kbit=900)
    schedule = Schedule(Ramp(up, 1, 0.5, start=down), Ramp(down, 1, 0.5))
    assert [schedule.at(each).rate_kbit for each in (0, 0.5, 1, 1.5, 2)] == [
        100,
        500,
        900,
        500,
        100,
    ]
    assert schedule.at(0.25) == down


@given(st.floats(0, 1))
@steady
def test_between_two_conditions_numbers_are_between_theirs(part):
    begin = LinkCondition(10, 1, 40, 1000, queue_pkts=100, loss_burst_pkts=2, ecn=False)
    end = LinkCondition(30, 0, 0, 9000, queue_pkts=7, queue_discipline="codel", ecn=True)
    met = between(begin, end, part)
    assert 10 <= met.latency_ms <= 30
    assert 0 <= met.jitter_ms <= 1
    assert 1000 <= met.rate_kbit <= 9000
    assert met.queue_pkts in range(7, 101)
    assert met.ecn is (part > 0)
    assert between(begin, end, 0) is begin
    assert between(begin, end, 1) is end


def test_what_has_no_middle_is_that_of_the_second_condition():
    model = GilbertElliott(10, 40)
    begin, end = (
        LinkCondition(loss_pct=5, queue_ms=9),
        LinkCondition(loss_model=model, queue_pkts=9),
    )
    assert between(begin, end, 0.1) == end


@given(timelines, st.floats(0, 60))
@steady
def test_nothing_changes_before_the_next_change(timeline, seconds):
    time = round(seconds * 1e9)
    following = timeline.next_change(time)
    if following is None:
        assert timeline.at(seconds + 1e6) == timeline.at(seconds)
    else:
        assert following > time
        between_them = (time + following) // 2
        assert timeline.at_nanoseconds(between_them) == timeline.at_nanoseconds(time)
        assert timeline.at_nanoseconds(following - 1) == timeline.at_nanoseconds(time)


@given(timelines)
@steady
def test_who_follows_all_changes_sees_what_the_table_says(timeline):
    time, seen = 0, [(0, timeline.at_nanoseconds(0))]
    while len(seen) < 40 and (following := timeline.next_change(time)) is not None:
        time = following
        seen.append((time, timeline.at_nanoseconds(time)))
    length = round(timeline.pass_seconds * 1e9)
    for time, met in seen:
        if timeline.repeat is None or time < timeline.repeat * length:
            within = time % length / 1e9
            rows = [row for at, row in timeline.changes if at <= within + 1e-9]
            assert met == rows[-1]


@given(timelines)
@steady
def test_a_timeline_comes_back_from_messages_pickles_and_files(timeline):
    kind = Schedule | Trace | None
    assert from_plain(kind, to_plain(timeline)) == timeline
    assert pickle.loads(pickle.dumps(timeline)) == timeline
    assert hash(pickle.loads(pickle.dumps(timeline))) == hash(timeline)
    topology = edit.set_condition(_pair(), "a", "eth0", timeline, "down")
    assert toml.load(toml.dump(topology)).topology() == topology


def test_a_trace_is_a_table_or_a_function():
    table = Trace([(0, "wifi"), (2, CUT), (3.5, None)], 4, repeat=None)
    assert [table.at(each) for each in (1, 2, 3.4, 3.9, 4)] == [WIFI, CUT, CUT, None, WIFI]
    assert Trace([(0, "wifi"), (2, None)]).pass_seconds == 2
    function = Trace.of_function(lambda seconds: LinkCondition(10 * seconds), 1, 0.5)
    assert function.changes == ((0, LinkCondition()), (0.5, LinkCondition(5)))
    assert (function.pass_seconds, function.at(7)) == (1, LinkCondition(5))


def _mistakes(make):
    with pytest.raises(ConfigError) as caught:
        make()
    return [(each.place, each.nearest) for each in caught.value.problems]


_TIMES = ("seconds", "step_seconds")
_THREE = [("repeat", None), ("step 1", None), ("step 2, seconds", None), ("step 3, seconds", None)]
_SECOND = [("change 2", None), ("change 2", "wifi")]


@pytest.mark.parametrize(
    ("make", "places"),
    [
        (lambda: Hold("wify", 0), [("condition", "wifi"), ("seconds", None)]),
        (lambda: Hold("lan", float("nan")), [("seconds", None)]),
        (lambda: Ramp(None, -1, "x"), [("condition", None), *[(n, None) for n in _TIMES]]),
        (lambda: Ramp("wifi_bad", 5, start="wifi"), [("rate_kbit", None)]),
        (lambda: Schedule(), [("steps", None)]),
        (lambda: Schedule("wifi", Hold("wifi"), Hold("lan"), repeat=0), [*_THREE]),
        (lambda: Schedule(Hold("wifi"), repeat=None), [("step 1, seconds", None)]),
        (lambda: Schedule(Hold("wifi", 1), Ramp("wifi_bad", 1)), [("step 2, rate_kbit", None)]),
        (lambda: Schedule(Ramp("wifi", 3600, 0.01)), [("steps", None)]),
        (lambda: Trace([]), [("changes", None)]),
        (lambda: Trace([0, "lte", (2,)]), [(f"change {each}", None) for each in (1, 2, 3)]),
        (lambda: Trace([(1, "lan"), (1, "wify")]), [("change 1", None), *_SECOND]),
        (lambda: Trace([(0, "lan"), (1, "wifi")], 0.5), [("seconds", None)]),
        (lambda: Trace([(0, "lan"), (1, "wifi")], repeat=2), [("seconds", None)]),
        (lambda: Trace([(0, "lan")], "x", repeat=1.5), [("repeat", None), ("seconds", None)]),
        (lambda: Trace.of_function(lambda _: None, 1e6), [("step_seconds", None)]),
        (lambda: Trace.of_function(lambda _: None, -1, 0), [(n, None) for n in _TIMES]),
        (lambda: Schedule(Hold("lan")).at(-1), [("seconds", None)]),
        (lambda: Hold("lan", 1e300), [("seconds", None)]),
        (lambda: Schedule(Hold("lan", 1), repeat=2**31), [("repeat", None)]),
        (lambda: Trace([(0, "lan"), (1e300, None)]), [("change 2", None)]),
        (lambda: Trace([(0, "lan")], 1e300), [("seconds", None)]),
    ],
)
def test_all_mistakes_are_told_with_their_places(make, places):
    assert _mistakes(make) == places


def test_bursts_that_cannot_be_are_told_with_the_step():
    begin, end = LinkCondition(loss_pct=2, loss_burst_pkts=3), LinkCondition(loss_pct=100)
    assert _mistakes(lambda: Schedule(Hold(begin, 1), Ramp(end, 10))) == [
        ("step 2, loss_burst_pkts", None)
    ]


def _pair():
    topology = new_topology("pair")
    topology = edit.add_router(topology, router_request("home"))
    topology = edit.add_device(topology, device_request("a", "home"))
    return edit.add_device(
        topology, device_request("b", ifaces={"lan": IfaceConfig("home", condition=TIMED[0])})
    )


def test_a_link_follows_what_was_set_until_something_else_is():
    schedule = Schedule(Hold(WIFI, 1), Hold(CUT))
    set_now = edit.set_condition(_pair(), "a", "eth0", schedule, "up", begun=Begun(5))
    (eth0,) = set_now.devices["a"].interfaces
    assert (eth0.condition_up, eth0.condition_down) == (WIFI, None)
    assert eth0.playing_up.since == 5
    late = Begun(0, 2_000_000_000)
    (eth0,) = edit.set_condition(_pair(), "a", "eth0", schedule, begun=late).devices["a"].interfaces
    assert (eth0.condition_up, eth0.condition_down) == (CUT, CUT)
    place = ("a", "eth0", "up")
    assert playing_at(set_now, place) is not None
    assert playing_at(edit.set_condition(set_now, "a", "eth0", None), place) is None
    assert playing_at(stopped(set_now, place), place) is None
    assert playing_at(edit.remove(set_now, "a"), place) is None


def test_what_is_played_changes_conditions_and_nothing_else():
    topology = edit.set_downlink(_pair(), "home", TIMED[0])
    topology = edit.set_condition(topology, "home", "wan", TIMED[2], "down")
    places = [place for place, _ in all_playing(topology)]
    assert places == [
        *(("home", "wan", "down"), ("b", "lan", "up"), ("b", "lan", "down")),
        ("home", "lan", "up"),
    ]
    after = played(topology, dict.fromkeys(places, CUT))
    home, (lan,) = after.routers["home"], after.devices["b"].interfaces
    assert (home.downlink, home.uplink.condition_down) == (CUT, CUT)
    assert (lan.condition_up, lan.condition_down) == (CUT, CUT)
    assert home.uplink.condition_up is None
    flows = ((FlowMatch(port=443), WIFI),)
    with_flows = edit.set_condition(after, "a", "eth0", TIMED[0], "up", flows=flows)
    (eth0,) = played(with_flows, {("a", "eth0", "up"): CUT}).devices["a"].interfaces
    assert (eth0.condition_up, eth0.flows_up) == (CUT, flows)
    back = played(after, {place: playing.timeline.at(0) for place, playing in all_playing(after)})
    assert back == topology
    gone = topology
    for place in places:
        gone = stopped(gone, place)
    assert list(all_playing(gone)) == []


def test_one_engine_makes_all_of_a_schedule():
    features = {"tbf", USER_SPACE}
    rate, delay = LinkCondition(rate_kbit=1000), LinkCondition(latency_ms=1)
    spec = LinkSpec("", 0, rate)
    assert choose(LinkEngine.AUTO, spec, features).engine is LinkEngine.KERNEL
    both = Schedule(Hold(rate, 1), Hold(delay))
    assert choose(LinkEngine.AUTO, spec, features, both).engine is LinkEngine.USER
    with pytest.raises(ConfigError, match=r"no netem \(for latency_ms\)"):
        choose(LinkEngine.KERNEL, spec, features, both)


def test_what_no_engine_can_make_at_some_time_is_refused_once():
    never = LinkCondition(reorder_pct=1)
    schedule = Schedule(Hold("wifi", 1), Hold(never, 1), Hold(LinkCondition(reorder_pct=2)))
    assert _mistakes(lambda: edit.set_condition(_pair(), "a", "eth0", schedule)) == [
        ("node 'a', eth0, condition", None)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{ steps = [{ hold = 'wify' }] }", "step 1, hold: there is no 'wify'"),
        ("{ steps = [{ seconds = 1 }] }", "step 1: a step is a table with 'hold' or 'ramp'"),
        ("{ steps = [{ ramp = 'lan' }] }", "step 1: a ramp needs seconds"),
        ("{ steps = 3 }", "3 is not an array"),
        ("{ changes = [[0]] }", "change 1: [0] is not an array of a time in seconds"),
        ("{ changes = [['x', 'lan']] }", "change 1: 'x' is not a number of seconds"),
        ("{ changes = [[0, 'lan']], repeat = 'often' }", "whole number or 'forever'"),
        ("{ changes = [[0, 'lan']], repeet = 1 }", "did you mean 'repeat'"),
    ],
)
def test_mistakes_in_files_are_told(text, said):
    source = f"[[router]]\nname = 'r'\n[device.a.eth0]\ngateway = 'r'\ncondition = {text}\n"
    with pytest.raises(ConfigError) as caught:
        toml.load(source)
    assert said in str(caught.value)


def test_a_file_says_a_schedule_in_words():
    source = """
        [[router]]
        name = "r"
        downlink = { steps = [{ hold = "lte", seconds = 2 }, { hold = "none" }] }
        [device.a.eth0]
        gateway = "r"
        condition-up = { changes = [[0, "wifi"], [1.5, "none"]], seconds = 2, repeat = "forever" }
        condition-down = { steps = [{ hold = { latency-ms = 5 }, seconds = 1 },
            { ramp = "satellite", seconds = 4, step-seconds = 0.5 }], repeat = 3 }
    """
    topology = toml.load(source).topology()
    (eth0,) = topology.devices["a"].interfaces
    assert topology.routers["r"].downlink == LinkCondition.LTE
    assert eth0.playing_up.timeline == Trace([(0, "wifi"), (1.5, None)], 2, repeat=None)
    assert eth0.playing_down.timeline == Schedule(
        Hold(LinkCondition(5), 1), Ramp("satellite", 4, 0.5), repeat=3
    )
    assert toml.load(toml.dump(topology)).topology() == topology
