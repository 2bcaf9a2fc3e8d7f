"""The lab as a self-contained SVG: the IX, routers by depth, devices below them.

There is no script, no font and no picture to load. Text and lines take the colour of the text
around the drawing, and boxes are tinted by a little of their own colour, so it fits a dark page as
well as a light one. What is too long for a box is in its tooltip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

from patchbay.drawing import labels
from patchbay.drawing.layout import Box, Layout, Point, Size, arrange
from patchbay.drawing.text import columns
from patchbay.topology.model import IX, Device, Interface, Region, Router, Topology

_MARGIN = 16
_WIDEST = 1000
"""A drawing that would be wider than this is turned, to grow downwards instead."""
_MANY = 80
"""A lab with more nodes than this shows only `_FEW` of the devices of a LAN, and a count."""
_FEW = 6

_TITLE = 7.85
"""Advance of a character of a name, in pixels: that of monospaced fonts is 0.6 em."""
_SMALL = 6.65
"""Advance of a character of all other text."""
_LINE = 16
_PADDING = 12
_PILL = 18

_STYLE = """
svg:root { color: #24292f; background: transparent }
@media (prefers-color-scheme: dark) { svg:root { color: #e6edf3 } }
.patchbay text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono',
  monospace; font-size: 11px; fill: currentColor }
.patchbay .name { font-size: 13px; font-weight: 600 }
.patchbay .small { opacity: 0.75 }
.patchbay .box { stroke-width: 1.25 }
.patchbay .ix .box { fill: #8b5cf6; fill-opacity: 0.16; stroke: #8b5cf6 }
.patchbay .region .box { fill: #eab308; fill-opacity: 0.14; stroke: #eab308 }
.patchbay .router .box { fill: #3b82f6; fill-opacity: 0.13; stroke: #3b82f6 }
.patchbay .device .box { fill: #10b981; fill-opacity: 0.12; stroke: #10b981 }
.patchbay .more .box { fill: none; stroke: currentColor; stroke-opacity: 0.5;
  stroke-dasharray: 3 3 }
.patchbay .nat { fill: #f59e0b; fill-opacity: 0.28 }
.patchbay .firewall { fill: #ef4444; fill-opacity: 0.25 }
.patchbay .edge path { fill: none; stroke: currentColor; stroke-opacity: 0.5; stroke-width: 1.5 }
.patchbay .spare path { stroke-dasharray: 5 4 }
.patchbay .down path { stroke: #ef4444; stroke-opacity: 0.8; stroke-dasharray: 1 5;
  stroke-linecap: round }
.patchbay .condition { fill: #d97706 }
""".strip()


@dataclass(frozen=True, slots=True)
class _Node:
    kind: str
    name: str
    title: str
    """The tooltip."""
    rows: tuple[str, ...] = ()
    pills: tuple[tuple[str, str], ...] = ()
    """Class and text of each badge."""


@dataclass(frozen=True, slots=True)
class _Edge:
    upper: str
    lower: str
    kind: str
    title: str
    name: str = ""
    condition: str = ""


def drawing(topology: Topology) -> str:
    """Draw the lab as one `<svg>` element, fit to stand alone in a file or within HTML.

    In a lab of more than 80 nodes a LAN with many devices shows some of them, and the number of
    the others.
    """
    hidden = _hidden(topology)
    nodes = {
        IX: _ix(topology),
        **{region.name: _region(topology, region) for region in topology.regions.values()},
        **{router.name: _router(router) for router in topology.routers.values()},
        **{d.name: _device(d) for d in topology.devices.values() if d.name not in hidden},
    }
    edges = [_Edge(IX, name, "", f"{name} at {IX}") for name in topology.regions]
    edges += [_uplink(router) for router in topology.routers.values()]
    edges += [
        _cable(device, interface)
        for device in topology.devices.values()
        for interface in device.interfaces
        if device.name not in hidden
    ]
    layers = _layers(topology, hidden)
    for lan in dict.fromkeys(hidden.values()):
        # A NUL cannot be in the name of a node, nor in XML: this key is never written.
        key = f"more\0{lan}"
        names = [name for name, where in hidden.items() if where == lan]
        nodes[key] = _Node("more", f"{len(names)} more", "\n".join(names))
        edges.append(_Edge(lan, key, "", f"{len(names)} more devices at {lan}"))
        layers[key] = layers[lan] + 1
    rows: list[list[str]] = [[] for _ in range(max(layers.values()) + 1)]
    for name in _in_tree_order(edges, nodes):
        rows[layers[name]].append(name)
    return _rendered(topology, nodes, edges, *_arranged(nodes, edges, rows))


def _hidden(topology: Topology) -> dict[str, str]:
    """The devices that are only counted, each with its LAN."""
    if len(topology.regions) + len(topology.routers) + len(topology.devices) <= _MANY:
        return {}
    alone: dict[str, list[str]] = {}
    for device in topology.devices.values():
        if len(device.interfaces) == 1:
            alone.setdefault(device.interfaces[0].lan, []).append(device.name)
    return {
        name: lan for lan, names in alone.items() if len(names) > _FEW + 1 for name in names[_FEW:]
    }


def _layers(topology: Topology, hidden: Iterable[str]) -> dict[str, int]:
    layers = {IX: 0, **dict.fromkeys(topology.regions, 1)}
    waiting = list(topology.routers.values())
    while waiting:
        ready = [router for router in waiting if router.upstream in layers]
        layers.update((router.name, layers[router.upstream] + 1) for router in ready)
        waiting = [router for router in waiting if router.name not in layers]
    left_out = set(hidden)
    for device in topology.devices.values():
        if device.name not in left_out:
            above = [layers[interface.lan] for interface in device.interfaces]
            layers[device.name] = max(above, default=0) + 1
    return layers


def _in_tree_order(edges: Sequence[_Edge], nodes: Iterable[str]) -> Iterable[str]:
    """Depth first: neighbours in the tree begin as neighbours in the picture."""
    below: dict[str, list[str]] = {}
    for edge in edges:
        below.setdefault(edge.upper, []).append(edge.lower)
    found: dict[str, None] = {}
    waiting = [IX]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += reversed(below.get(name, []))
    return [*found, *(name for name in nodes if name not in found)]


def _arranged(
    nodes: Mapping[str, _Node], edges: Sequence[_Edge], rows: Sequence[Sequence[str]]
) -> tuple[Layout, bool]:
    """Lay out from top to bottom, or from left to right where that would be too wide.

    Boxes have room on the side where edges arrive for the labels of these.
    """
    ends = [(edge.upper, edge.lower) for edge in edges]
    sizes = {key: _size(node) for key, node in nodes.items()}
    arriving: dict[str, list[_Edge]] = {}
    for edge in edges:
        arriving.setdefault(edge.lower, []).append(edge)
    wide = {
        key: Size(max([size.width, *_room(arriving.get(key, []))]), size.height)
        for key, size in sizes.items()
    }
    layout = arrange(rows, wide, ends, gap=22, layer_gap=72, landing=30)
    if layout.size.width <= _WIDEST:
        return layout, False
    even = {
        key: Size(width, max(sizes[key].height, 17.0 * (len(arriving.get(key, [])) + 1)))
        for row in rows
        for width in [max((sizes[key].width for key in row), default=0)]
        for key in row
    }
    landing = max(_advance(f"{edge.name} {edge.condition}") for edge in edges) + 14
    layout = arrange(
        rows, even, ends, gap=14, layer_gap=landing + 60, landing=landing, rightwards=True
    )
    return layout, True


def _room(edges: Sequence[_Edge]) -> Sequence[float]:
    """The width that the labels of these edges take, side by side, if they have any."""
    widths = [max(_advance(edge.name), _advance(edge.condition)) + 12 for edge in edges]
    return [max(widths) * (len(edges) + 1)] if any(e.name or e.condition for e in edges) else []


def _advance(text: str) -> float:
    return columns(text) * _SMALL


# What there is to see.


def _ix(topology: Topology) -> _Node:
    networks = [network for network in labels.ix_networks(topology) if network]
    return _Node("ix", IX, "\n".join(["internet exchange", *networks]), tuple(networks[:1]))


def _region(topology: Topology, region: Region) -> _Node:
    links = [f"to {each}" for each in labels.links_of(topology, region.name)]
    more = [] if len(links) <= _FEW else [f"and {len(links) - _FEW} more"]
    lans = [f"lan {lan}" for lan in (region.downstream, region.downstream6)]
    return _Node(
        "region",
        region.name,
        "\n".join([f"region {region.name}", *lans, *links]),
        (*lans[:1], *(_short(each, 40) for each in links[:_FEW]), *more),
    )


def _router(router: Router) -> _Node:
    uplink = [f"wan {ip}" for family in labels.addresses(router.uplink) for ip in family]
    lans = [f"lan {lan}" for lan in (router.downstream, router.downstream6) if lan is not None]
    notes = labels.lan_notes(router)
    badges = labels.badges(router)
    return _Node(
        "router",
        router.name,
        "\n".join([f"router {router.name}", *badges, *uplink, *lans, *notes]),
        (*uplink[:1], *lans[:1], *(f"hosts meet {note}" for note in notes)),
        tuple(("firewall" if b.startswith("firewall") else "nat", b) for b in badges),
    )


def _device(device: Device) -> _Node:
    rows = []
    details = [f"device {device.name}"]
    several = len(device.interfaces) > 1
    for interface in device.interfaces:
        v4, v6 = labels.addresses(interface)
        shown = (v4 or v6 or ["no address"])[0]
        rows.append(f"{interface.name} {shown}" if several else shown)
        details.append(" ".join([interface.name, *v4, *v6, interface.mac]))
    return _Node("device", device.name, "\n".join(details), tuple(rows))


def _uplink(router: Router) -> _Edge:
    condition = labels.conditions(router.uplink)
    down = "" if router.uplink.up else "down"
    title = f"{router.name} {router.uplink.name} at {router.upstream}"
    return _Edge(router.upstream, router.name, down, title, down, condition)


def _cable(device: Device, interface: Interface) -> _Edge:
    notes = labels.interface_notes(interface)
    spare = "" if interface.name == device.default_via else "spare"
    title = " ".join([f"{device.name} {interface.name} at {interface.lan}", *notes])
    return _Edge(
        interface.lan,
        device.name,
        spare if interface.up else "down",
        title,
        interface.name,
        labels.conditions(interface) if interface.up else "down",
    )


# How it is drawn.


def _short(text: str, most: int = 28) -> str:
    shown = labels.printable(text)
    while columns(shown) > most:
        shown = shown[:-2] + "…"
    return shown


def _pill_width(text: str) -> float:
    return _advance(text) + 14


def _size(node: _Node) -> Size:
    widths = [columns(_short(node.name)) * _TITLE]
    widths += [_advance(row) for row in node.rows]
    if node.pills:
        widths.append(sum(_pill_width(text) + 6 for _, text in node.pills) - 6)
    height = 26 + _LINE * len(node.rows) + (_PILL + 8 if node.pills else 0)
    return Size(max(*widths, 60) + 2 * _PADDING, height)


def _rendered(
    topology: Topology,
    nodes: Mapping[str, _Node],
    edges: Sequence[_Edge],
    layout: Layout,
    rightwards: bool,
) -> str:
    width = layout.size.width + 2 * _MARGIN
    height = layout.size.height + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="patchbay" role="img" '
        f'width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-_MARGIN} {-_MARGIN} {width:.0f} {height:.0f}">',
        f"<title>{_escaped(topology.name)}</title>",
        f"<style>{_STYLE}</style>",
    ]
    for edge, way in zip(edges, layout.ways, strict=True):
        parts += _edge(edge, way, rightwards)
    for key, node in nodes.items():
        parts += _box(node, layout.boxes[key])
    return "\n".join([*parts, "</svg>"])


def _escaped(text: str) -> str:
    shown = "\n".join(map(labels.printable, text.split("\n")))
    # XML 1.0 has no way at all to write these two.
    return escape(shown.translate({0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}))


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
        f"{_escaped(text)}</text>"
    )


def _box(node: _Node, box: Box) -> Iterable[str]:
    yield f'<g class="{node.kind}"><title>{_escaped(node.title)}</title>'
    radius = box.height / 2 if node.kind == "ix" else 7
    yield (
        f'<rect class="box" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="{radius:.1f}"/>'
    )
    middle = box.x + box.width / 2
    y = box.y + 17.5 + (box.height - _size(node).height) / 2
    yield _text(middle, y, _short(node.name), "name", "middle")
    for row in node.rows:
        y += _LINE
        yield _text(middle, y, row, "small", "middle")
    x = middle - (sum(_pill_width(text) + 6 for _, text in node.pills) - 6) / 2
    for kind, text in node.pills:
        yield (
            f'<rect class="{kind}" x="{x:.1f}" y="{y + 8:.1f}" width="{_pill_width(text):.1f}" '
            f'height="{_PILL}" rx="{_PILL / 2}"/>'
        )
        yield _text(x + _pill_width(text) / 2, y + 8 + 12.5, text, "pill", "middle")
        x += _pill_width(text) + 6
    yield "</g>"


def _edge(edge: _Edge, way: Sequence[Point], rightwards: bool) -> Iterable[str]:
    yield f'<g class="edge {edge.kind}"><title>{_escaped(edge.title)}</title>'
    yield f'<path d="{_path(way, rightwards)}"/>'
    end = way[-1]
    shown = [(edge.name, "small"), (edge.condition, "condition")]
    lines = [(text, kind) for text, kind in shown if text]
    if rightwards:
        x = end.x - 7
        for text, kind in reversed(lines):
            yield _text(x, end.y - 4, text, kind, "end")
            x -= _advance(text) + _SMALL
    else:
        for place, (text, kind) in enumerate(reversed(lines)):
            yield _text(end.x + 5, end.y - 6 - 13 * place, text, kind)
    yield "</g>"


def _path(way: Sequence[Point], rightwards: bool) -> str:
    """Straight through layers, and from one to the next a curve that leaves and arrives upright."""
    parts = [f"M{way[0].x:.1f} {way[0].y:.1f}"]
    for number, (before, after) in enumerate(pairwise(way)):
        if number % 2 == 0:
            parts.append(f"L{after.x:.1f} {after.y:.1f}")
            continue
        if rightwards:
            middle = (before.x + after.x) / 2
            bend = f"{middle:.1f} {before.y:.1f} {middle:.1f} {after.y:.1f}"
        else:
            middle = (before.y + after.y) / 2
            bend = f"{before.x:.1f} {middle:.1f} {after.x:.1f} {middle:.1f}"
        parts.append(f"C{bend} {after.x:.1f} {after.y:.1f}")
    return "".join(parts)
