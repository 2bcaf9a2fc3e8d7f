"""The lab as a Mermaid flow chart, for Markdown on the web and documentation."""

from __future__ import annotations

from patchbay.drawing import labels
from patchbay.topology.model import IX, Interface, Topology


def graph(topology: Topology) -> str:
    """Write the lab as a Mermaid `flowchart`, with a final newline.

    Nodes have numbered ids and their names as labels, so any name can be drawn.
    """
    ids = {
        IX: "ix",
        **{name: f"region{number}" for number, name in enumerate(topology.regions)},
        **{name: f"router{number}" for number, name in enumerate(topology.routers)},
        **{name: f"device{number}" for number, name in enumerate(topology.devices)},
    }
    lines = ["flowchart TD", f"    ix(({_quoted(IX)}))"]
    lines += [f"    {ids[name]}([{_quoted(name)}])" for name in topology.regions]
    for router in topology.routers.values():
        shown = [router.name, *labels.badges(router)]
        if router.downstream or router.downstream6:
            shown.append(str(router.downstream or router.downstream6))
        lines.append(f"    {ids[router.name]}{{{{{_quoted(*shown)}}}}}")
    lines += [f"    {ids[name]}[{_quoted(name)}]" for name in topology.devices]
    lines += [f"    ix --- {ids[name]}" for name in topology.regions]
    for trunk in topology.trunks:
        one, other = (ids[name] for name in trunk.ends)
        line, label = "-.-" if trunk.broken else "---", labels.link(trunk)
        lines.append(f"    {one} {line}{f'|{_quoted(label)}|' if label else ''} {other}")
    lines += [
        _edge(ids[router.upstream], ids[router.name], router.uplink, solid=True)
        for router in topology.routers.values()
    ]
    for device in topology.devices.values():
        for interface in device.interfaces:
            solid = interface.name == device.default_via
            lines.append(_edge(ids[interface.lan], ids[device.name], interface, solid=solid))
    return "\n".join(lines) + "\n"


def _edge(upper: str, lower: str, interface: Interface, *, solid: bool) -> str:
    line = "---" if solid else "-.-"
    label = _quoted(interface.name, *labels.interface_notes(interface))
    return f"    {upper} {line}|{label}| {lower}"


def _quoted(*lines: str) -> str:
    """A Mermaid string: what is not plainly a word is written as a character's number.

    Mermaid reads Markdown and HTML in labels, and `#` begins an entity; numbers are taken
    literally by every version of it.
    """
    return '"' + "<br/>".join("".join(map(_character, line)) for line in lines) + '"'


def _character(character: str) -> str:
    if character.isalnum() or character in " .,:/-_()+↑↓[]":
        return character
    return "".join(f"#{ord(c)};" for c in labels.printable(character))
