"""The lab as a tree for terminals: one line for each interface, columns aligned.

This is what it looks like:

    ix                  198.18.0.0/24  2001:db8::/64
    └─ home       wan   198.18.0.10    2001:db8::10     [NAT home]
       │          lan   10.0.1.0/24    fd10:0:0:1::/64
       └─ laptop  eth0  10.0.1.2       fd10:0:0:1::2    wifi
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from patchbay.drawing import labels
from patchbay.topology.model import IX, Device, Interface, Router, Topology


@dataclass(frozen=True, slots=True)
class _Line:
    tree: str
    interface: str = ""
    address: str = ""
    address6: str = ""
    notes: str = ""


def tree(topology: Topology) -> str:
    """Draw the lab as a tree, the IX at the top, without a final newline.

    A device with several interfaces appears below each router it is plugged into, with a dotted
    branch where its default route does not go.
    """
    networks = labels.ix_networks(topology)
    lines = [_Line(IX, "", networks[0], networks[1])]
    lines += _below(topology, IX, "")
    loose = [device.name for device in topology.devices.values() if not device.interfaces]
    if loose:
        lines += [_Line(""), _Line("not plugged in")]
        lines += [
            _Line(f"{branch} {labels.printable(name)}")
            for name, branch in zip(loose, _branches(len(loose)), strict=True)
        ]
    return "\n".join(_aligned(lines))


def _branches(count: int) -> list[str]:
    return ["├─"] * (count - 1) + ["└─"] * min(count, 1)


def _below(topology: Topology, lan: str, trunk: str) -> Iterator[_Line]:
    """Who is plugged into this LAN: devices first, then routers with all that is below them.

    Below the IX regions follow.
    """
    plugged = [
        (device, interface)
        for device in topology.devices.values()
        for interface in device.interfaces
        if interface.lan == lan
    ]
    routers = [router for router in topology.routers.values() if router.upstream == lan]
    regions = list(topology.regions.values()) if lan == IX else []
    branches = _branches(len(plugged) + len(routers) + len(regions))
    for (device, interface), branch in zip(plugged, branches, strict=False):
        below = trunk + ("│  " if branch == "├─" else "   ")
        yield from _device(device, interface, f"{trunk}{_branch(device, interface, branch)}", below)
    for router, branch in zip(routers, branches[len(plugged) :], strict=False):
        below = trunk + ("│  " if branch == "├─" else "   ")
        children = list(_below(topology, router.name, below))
        yield from _router(router, f"{trunk}{branch}", f"{below}│" if children else below)
        yield from children
    for region, branch in zip(regions, branches[len(plugged) + len(routers) :], strict=True):
        title = f"{trunk}{branch} {labels.printable(region.name)}"
        links = _joined(f"to {each}" for each in labels.links_of(topology, region.name))
        yield _Line(title, "lan", str(region.downstream), str(region.downstream6), links)
        yield from _below(topology, region.name, trunk + ("│  " if branch == "├─" else "   "))


def _branch(device: Device, interface: Interface, branch: str) -> str:
    return branch if interface.name == device.default_via else branch.replace("─", "╌")


def _router(router: Router, branch: str, below: str) -> Iterator[_Line]:
    title = f"{branch} {labels.printable(router.name)}"
    badges = " ".join(f"[{badge}]" for badge in labels.badges(router))
    yield from _interface(
        router.uplink, title, below, [badges, *labels.interface_notes(router.uplink)]
    )
    lan4, lan6 = (
        str(network) if network else "" for network in (router.downstream, router.downstream6)
    )
    yield _Line(below, "lan", lan4, lan6, _joined(labels.lan_notes(router)))


def _device(device: Device, interface: Interface, branch: str, below: str) -> Iterator[_Line]:
    notes = labels.interface_notes(interface)
    others = [
        f"{other.name} at {labels.printable(other.lan)}"
        for other in device.interfaces
        if other is not interface
    ]
    if others:
        default = ["default route"] if interface.name == device.default_via else []
        notes = [*notes, *default, f"also {', '.join(others)}"]
    yield from _interface(interface, f"{branch} {labels.printable(device.name)}", below, notes)


def _interface(
    interface: Interface, title: str, below: str, notes: Sequence[str]
) -> Iterator[_Line]:
    v4, v6 = labels.addresses(interface)
    yield _Line(
        title,
        labels.printable(interface.name),
        v4[0] if v4 else "",
        v6[0] if v6 else "",
        _joined(notes),
    )
    for address, address6 in zip_longest(v4[1:], v6[1:], fillvalue=""):
        yield _Line(below, "", address, address6)


def _joined(notes: Iterable[str]) -> str:
    return ", ".join(note for note in notes if note)


def _aligned(lines: Sequence[_Line]) -> list[str]:
    """Pad the columns; a column that no line uses is left out."""
    rows = [(line.tree, line.interface, line.address, line.address6, line.notes) for line in lines]
    widths = [max(map(columns, column), default=0) for column in zip(*rows, strict=True)]
    gaps = ("", "  ", " ", "  ", "   ")
    return [
        "".join(
            gap + cell + " " * (width - columns(cell))
            for gap, cell, width in zip(gaps, row, widths, strict=True)
            if width
        ).rstrip()
        for row in rows
    ]


def columns(text: str) -> int:
    """The number of terminal columns that a text takes."""
    return sum(
        0
        if unicodedata.combining(c) or unicodedata.category(c) in {"Mn", "Me", "Cf"}
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )
