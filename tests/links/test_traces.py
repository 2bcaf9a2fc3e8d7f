"""Traces in files, and what was recorded from a run."""

import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay import (
    ConfigError,
    DelayTable,
    DeliveryOpportunities,
    GilbertElliott,
    Hold,
    LinkCondition,
    Packet,
    Schedule,
    Slots,
    Trace,
    link_recorder,
    load_trace,
    save_trace,
)
from patchbay.link_recorder import LinkRecorder
from patchbay.topology import edit
from patchbay.topology.empty import new_topology
from patchbay.topology.requests import device_request, router_request
from patchbay.traces import OPPORTUNITY, mahimahi_text, read_trace, trace_text
from tests.waiting import wait_until

steady = settings(derandomize=True, deadline=None, max_examples=60)

WIFI, CUT = LinkCondition.WIFI, LinkCondition(loss_pct=100)
ODD = LinkCondition(
    20.5,
    4,
    rate_kbit=800,
    queue_ms=30,
    loss_model=GilbertElliott(2, 50),
    jitter_distribution=DelayTable([-1, 0, 1]),
    queue_discipline="codel",
    ecn=True,
    slots=Slots(interval_ms=10),
)

conditions = st.sampled_from([None, WIFI, CUT, ODD, LinkCondition(1 / 3)])


@st.composite
def traces(draw):
    waits = draw(st.lists(st.integers(1, 10**7), min_size=1, max_size=8))
    times = [sum(waits[:number]) / 1000 for number in range(len(waits))]
    met = [draw(conditions) for _ in waits]
    return Trace(
        zip(times, met, strict=True),
        times[-1] + waits[-1] / 1000,
        repeat=draw(st.sampled_from([1, 4, None])),
    )


@given(traces())
@steady
def test_what_is_written_is_read_again(trace):
    assert read_trace(trace_text(trace)) == trace


def test_a_file_is_small_and_a_line_for_each_change(tmp_path):
    trace = Trace([(0, "wifi"), (2.25, None)], 12.5, repeat=None)
    save_trace(trace, tmp_path / "trace.jsonl")
    assert (tmp_path / "trace.jsonl").read_text() == (
        '{"trace": 1, "seconds": 12.5, "repeat": null}\n'
        '{"at": 0, "condition": {"latency_ms": 5, "jitter_ms": 2, "loss_pct": 0.1}}\n'
        '{"at": 2.25, "condition": null}\n'
    )
    assert load_trace(tmp_path / "trace.jsonl") == trace


def test_a_table_says_numbers_and_leaves_the_rest():
    trace = read_trace(
        "seconds, Rate-kbit, latency_ms, queue_pkts\n0, 1000, 20,\n\n1.5,,30.5,7\n",
        LinkCondition(jitter_ms=3, rate_kbit=9),
    )
    first = LinkCondition(20, 3, rate_kbit=1000)
    assert trace == Trace([(0, first), (1.5, LinkCondition(30.5, 3, rate_kbit=9, queue_pkts=7))])


def test_a_recording_of_mahimahi_is_a_rate_for_each_window(tmp_path):
    # two packets in the first window, none in the second, three in the last, at its end
    (tmp_path / "lte.up").write_text("0\n99\n200\n300\n300\n")
    trace = load_trace(tmp_path / "lte.up", condition="wifi", window_seconds=0.1)
    rates = [(time, condition.rate_kbit) for time, condition in trace.changes]
    assert rates == [(0, 2 * OPPORTUNITY * 8 / 100), (0.1, 3 * OPPORTUNITY * 8 / 200)]
    assert {condition.latency_ms for _, condition in trace.changes} == {5}
    assert (trace.seconds, trace.repeat) == (0.3, None)
    whole = load_trace(tmp_path / "lte.up", window_seconds=60)
    assert [condition.rate_kbit for _, condition in whole.changes] == [5 * OPPORTUNITY * 8 / 300]


@given(st.lists(st.integers(0, 2000), min_size=1), st.integers(1, 500))
@steady
def test_no_delivery_of_mahimahi_is_lost_or_invented(times, window):
    times = [*sorted(times), 2001]
    trace = read_trace("".join(f"{each}\n" for each in times), window_seconds=window / 1000)
    ends = [*(time for time, _ in trace.changes), trace.seconds]
    delivered = [
        condition.rate_kbit * (end - begin) * 1000 / 8 / OPPORTUNITY
        for (begin, end), (_, condition) in zip(pairwise(ends), trace.changes, strict=True)
    ]
    assert sum(delivered) == pytest.approx(len(times))
    assert all(each == pytest.approx(round(each)) for each in delivered)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["it is empty"]),
        ('{"trace": 2, "seconds": 1, "repeat": 1}', ["line 1: format 2 is not 1"]),
        ('{"seconds": 1}', ["line 1: 'trace' is missing"]),
        (
            '{"trace": 1, "seconds": 1, "repeat": 1}\n{"at": 0}\n{"at": 1, "condition": 3}\n[]\n{',
            ["line 2: 'condition' is missing", "line 3: it is no line", "line 4:", "line 5:"],
        ),
        (
            '{"trace": 1, "seconds": 1, "repeat": 1}\n{"at": 0, "condition": {"loss_pct": 101}}',
            ["line 2, loss_pct: 101 is not a number of per cent"],
        ),
        (
            '{"trace": 1, "seconds": 1, "repeat": 1}\n{"at": 0, "condition": {"program": {}}}',
            ["line 2, program: a packet program is Python"],
        ),
        ("time,rate_kbit\n0,1", ["line 1: there is no column 'time'", "no column 'seconds'"]),
        ("seconds,rate\n0,1", ["there is no column 'rate'"]),
        ("seconds,loss_pct,loss_pct\n0,1,1", ["line 1: there are two columns 'loss_pct'"]),
        (
            "seconds,rate_kbit\n0,fast\n1,0\n2\n,5",
            [
                "line 2, rate_kbit: 'fast' is not a number",
                "line 3, rate_kbit: 0",
                "line 4: 1",
                "line 5, seconds: '' is not a number",
            ],
        ),
        ("1\nx\n3\n2\n", ["line 2: 'x' is not a number of milliseconds", "line 4: 2 is before"]),
        ("0\n0\n", ["the last time is 0 ms"]),
    ],
)
def test_mistakes_are_told_with_their_lines(text, said, tmp_path):
    path = tmp_path / "wrong"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_trace(path)
    told = str(caught.value)
    assert [each for each in said if each not in told] == []
    assert len(caught.value.problems) == len(said)
    assert all(str(path) in each.place for each in caught.value.problems)


def test_what_is_no_text_is_told(tmp_path):
    (tmp_path / "capture").write_bytes(b"\x0a\x0d\x0d\x0a\xff")
    with pytest.raises(ConfigError, match="capture: it is no text in UTF-8"):
        load_trace(tmp_path / "capture")


def test_the_mark_that_spreadsheets_begin_a_table_with_is_no_part_of_it(tmp_path):
    (tmp_path / "trace.csv").write_text("\ufeffseconds,latency_ms\r\n0,20\r\n", "utf-8")
    assert load_trace(tmp_path / "trace.csv").at(0).latency_ms == 20


def test_what_no_file_of_a_trace_can_hold_is_refused(tmp_path):
    (tmp_path / "trace.jsonl").write_text("precious")
    programmed = LinkCondition(program=Packet.drop)
    for wrong, said in (
        (Trace([(0, "wifi"), (2.5, programmed)]), "trace, at 2.5 s, program: .* is Python"),
        (Schedule(Hold("wifi")), "trace: Schedule is no Trace"),
    ):
        with pytest.raises(ConfigError, match=said):
            save_trace(wrong, tmp_path / "trace.jsonl")
    assert (tmp_path / "trace.jsonl").read_text() == "precious"


def test_windows_and_conditions_are_checked(tmp_path):
    (tmp_path / "lte").write_text("1\n")
    with pytest.raises(ConfigError, match="window_seconds"):
        load_trace(tmp_path / "lte", window_seconds=0)
    with pytest.raises(ConfigError, match="did you mean 'wifi'"):
        load_trace(tmp_path / "lte", condition="wify")
    (tmp_path / "long").write_text(f"1\n{10**9}\n")
    with pytest.raises(ConfigError, match="more than 10000 windows"):
        load_trace(tmp_path / "long", window_seconds=0.1)


