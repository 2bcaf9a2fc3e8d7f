"""Drop lists: exactly the packets that they name are lost, and no others."""

import pytest
from frames import MS, flush, ip_packet, link, number, numbered, signals
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.links.packets.headers import matches, parse
from patchbay.values import DropList, FlowMatch, LinkCondition


def arrivals(drops, packets, *, gap=MS, **condition):
    """Which of some packets arrive, by their place in the row."""
    pipeline = link(LinkCondition(drops=drops, **condition))
    pipeline.begin(0)
    places = {}
    for place, frame in enumerate(packets):
        places[id(frame)] = place
        pipeline.offer(place * gap, frame)
    return [places[id(frame)] for _, frame in flush(pipeline)], pipeline


def test_packets_by_their_numbers():
    arrived, pipeline = arrivals(DropList([3, 7]), [ip_packet() for _ in range(10)])

    assert arrived == [0, 1, 3, 4, 5, 7, 8, 9]
    assert pipeline.counters.lost == {"list": 2}


def test_packets_of_each_flow_and_a_way_back_is_a_flow_of_its_own():
    flows = [
        {"ports": (1, 9)},
        {"ports": (2, 9)},
        {"ports": (9, 1), "source": "10.0.0.2", "destination": "10.0.0.1"},
        {"ports": (1, 9), "protocol": 6},
        {"ports": (1, 9), "source": "fd00::1", "destination": "fd00::2"},
    ]
    packets = [ip_packet(**flow) for _ in range(3) for flow in flows]
    arrived, _ = arrivals(DropList(flow_packets=[1, 3]), packets)

    assert arrived == [5, 6, 7, 8, 9]


def test_everything_between_two_times():
    drops = DropList(between_ms=[(2, 4), (7.5, 8.5)])
    arrived, _ = arrivals(drops, [numbered(each) for each in range(10)])

    assert arrived == [0, 1, 4, 5, 6, 7, 9]


def test_times_begin_with_the_list_and_not_with_the_first_packet():
    pipeline = link(LinkCondition(drops=DropList(between_ms=[(0, 10)])))
    pipeline.begin(5 * MS)
    for at in (14, 15, 16):
        pipeline.offer(at * MS, numbered(at))

    assert [number(frame) for _, frame in flush(pipeline)] == [15, 16]


def test_what_hosts_say_about_the_link_is_counted_only_if_it_is_asked_for():
    packets = [*signals(), ip_packet(), *signals(), ip_packet()]
    count = len(signals())
    discovery = FlowMatch(protocol="icmpv6")
    found = [parse(frame) for frame in signals()]
    first = next(place for place, each in enumerate(found) if each and each.protocol == 58)

    assert arrivals(DropList([2]), packets)[0] == [*range(len(packets) - 1)]
    assert arrivals(DropList([1], match=discovery), signals())[0] == [
        each for each in range(count) if each != first
    ]


def test_what_is_no_ip_packet_is_not_counted():
    packets = [numbered(0), ip_packet(), numbered(2), ip_packet()]

    assert arrivals(DropList([1], flow_packets=[1]), packets)[0] == [0, 2, 3]


def test_what_does_not_match_is_neither_lost_nor_counted():
    drops = DropList([2], between_ms=[(5, 100)], match=FlowMatch(protocol="udp", port=53))
    ports = [53, 80, 80, 53, 53, 80, 53]
    packets = [ip_packet(ports=(1000, port)) for port in ports] + [numbered(7)]

    assert arrivals(drops, packets)[0] == [0, 1, 2, 4, 5, 7]


def test_what_the_list_takes_costs_no_chance():
    """The packets that are lost by chance are the same ones, one by one, without the others."""
    chance, _ = arrivals(None, [ip_packet() for _ in range(300)], loss_pct=30)
    listed = DropList(range(1, 101))
    both, pipeline = arrivals(listed, [ip_packet() for _ in range(400)], loss_pct=30)

    assert [place - 100 for place in both] == chance
    assert pipeline.counters.lost == {"list": 100, "loss": 300 - len(chance)}


def test_a_list_goes_on_through_changes_of_other_things_and_anew_when_it_changes():
    drops = DropList([2, 4])
    pipeline = link(LinkCondition(drops=drops))
    changes = {
        1: link(LinkCondition(latency_ms=1, drops=drops)).spec,
        3: link(LinkCondition(drops=drops), [(FlowMatch(port=5), LinkCondition(drops=drops))]).spec,
        4: link(LinkCondition()).spec,
        5: link(LinkCondition(drops=drops)).spec,
    }
    frames = [ip_packet() for _ in range(8)]
    for place, frame in enumerate(frames):
        if place in changes:
            pipeline.change(changes[place])
        pipeline.offer(place * 10 * MS, frame)
    arrived = [frames.index(frame) for _, frame in flush(pipeline)]

    assert arrived == [0, 2, 4, 5, 7]


def test_each_flow_of_a_link_counts_for_itself():
    flows = [(FlowMatch(port=53), LinkCondition(drops=DropList([2])))]
    pipeline = link(LinkCondition(drops=DropList([1])), flows)
    frames = [ip_packet(ports=(9, port)) for port in (53, 80, 53, 80, 53)]
    for at, frame in enumerate(frames):
        pipeline.offer(at, frame)

    assert [frames.index(frame) for _, frame in flush(pipeline)] == [0, 3, 4]


numbers = st.lists(st.integers(1, 12), max_size=4)
times = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 10)).map(lambda pair: (pair[0], sum(pair))),
    max_size=2,
)
lists = st.builds(
    lambda packets, flow_packets, between, match: (packets, flow_packets, between, match),
    numbers,
    numbers,
    times,
    st.none() | st.builds(FlowMatch, port=st.integers(1, 3)),
).filter(lambda given: any(given[:3]))


@settings(deadline=None)
@given(lists, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=40))
def test_what_is_lost_is_what_the_words_say(given, happenings):
    packets, flow_packets, between, match = given
    drops = DropList(packets, flow_packets=flow_packets, between_ms=between, match=match)
    pipeline = link(LinkCondition(drops=drops))
    pipeline.begin(0)
    now, seen, wanted, offered = 0, [], [], []
    for pause, port in happenings:
        now += pause
        frame = ip_packet(ports=(port, 9)) if port else numbered(1)
        matching = match is None or matches(match, parse(frame))
        lost = matching and any(first <= now < last for first, last in between)
        if matching and port:
            seen.append(port)
            lost = lost or len(seen) in packets or seen.count(port) in flow_packets
        if not lost:
            wanted.append(len(offered))
        offered.append(frame)
        pipeline.offer(now * MS, frame)
    arrived = [frame for _, frame in flush(pipeline)]

    assert [id(frame) for frame in arrived] == [id(offered[place]) for place in wanted]


@pytest.mark.parametrize("count", [1, 5])
def test_lost_frames_go_back_to_their_pool(count):
    released = []

    class Pool:
        release = released.append

    pipeline = link(LinkCondition(drops=DropList(range(1, count + 1))))
    pipeline._default._pool = Pool()
    frames = [ip_packet() for _ in range(count)]
    pipeline.offer_all(0, frames)

    assert released == frames
    assert pipeline.empty
