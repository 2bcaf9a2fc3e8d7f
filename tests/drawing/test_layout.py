"""Layout: what no picture may do, whatever the graph."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.drawing.layout import Point, Size, arrange, spread

GAP = 10.0
LAYER_GAP = 40.0
LANDING = 15.0
TOLERANCE = 1e-6

# Machines may be slow and runs shall be alike.
steady = settings(derandomize=True, deadline=None, max_examples=60)


@st.composite
def graphs(draw):
    """Layers of boxes of any size, and edges that lead to a later layer."""
    counts = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    layers = [[f"{layer}.{i}" for i in range(count)] for layer, count in enumerate(counts)]
    length = st.floats(1, 300)
    sizes = {name: Size(draw(length), draw(length)) for layer in layers for name in layer}
    edges = []
    for layer in range(1, len(layers)):
        for name in layers[layer]:
            above = [upper for row in layers[:layer] for upper in row]
            uppers = draw(st.lists(st.sampled_from(above), max_size=3))
            edges += [(upper, name) for upper in uppers]
    return layers, sizes, edges


def placed(graph, **options):
    layers, sizes, edges = graph
    return arrange(layers, sizes, edges, gap=GAP, layer_gap=LAYER_GAP, landing=LANDING, **options)


@steady
@given(graphs(), st.booleans())
def test_no_two_boxes_come_nearer_than_the_gap(graph, rightwards):
    layout = placed(graph, rightwards=rightwards)

    for a, b in combinations(layout.boxes.values(), 2):
        apart = max(b.x - a.right, a.x - b.right, b.y - a.bottom, a.y - b.bottom)
        assert apart >= GAP - TOLERANCE


@steady
@given(graphs(), st.booleans())
def test_boxes_keep_their_size_and_lie_within_the_picture(graph, rightwards):
    layout = placed(graph, rightwards=rightwards)

    for name, size in graph[1].items():
        box = layout.boxes[name]
        assert (box.width, box.height) == pytest.approx((size.width, size.height))
        assert box.x >= -TOLERANCE
        assert box.y >= -TOLERANCE
        assert box.right <= layout.size.width + TOLERANCE
        assert box.bottom <= layout.size.height + TOLERANCE


@steady
@given(graphs())
def test_each_layer_begins_below_all_of_the_one_before(graph):
    layout = placed(graph)

    for upper, lower in pairwise(graph[0]):
        bottom = max(layout.boxes[name].bottom for name in upper)
        assert {round(layout.boxes[name].y, 6) for name in lower} == {round(bottom + LAYER_GAP, 6)}


@steady
@given(graphs())
def test_edges_lead_from_their_box_to_their_box(graph):
    layout = placed(graph)

    for (upper, lower), way in zip(graph[2], layout.ways, strict=True):
        source, target = layout.boxes[upper], layout.boxes[lower]
        assert way[0] == Point(pytest.approx(source.x + source.width / 2), source.bottom)
        assert way[-1].y == target.y
        assert target.x < way[-1].x < target.right


@steady
@given(graphs())
def test_no_edge_meets_a_box_that_is_not_its_own(graph):
    layout = placed(graph)

    for (upper, lower), way in zip(graph[2], layout.ways, strict=True):
        for number, (start, end) in enumerate(pairwise(way)):
            for name, box in layout.boxes.items():
                between = start.y < box.bottom - TOLERANCE and end.y > box.y + TOLERANCE
                if number % 2 == 1:  # a curve: anywhere from one height to the other
                    assert not between
                elif between and name not in (upper, lower):
                    assert start.x == end.x
                    assert not box.x < start.x < box.right


def test_a_tree_is_drawn_without_crossings():
    layers = [["root"], ["a", "b"], ["b1", "a1", "b2", "a2"]]
    edges = [("root", "a"), ("root", "b")]
    edges += [("b", "b1"), ("a", "a1"), ("b", "b2"), ("a", "a2")]
    sizes = {name: Size(10, 10) for layer in layers for name in layer}

    found = arrange(layers, sizes, edges).boxes

    a, b = ({found[name].x for name in names} for names in (("a1", "a2"), ("b1", "b2")))
    assert max(a) < min(b) or max(b) < min(a)
    assert found["root"].x == pytest.approx((found["a"].x + found["b"].x) / 2, abs=1)


def test_an_edge_over_a_layer_goes_round_the_boxes_in_it():
    layout = arrange(
        [["a"], ["b"], ["c"]],
        {name: Size(50, 20) for name in "abc"},
        [("a", "b"), ("b", "c"), ("a", "c")],
    )

    box = layout.boxes["b"]
    through = [point.x for point in layout.ways[2] if box.y <= point.y <= box.bottom]
    assert len(through) == 2
    assert all(x < box.x or x > box.right for x in through)


def test_nothing_to_draw_takes_no_room():
    assert arrange([], {}, []).size == Size(0, 0)


@steady
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0, 100), st.floats(0.1, 10)), max_size=8))
def test_spread_keeps_distances_and_cannot_be_bettered(items):
    wanted, apart, weights = ([item[i] for item in items] for i in range(3))
    apart = apart[1:]

    found = spread(wanted, apart, weights)

    for (left, right), distance in zip(pairwise(found), apart, strict=True):
        assert right - left >= distance - TOLERANCE

    def cost(places):
        return sum(w * (p - x) ** 2 for p, x, w in zip(places, wanted, weights, strict=True))

    # The problem is convex: if no push of a run of neighbours helps, nothing does.
    for first in range(len(found)):
        for last in range(first, len(found)):
            for push in (-0.01, 0.01):
                moved = [p + push * (first <= i <= last) for i, p in enumerate(found)]
                if all(b - a >= d for (a, b), d in zip(pairwise(moved), apart, strict=True)):
                    assert cost(moved) >= cost(found) - 1e-4