# ---- opportunities ----------------------------------------------------------------------------


def test_a_recording_of_mahimahi_is_its_opportunities(tmp_path):
    (tmp_path / "lte.up").write_text("0\n99\n200\n300\n300\n")
    trace = load_trace(tmp_path / "lte.up", condition="cable")
    ((_, met),) = trace.changes

    assert met.opportunities == DeliveryOpportunities([0, 99, 200, 300, 300])
    assert met == replace(
        LinkCondition.CABLE, rate_kbit=None, opportunities=DeliveryOpportunities("0 99 200 300 300")
    )
    assert (trace.seconds, trace.repeat) == (0.3, 1)
    save_trace(trace, tmp_path / "trace.jsonl")
    assert load_trace(tmp_path / "trace.jsonl") == trace


@given(st.lists(st.integers(0, 2000), min_size=1))
@steady
def test_what_was_read_is_written_again(times):
    text = "".join(f"{each}\n" for each in [*sorted(times), 2001])
    assert mahimahi_text(read_trace(text)) == text


def test_a_recorded_trace_is_written_and_played_again(clock):
    recorder, topology = LinkRecorder(), _topology()
    conditions = [LinkCondition(3, rate_kbit=each) for each in (12_112, 1_211.2, 6_056)]
    met = [edit.set_condition(topology, "a", "eth0", each, "up") for each in conditions]
    number = recorder.start(met[0], ("a", "eth0", "up"))
    for each in met:
        recorder.follow(each)
        clock[0] += 1_000_000_000
    text = mahimahi_text(recorder.trace(number, stop=True))

    assert text.count("\n") == 1000 + 100 + 500
    again = read_trace(text, window_seconds=1)
    rates = [met.rate_kbit for _, met in again.changes]
    assert rates == pytest.approx([12_112, 1_211.2, 6_056], abs=2 * OPPORTUNITY * 8 / 1000)
    assert mahimahi_text(read_trace(text)) == text


def test_times_of_opportunities_go_on_while_other_things_change():
    each = DeliveryOpportunities([0, 3, 10])
    one, other = (LinkCondition(latency, opportunities=each) for latency in (1, 2))
    cut = LinkCondition(loss_pct=100)
    trace = Trace([(0, one), (0.01, other), (0.012, cut), (0.02, other)], 0.033)
    assert mahimahi_text(trace).split() == ["0", "3", "10", "10", "20", "23", "30", "30", "33"]
    quiet = Trace([(0, LinkCondition(rate_kbit=12_112)), (0.002, cut)], 0.5)
    assert mahimahi_text(quiet).split() == ["1", "2", "500"]


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        (Trace([(0, "wifi"), (1, LinkCondition(rate_kbit=9))], 2), "at 0 s: it has no rate_kbit"),
        (Trace([(0, LinkCondition(loss_pct=100))], 2), "nothing is ever delivered"),
        (Trace([(0, LinkCondition(rate_kbit=9))]), "it takes no time"),
    ],
)
def test_what_mahimahi_cannot_say_is_refused(trace, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        save_trace(trace, tmp_path / "lte", file_format="mahimahi")
    assert not (tmp_path / "lte").exists()
    with pytest.raises(ConfigError, match="did you mean 'mahimahi'"):
        save_trace(trace, tmp_path / "lte", file_format="mahi")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: DeliveryOpportunities([]), "0 opportunities"),
        (lambda: DeliveryOpportunities([3, 2]), "time 2: 2 is before"),
        (lambda: DeliveryOpportunities([-1, 2]), "time 1: '-1' is not a whole number"),
        (lambda: DeliveryOpportunities("0 0"), "the last time is 0 ms"),
        (lambda: LinkCondition(opportunities=[1]), "no DeliveryOpportunities"),
        (
            lambda: LinkCondition(rate_kbit=1, opportunities=DeliveryOpportunities([1])),
            "give one of both",
        ),
    ],
)
def test_what_is_no_opportunity_is_refused(wrong, told):
    with pytest.raises(ConfigError, match=told):
        wrong()


