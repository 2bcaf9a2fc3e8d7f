"""A condition told to the kernel and read back is the condition; what differs is what it has."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.links.choice import DISCIPLINES, NETEM_SEED
from patchbay.links.queues import PASSING, chain, chance
from patchbay.links.reading import condition_of
from patchbay.links.spec import LinkSpec
from patchbay.values import FourState, GilbertElliott, LinkCondition, Slots
from patchbay.wiring import queue_reading, queues
from patchbay.wiring.chains import NETEM, QUEUES, SHAPER, SPLITTER, Discipline
from patchbay.wiring.netlink import attributes

ALL = frozenset({*DISCIPLINES, NETEM_SEED})

percent = st.floats(0, 100)
times = st.floats(0, 10_000)
models = st.builds(GilbertElliott, percent, percent, percent, percent) | st.builds(
    FourState, st.floats(0, 50), st.floats(0, 50), st.floats(0, 50), percent, st.floats(0, 50)
)
losses = st.fixed_dictionaries({"loss_pct": percent}) | st.fixed_dictionaries(
    {"loss_model": models}
)
bursts = st.fixed_dictionaries(
    {"loss_pct": st.floats(0.1, 50), "loss_burst_pkts": st.floats(2, 20)}
)
slots = st.builds(
    Slots,
    interval_ms=st.floats(0.001, 50),
    interval_max_ms=st.none() | st.floats(50, 90),
    max_packets=st.none() | st.integers(1, 99),
    max_bytes=st.none() | st.integers(1, 99_999),
)
sizes = st.sampled_from(
    [{}, {"queue_pkts": 50}, {"queue_bytes": 70_001}, {"queue_ms": 33.3}]
) | st.sampled_from(
    [{"queue_discipline": "codel", "ecn": True}, {"queue_discipline": "fq_codel", "queue_pkts": 77}]
)


fields_of_conditions = st.fixed_dictionaries(
    {
        "latency_ms": times,
        "jitter_ms": times,
        "jitter_reorders": st.booleans(),
        "jitter_distribution": st.sampled_from(["uniform", "normal"]),
        "reorder_pct": percent,
        "duplicate_pct": percent,
        "corrupt_pct": percent,
        "rate_kbit": st.none() | st.floats(0.1, 10_000_000),
        "overhead_bytes": st.integers(0, 100),
        "slots": st.none() | slots,
    }
)


def told(number, parent, kind, options):
    """A discipline as the kernel tells it that was made with these options."""
    data = attributes(options)[queues.TCA_OPTIONS]
    return Discipline(
        kind=kind,
        number=number,
        parent=parent,
        options=data,
        sent=0,
        dropped=0,
        waiting=0,
        waiting_bytes=0,
    )


def kernel_of(wanted):
    """What the kernel has of a chain."""
    found = [
        told(SPLITTER, queues.ROOT, "tbf", queues.tbf(wanted.splitter)),
        told(NETEM, queues.child(SPLITTER), "netem", queues.netem(wanted.netem)),
        told(SHAPER, queues.child(NETEM), "tbf", queues.tbf(wanted.shaper)),
    ]
    if wanted.queue is not None and wanted.queue.kind != "bfifo":
        kind = wanted.queue.kind
        found.append(told(QUEUES[kind], queues.child(SHAPER), kind, queues.queue(wanted.queue)))
    return found


def chain_of(condition):
    return chain(LinkSpec("laptop/eth0/up", 1, condition), 1500, ALL)


@settings(max_examples=50, deadline=None)
@given(fields_of_conditions, losses | bursts, sizes)
def test_what_was_told_is_what_is_read(fields, loss, size):
    condition = LinkCondition(**fields, **loss, **size)
    expected = chain_of(condition)
    assert condition_of(queue_reading.read(kernel_of(expected)), expected, condition) == condition


@settings(max_examples=50, deadline=None)
@given(fields_of_conditions, losses | bursts, sizes)
def test_what_somebody_else_told_is_read_to_the_last_digit_of_the_kernel(fields, loss, size):
    condition = LinkCondition(**fields, **loss, **size)
    expected = chain_of(condition)
    found = condition_of(queue_reading.read(kernel_of(expected)), PASSING, LinkCondition.LAN)

    again = chain_of(found)
    seen, should = again.netem, expected.netem
    assert (seen.latency, seen.jitter) == (should.latency, should.jitter)
    for name in ("loss", "duplicate", "reorder", "corrupt"):
        assert chance(getattr(seen, name)) == chance(getattr(should, name)), name
    assert type(seen.loss_model) is type(should.loss_model)
    assert (seen.slots is None) == (should.slots is None)
    assert again.shaper.rate == expected.shaper.rate
    assert again.queue == expected.queue


@pytest.mark.parametrize(
    ("asked", "had", "seen"),
    [
        ({"latency_ms": 20, "loss_pct": 1}, {"latency_ms": 30, "loss_pct": 1}, {}),
        ({"loss_pct": 5, "loss_burst_pkts": 4, "latency_ms": 1}, {"loss_pct": 2.5}, {}),
        ({}, {"jitter_ms": 3, "jitter_reorders": True, "latency_ms": 9}, {}),
        (
            {"rate_kbit": 1000},
            {"rate_kbit": 2000, "queue_bytes": 15140},
            {},
        ),
        (
            {"rate_kbit": 1000, "queue_pkts": 9},
            {"rate_kbit": 1000, "queue_discipline": "codel", "queue_pkts": 5, "ecn": True},
            {},
        ),
        (
            {"jitter_ms": 5, "jitter_distribution": "normal"},
            {"jitter_ms": 5, "loss_pct": 50},
            {"jitter_distribution": "normal"},
        ),
    ],
)
def test_only_what_differs_is_told_otherwise(asked, had, seen):
    before, now = LinkCondition(**asked), LinkCondition(**had)
    read = queue_reading.read(kernel_of(chain_of(now)))
    assert condition_of(read, chain_of(before), before) == LinkCondition(**{**had, **seen})


def test_the_size_of_a_queue_is_read_without_the_frame_that_is_being_sent():
    condition = LinkCondition(rate_kbit=8_000, queue_bytes=100_000)
    kernel = kernel_of(chain(LinkSpec("laptop/eth0/up", 1, condition), 9_000, ALL))
    found = queue_reading.read(kernel, full_frame=9_014)

    assert condition_of(found, PASSING, LinkCondition.LAN) == condition


def test_a_netem_of_tc_with_a_rate_and_no_order():
    """As `tc qdisc add dev eth0 root netem delay 100ms rate 1mbit` has it."""
    options = bytearray(attributes(queues.netem(replace(PASSING.netem, latency=100_000_000)))[2])
    at = options.index(struct.pack("=HHIiIi", 20, queues.TCA_NETEM_RATE, 0xFFFFFFFF, 0, 0, 0))
    options[at : at + 20] = struct.pack("=HHIiIi", 20, queues.TCA_NETEM_RATE, 125_000, 0, 0, 0)
    known = queues.netem_attributes(bytes(options))
    wide = struct.pack("=HHQ", 12, queues.TCA_NETEM_RATE64, *struct.unpack("=Q", known[8]))
    bare = bytes(options).replace(wide, b"")
    netem, rate = queue_reading.read_netem(bare)

    assert (netem.latency, rate.rate) == (100_000_000, 125_000)


def test_a_plain_interface_has_nothing():
    assert condition_of(queue_reading.read(()), PASSING, LinkCondition.LAN).perfect
