"""Delivery by single opportunities, as in recordings of Mahimahi, at the very millisecond."""

from itertools import cycle, islice, pairwise

import pytest
from traffic import HEADERS, cross

from patchbay import LinkCondition, load_trace

TIMES = (0, 3, 3, 7, 20)
"""Milliseconds of a pass; the last one is at the beginning of the next."""
GAPS = [later - time for time, later in pairwise((*TIMES, TIMES[-1]))]
LATE_MS = 0.05
FULL = 1514 - HEADERS


@pytest.fixture(scope="module")
def shaper():
    """No kernel delivers by opportunities."""
    return "user"


@pytest.fixture(autouse=True)
def recorded(laptop, tmp_path):
    """The link of the laptop follows a file."""
    file = tmp_path / "recorded.up"
    file.write_text("".join(f"{time}\n" for time in TIMES))
    laptop.iface("eth0").set_condition(load_trace(file, condition=LinkCondition(5)), "up")


def test_a_whole_row_arrives_though_opportunities_are_few(laptop, server):
    crossing = cross(laptop, server, 40, size=FULL, window=40)
    assert crossing.in_order
    passes = crossing.took / TIMES[-1]
    assert passes >= (40 - len(TIMES)) / len(TIMES) - 1, "there are more than in the file"


@pytest.mark.exact
@pytest.mark.parametrize(("size", "together"), [(FULL, 1), (1504 // 2 + 10 - HEADERS, 2)])
def test_packets_leave_at_the_milliseconds_of_the_file(laptop, server, size, together):
    crossing = cross(laptop, server, 40, size=size, window=40)
    assert crossing.in_order
    seen = [round(gap) for gap in crossing.gaps]
    assert all(abs(gap - round(gap)) < LATE_MS for gap in crossing.gaps)

    gaps = [gap for each in GAPS for gap in (*[0] * (together - 1), each)]
    turns = [list(islice(cycle(gaps), turn, turn + len(seen))) for turn in range(len(gaps))]
    assert seen in turns
