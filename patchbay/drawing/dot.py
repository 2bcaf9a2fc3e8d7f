"""The lab in Graphviz' language."""

from __future__ import annotations

from patchbay.drawing import labels
from patchbay.topology.model import IX, Interface, Topology


def graph(topology: Topology) -> str:
    """Write the lab as a Graphviz `graph`, with a final newline.

    Nodes are known by their names: `dot -Tsvg` gives them as titles.
    """
    lines = [
        f"graph {_quoted(topology.name)} {{",
        '    node [fontname="sans-serif", shape=box, style=rounded]',
        '    edge [fontname="sans-serif", fontsize=10]',
        f"    {_quoted(IX)} [shape=doublecircle]",
    ]
    for region in topology.regions.values():
        shown = [region.name, str(region.downstream), str(region.downstream6)]
        lines.append(f"    {_quoted(region.name)} [label={_quoted(*shown)}, shape=ellipse]")
    for router in topology.routers.values():
        shown = [router.name, *labels.badges(router)]
        shown += [str(lan) for lan in (router.downstream, router.downstream6) if lan is not None]
        lines.append(f"    {_quoted(router.name)} [label={_quoted(*shown)}, shape=hexagon]")
    for device in topology.devices.values():
        shown = [device.name, *_addresses(device.interfaces)]
        lines.append(f"    {_quoted(device.name)} [label={_quoted(*shown)}]")
    lines += [f"    {_quoted(IX)} -- {_quoted(name)}" for name in topology.regions]
    for trunk in topology.trunks:
        one, other = map(_quoted, trunk.ends)
        style = ", style=dotted" if trunk.broken else ""
        label = _quoted(labels.link(trunk))
        lines.append(f"    {one} -- {other} [label={label}, constraint=false{style}]")
    lines += [
        _edge(router.upstream, router.name, router.uplink, solid=True)
        for router in topology.routers.values()
    ]
    for device in topology.devices.values():
        for interface in device.interfaces:
            solid = interface.name == device.default_via
            lines.append(_edge(interface.lan, device.name, interface, solid=solid))
    return "\n".join([*lines, "}"]) + "\n"


def _addresses(interfaces: tuple[Interface, ...]) -> list[str]:
    return [
        address for each in interfaces for family in labels.addresses(each) for address in family
    ]


def _edge(upper: str, lower: str, interface: Interface, *, solid: bool) -> str:
    label = _quoted(interface.name, *labels.interface_notes(interface))
    style = "" if solid else ", style=dashed"
    return f"    {_quoted(upper)} -- {_quoted(lower)} [label={label}{style}]"


def _quoted(*lines: str) -> str:
    r"""A quoted string of Graphviz, where `\n` begins a new line and entities are read."""
    escaped = (
        labels.printable(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
        for line in lines
    )
    return '"' + "\\n".join(escaped) + '"'
