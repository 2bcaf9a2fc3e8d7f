"""Conditions for flows: who meets which, and what a change of them does to packets on their way."""

import pytest
from frames import HEAP, MS, flush, ip_packet, link
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.links.packets.headers import matches, parse
from patchbay.values import FlowMatch, LinkCondition

SLOW, FAST = LinkCondition(latency_ms=100), LinkCondition(latency_ms=1)


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        (FlowMatch(), True),
        (FlowMatch(protocol="udp"), True),
        (FlowMatch(protocol="tcp"), False),
        (FlowMatch(port=2000), True),
        (FlowMatch(port=1000), True),
        (FlowMatch(port=(1500, 2500)), True),
        (FlowMatch(port=(2001, 2500)), False),
        (FlowMatch(address="10.0.0.0/30"), True),
        (FlowMatch(address="10.0.0.2"), True),
        (FlowMatch(address="10.0.1.0/24"), False),
        (FlowMatch(address="fd00::/8"), False),
        (FlowMatch(dscp=46), True),
        (FlowMatch(dscp=0), False),
        (FlowMatch(protocol="udp", port=2000, address="10.0.0.1", dscp=46), True),
        (FlowMatch(protocol="udp", port=2000, address="10.0.0.3", dscp=46), False),
    ],
)
def test_what_belongs_to_a_flow(match, wanted):
    assert matches(match, parse(ip_packet(traffic_class=46 << 2 | 1))) is wanted


def test_flows_of_ipv6():
    packet = parse(ip_packet("fd00::1", "fd00::2", traffic_class=46 << 2))

    assert matches(FlowMatch(protocol="udp", port=2000, address="fd00::/64", dscp=46), packet)
    assert not matches(FlowMatch(address="10.0.0.0/8"), packet)


def test_what_is_no_ip_belongs_to_no_flow():
    assert parse(HEAP.frame(bytes(12) + b"\x08\x06" + bytes(28))) is None
    assert not matches(FlowMatch(), None)


def test_a_fragment_has_no_ports():
    frame = ip_packet()
    frame.data[20:22] = (7).to_bytes(2)
    headers = parse(frame)

    assert headers.ports is None
    assert not matches(FlowMatch(port=2000), headers)
    assert matches(FlowMatch(protocol="udp"), headers)


def test_the_first_flow_that_matches_holds_and_flows_do_not_wait_for_each_other():
    flows = [
        (FlowMatch(port=5), LinkCondition(loss_pct=100)),
        (FlowMatch(protocol="udp"), FAST),
        (FlowMatch(port=6), SLOW),
    ]
    pipeline = link(LinkCondition(latency_ms=10), flows)
    pipeline.offer(0, ip_packet(protocol=6, ports=(7, 7), payload=b"other"))
    pipeline.offer(0, ip_packet(protocol=6, ports=(6, 6), payload=b"slow"))
    pipeline.offer(0, ip_packet(ports=(6, 6), payload=b"fast"))
    pipeline.offer(0, ip_packet(ports=(5, 6), payload=b"lost"))
    left = [
        (at // MS, bytes(frame.data).rpartition(b"\0")[2][-5:]) for at, frame in flush(pipeline)
    ]

    assert [at for at, _ in left] == [1, 10, 100]
    assert [word[-4:] for _, word in left] == [b"fast", b"ther", b"slow"]
    assert pipeline.counters.lost == {"loss": 1}


conditions = st.builds(
    LinkCondition,
    latency_ms=st.sampled_from([0, 1, 30]),
    rate_kbit=st.none() | st.sampled_from([100, 10_000]),
    queue_pkts=st.just(10_000),
)
sets_of_flows = st.lists(
    st.tuples(st.builds(FlowMatch, port=st.integers(1, 3)), conditions), max_size=3
)
happenings = st.lists(
    st.tuples(
        st.integers(0, 10 * MS),
        st.integers(1, 3) | st.tuples(conditions, sets_of_flows),
    ),
    max_size=50,
)


@settings(max_examples=80, deadline=None)
@given(happenings, conditions, sets_of_flows)
def test_no_change_of_flows_loses_anything_or_reorders_a_flow(happenings, condition, flows):
    pipeline, now, sent, left = link(condition, flows), 0, 0, []
    for pause, happening in happenings:
        now += pause
        left += pipeline.due(now)
        if isinstance(happening, int):
            pipeline.offer(now, ip_packet(ports=(happening, 9), payload=sent.to_bytes(4)))
            sent += 1
        else:
            pipeline.change(link(*happening).spec)
    left += [frame for _, frame in flush(pipeline)]
    numbers = [(frame.data[35], int.from_bytes(frame.data[-4:])) for frame in left]

    assert sorted(number for _, number in numbers) == list(range(sent))
    for port in (1, 2, 3):
        flow = [number for each, number in numbers if each == port]
        assert flow == sorted(flow)
    assert pipeline.empty
