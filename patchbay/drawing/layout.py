"""Layered layout: where boxes and edges of a picture go. Pure maths, knows nothing of networks.

The method is Sugiyama's, in three steps: edges that span several layers get a *bend* (a box
without extent) in each layer between; the order within layers is improved by barycentres; and
positions are the least-squares best that keep the order and the gaps. Boxes of a layer share one
band and edges cross bands only at bends, so no two boxes overlap and no edge meets a box that is
not its own: by construction, not by luck.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 12
"""Passes down and up; more change a picture of a hundred boxes by less than a pixel."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the picture, in pixels from its left and top."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Size:
    """What a box, or the whole picture, takes."""

    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Box:
    """A box in its place: the corner on its left and top, and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Its right edge, in pixels."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Its lower edge, in pixels."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Layout:
    """Boxes by name, and the way of each edge, in the order in which the edges were given.

    A way runs from box to box: in turns straight (out of a box, through a layer, into a box) and
    curved (from one layer to the next), beginning and ending straight.
    """

    boxes: Mapping[str, Box]
    ways: tuple[tuple[Point, ...], ...]
    size: Size


def arrange(
    layers: Sequence[Sequence[str]],
    sizes: Mapping[str, Size],
    edges: Sequence[tuple[str, str]],
    *,
    gap: float = 24,
    layer_gap: float = 72,
    landing: float = 0,
    rightwards: bool = False,
) -> Layout:
    """Place the boxes of `layers`, the first layer on top (or, `rightwards`, on the left).

    `edges` lead from a box to one in a later layer; there may be several between two boxes.
    `gap` is the least distance of two boxes of a layer, `layer_gap` that of two layers. The last
    `landing` before a layer edges go straight, side by side, so that a label finds room there.
    """
    if rightwards:
        turned = {name: Size(size.height, size.width) for name, size in sizes.items()}
        return _turned(
            arrange(layers, turned, edges, gap=gap, layer_gap=layer_gap, landing=landing)
        )
    graph = _Graph.of(layers, edges)
    ordered = _order(graph)
    widths: dict[_Node, float] = dict.fromkeys(graph.layer_of, 0.0)
    widths.update((name, size.width) for name, size in sizes.items())
    centres = _positions(graph, ordered, widths, gap)
    return _drawn(graph, ordered, centres, sizes, layer_gap, landing)


def _turned(layout: Layout) -> Layout:
    return Layout(
        {name: Box(box.y, box.x, box.height, box.width) for name, box in layout.boxes.items()},
        tuple(tuple(Point(point.y, point.x) for point in way) for way in layout.ways),
        Size(layout.size.height, layout.size.width),
    )


# A node of the graph is a box, by its name, or a bend, by the edge's and the layer's number.
_Node = str | tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Graph:
    layers: tuple[tuple[_Node, ...], ...]
    chains: tuple[tuple[_Node, ...], ...]
    """For each edge the nodes it visits, one a layer."""
    layer_of: Mapping[_Node, int]
    above: Mapping[_Node, tuple[_Node, ...]]
    below: Mapping[_Node, tuple[_Node, ...]]

    @classmethod
    def of(cls, layers: Sequence[Sequence[str]], edges: Sequence[tuple[str, str]]) -> _Graph:
        rows: list[list[_Node]] = [list(layer) for layer in layers]
        layer_of: dict[_Node, int] = {
            node: number for number, row in enumerate(rows) for node in row
        }
        chains: list[tuple[_Node, ...]] = []
        above: dict[_Node, list[_Node]] = {}
        below: dict[_Node, list[_Node]] = {}
        for number, (source, target) in enumerate(edges):
            between = range(layer_of[source] + 1, layer_of[target])
            bends: list[_Node] = [(number, layer) for layer in between]
            for layer, bend in zip(between, bends, strict=True):
                rows[layer].append(bend)
                layer_of[bend] = layer
            chain = (source, *bends, target)
            chains.append(chain)
            for upper, lower in pairwise(chain):
                below.setdefault(upper, []).append(lower)
                above.setdefault(lower, []).append(upper)
        return cls(
            tuple(tuple(row) for row in rows),
            tuple(chains),
            layer_of,
            {node: tuple(above.get(node, ())) for node in layer_of},
            {node: tuple(below.get(node, ())) for node in layer_of},
        )


def _order(graph: _Graph) -> tuple[tuple[_Node, ...], ...]:
    """The best order found within each layer, judged by the number of crossings."""
    best = current = graph.layers
    fewest = _crossings(graph, best)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        downwards = sweep % 2 == 0
        neighbours = graph.above if downwards else graph.below
        rows = list(current)
        for number in range(len(rows)) if downwards else reversed(range(len(rows))):
            beside = number - 1 if downwards else number + 1
            if 0 <= beside < len(rows):
                rows[number] = _by_barycentre(rows[number], rows[beside], neighbours)
        current = tuple(rows)
        crossings = _crossings(graph, current)
        if crossings < fewest:
            best, fewest = current, crossings
    return best


def _by_barycentre(
    row: Sequence[_Node], beside: Sequence[_Node], neighbours: Mapping[_Node, tuple[_Node, ...]]
) -> tuple[_Node, ...]:
    """Sort by the mean place of the neighbours; who has none stays where it is."""
    place = {node: number for number, node in enumerate(beside)}
    scale = len(beside) / max(len(row), 1)
    keys = {
        node: _mean([place[other] for other in neighbours[node]], number * scale)
        for number, node in enumerate(row)
    }
    return tuple(sorted(row, key=keys.__getitem__))


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default


def _crossings(graph: _Graph, rows: Sequence[Sequence[_Node]]) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        place = {node: number for number, node in enumerate(lower)}
        passed: list[int] = []
        for node in upper:
            ends = sorted(place[other] for other in graph.below[node])
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def _positions(
    graph: _Graph,
    rows: Sequence[Sequence[_Node]],
    widths: Mapping[_Node, float],
    gap: float,
) -> dict[_Node, float]:
    """The centre of each node: as near to its neighbours' as order and gaps allow."""
    centres: dict[_Node, float] = {}
    for row in rows:
        x = 0.0
        for node in row:
            centres[node] = x + widths[node] / 2
            x += widths[node] + gap
    for sweep in range(_SWEEPS + 1):
        downwards = sweep % 2 == 1
        neighbours = graph.above if downwards else graph.below
        for row in rows if downwards else reversed(rows):
            wanted = [
                _mean([centres[other] for other in neighbours[node]], centres[node]) for node in row
            ]
            # A bend wants its edge straight more than a box wants to be in the middle, and
            # who has no neighbour on this side hardly minds.
            weights = [
                0.05 if not neighbours[node] else 1.0 if isinstance(node, str) else 4.0
                for node in row
            ]
            apart = [(widths[left] + widths[right]) / 2 + gap for left, right in pairwise(row)]
            centres.update(zip(row, spread(wanted, apart, weights), strict=True))
    return centres