# ---- recording --------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; a list with nanoseconds in it."""
    now = [10**12]
    monkeypatch.setattr(link_recorder.time, "monotonic_ns", lambda: now[0])
    return now


def _topology():
    topology = edit.add_router(new_topology("lab"), router_request("home"))
    return edit.add_device(topology, device_request("a", "home", condition="wifi"))


def test_a_recording_has_each_change_with_its_time(clock):
    recorder, topology = LinkRecorder(), _topology()
    number = recorder.start(topology, ("a", "eth0", "up"))
    downlink = recorder.start(topology, ("home", "lan", "up"))
    for seconds, condition in ((1, CUT), (2.5, CUT), (3, None)):
        clock[0] = 10**12 + round(seconds * 1e9)
        topology = edit.set_condition(topology, "a", "eth0", condition)
        recorder.follow(topology)
    topology = edit.set_downlink(topology, "home", WIFI)
    recorder.follow(topology)
    clock[0] += 10**9

    trace = Trace([(0, WIFI), (1, CUT), (3, None)], 4)
    assert recorder.trace(number, stop=False) == trace
    assert recorder.trace(downlink, stop=True) == Trace([(0, None), (3, WIFI)], 4)
    recorder.follow(edit.remove(topology, "a"))
    clock[0] += 10**9
    assert recorder.trace(number, stop=True) == trace


def test_of_changes_that_are_too_close_the_last_is_recorded(clock):
    recorder, topology = LinkRecorder(), _topology()
    number = recorder.start(topology, ("a", "eth0", "down"))
    for condition in (CUT, None, CUT, ODD):
        clock[0] += 300_000
        topology = edit.set_condition(topology, "a", "eth0", condition)
        recorder.follow(topology)
    assert recorder.trace(number, stop=True) == Trace([(0, CUT), (0.0012, ODD)], 0.0012)


def test_what_goes_on_for_ever_is_recorded_as_long_as_fits(clock):
    recorder, topology = LinkRecorder(), _topology()
    number = recorder.start(topology, ("a", "eth0", "up"))
    both = [edit.set_condition(topology, "a", "eth0", each) for each in (CUT, WIFI)]
    for count in range(10_010):
        clock[0] += 10**9
        recorder.follow(both[count % 2])
    trace = recorder.trace(number, stop=True)
    assert len(trace.changes) == trace.seconds == 10_000


def test_a_direction_without_conditions_is_not_recorded(clock):
    with pytest.raises(ConfigError, match="'down' is no direction"):
        LinkRecorder().start(_topology(), ("home", "lan", "down"))


def test_a_run_is_recorded_kept_and_replayed(lab, tmp_path):
    laptop = lab.add_device("laptop", lab.add_router("home"))
    eth0 = laptop.iface("eth0")
    with eth0.record_conditions("down") as recording:
        eth0.set_condition(WIFI)

        def was_cut_for_a_while():
            """On a busy machine the cut may be so late that it is mended at once."""
            eth0.set_condition(Schedule(Hold(CUT, 0.02), Hold(None)), "down")
            wait_until(lambda: eth0.condition("down") is None, "the schedule does not end")
            return [condition for _, condition in recording.trace().changes][-2:] == [CUT, None]

        wait_until(was_cut_for_a_while, "a change of the schedule is not recorded")
        time.sleep(0.01)  # a trace tells milliseconds apart
        eth0.set_condition("lte", "down")
        so_far = recording.trace()
    trace = recording.trace()

    met = [condition for _, condition in trace.changes]
    assert met[-3:] == [CUT, None, LinkCondition.LTE]
    assert trace.changes == so_far.changes
    assert trace.seconds > so_far.seconds
    assert recording.stop() == trace
    save_trace(trace, tmp_path / "run.jsonl")
    eth0.set_condition(load_trace(tmp_path / "run.jsonl"), "down")
    assert eth0.schedule("down") == trace