def spread(
    wanted: Sequence[float], apart: Sequence[float], weights: Sequence[float]
) -> list[float]:
    """The positions nearest to `wanted` (weighted least squares), each `apart` from the next.

    This is isotonic regression, done by pooling adjacent violators: whoever stands too near is
    joined to one group, and a group stands where its members want to be on average.
    """
    if not wanted:
        return []
    offsets = [0.0]
    for distance in apart:
        offsets.append(offsets[-1] + distance)
    groups: list[tuple[float, float, int]] = []  # position, weight, members
    for place, offset, weight in zip(wanted, offsets, weights, strict=True):
        group = (place - offset, weight, 1)
        while groups and groups[-1][0] > group[0]:
            position, mass, members = groups.pop()
            total = mass + group[1]
            mean = (position * mass + group[0] * group[1]) / total
            group = (mean, total, members + group[2])
        groups.append(group)
    starts = [position for position, _, members in groups for _ in range(members)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


def _drawn(
    graph: _Graph,
    rows: Sequence[Sequence[_Node]],
    centres: Mapping[_Node, float],
    sizes: Mapping[str, Size],
    layer_gap: float,
    landing: float,
) -> Layout:
    left = min((centres[name] - size.width / 2 for name, size in sizes.items()), default=0.0)
    left = min([left, *centres.values()])
    heights = [max((sizes[n].height for n in row if isinstance(n, str)), default=0) for row in rows]
    tops = [sum(heights[:number]) + layer_gap * number for number in range(len(rows))]
    boxes = {
        name: Box(
            centres[name] - size.width / 2 - left,
            tops[graph.layer_of[name]],
            size.width,
            size.height,
        )
        for name, size in sizes.items()
    }
    ports = _ports(graph, centres, sizes)
    ways = []
    for number, chain in enumerate(graph.chains):
        source = chain[0]
        assert isinstance(source, str)  # chains begin at boxes
        points: list[Point] = []
        for node in chain:
            layer = graph.layer_of[node]
            x = (ports[number] if node == chain[-1] else centres[node]) - left
            bottom = tops[layer] + heights[layer]
            if node == source:
                points += [Point(x, boxes[source].bottom), Point(x, bottom)]
            else:
                end = tops[layer] if node == chain[-1] else bottom
                points += [Point(x, tops[layer] - landing), Point(x, end)]
        ways.append(tuple(points))
    width = max([box.right for box in boxes.values()] + [p.x for way in ways for p in way] + [0.0])
    height = tops[-1] + heights[-1] if rows else 0.0
    return Layout(boxes, tuple(ways), Size(width, height))


def _ports(
    graph: _Graph, centres: Mapping[_Node, float], sizes: Mapping[str, Size]
) -> dict[int, float]:
    """Where each edge arrives: spread over the target's side, in the order they come in."""
    arriving: dict[_Node, list[int]] = {}
    for number, chain in enumerate(graph.chains):
        arriving.setdefault(chain[-1], []).append(number)
    ports: dict[int, float] = {}
    for node, numbers in arriving.items():
        assert isinstance(node, str)  # chains end at boxes
        numbers.sort(key=lambda number: (centres[graph.chains[number][-2]], number))
        step = sizes[node].width / (len(numbers) + 1)
        for place, number in enumerate(numbers, start=1):
            ports[number] = centres[node] - sizes[node].width / 2 + step * place
    return ports
