"""Pictures of topologies made by hand: a picture is a function of the model alone."""

import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from itertools import combinations
from types import MappingProxyType
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.drawing import dot, labels, mermaid, svg, text
from patchbay.topology.model import IX, Device, Interface, Lane, Region, Router, Topology, Trunk
from patchbay.values import Firewall, LinkCondition, Nat

# Machines may be slow and runs shall be alike.
steady = settings(derandomize=True, deadline=None, max_examples=60)


def interface(name: str, lan: str, number: int, net: int = 0, **more) -> Interface:
    prefix, prefix6 = ("198.18.0", "2001:db8::") if lan == IX else (f"10.0.{net}", f"fd10::{net}:")
    return Interface(
        name=name,
        cable=number,
        lan=lan,
        mac=f"02:00:00:00:00:{number % 256:02x}",
        address=IPv4Interface(f"{prefix}.{number % 250 + 2}/24"),
        address6=IPv6Interface(f"{prefix6}{number:x}/64"),
        **more,
    )


def router(name: str, upstream: str, number: int, net: int = 0, **more) -> Router:
    return Router(
        name=name,
        uplink=interface("wan", upstream, number, net),
        downstream=IPv4Network(f"10.0.{number % 256}.0/24"),
        downstream6=IPv6Network(f"fd10:0:0:{number:x}::/64"),
        **more,
    )


def device(name: str, *interfaces: Interface, default_via: str | None = None) -> Device:
    first = interfaces[0].name if interfaces else None
    return Device(name=name, interfaces=interfaces, default_via=default_via or first)


def lab(name: str, routers: Sequence[Router], devices: Sequence[Device]) -> Topology:
    return Topology(
        name=name, routers={r.name: r for r in routers}, devices={d.name: d for d in devices}
    )


def wireless(interface: Interface, condition: LinkCondition = LinkCondition.WIFI) -> Interface:
    return replace(interface, condition_up=condition, condition_down=condition)


def demo() -> Topology:
    return lab(
        "demo",
        [
            router("dc", IX, 1),
            router("home", IX, 2, nat=Nat.HOME, firewall=Firewall.BLOCK_INBOUND),
        ],
        [
            device("server", interface("eth0", "dc", 3, 1)),
            device("laptop", wireless(interface("eth0", "home", 4, 2))),
            device(
                "phone",
                wireless(interface("wlan0", "home", 5, 2)),
                interface("cell0", "dc", 6, 1, condition_down=LinkCondition(200, loss_pct=5)),
            ),
            device("spare"),
        ],
    )


any_name = st.text(min_size=1, max_size=30)


@st.composite
def topologies(draw: st.DrawFn, names: st.SearchStrategy[str] = any_name) -> Topology:
    """Any shape of lab, with any names: routers behind routers, devices with several uplinks."""
    found = draw(
        st.lists(names, min_size=1, max_size=12, unique=True).filter(lambda found: IX not in found)
    )
    routers: list[Router] = []
    devices: list[Device] = []
    number = 0
    for name in found:
        number += 1
        lans = [IX, *(r.name for r in routers)]
        if len(lans) == 1 or draw(st.booleans()):
            routers.append(router(name, draw(st.sampled_from(lans)), number))
            continue
        plugs = draw(st.lists(st.sampled_from(lans[1:]), max_size=3))
        interfaces = [interface(f"eth{i}", lan, number * 8 + i) for i, lan in enumerate(plugs)]
        devices.append(device(name, *interfaces))
    return lab(draw(any_name), routers, devices)


# ---- text -------------------------------------------------------------------------------------


def test_tree_of_the_demo():
    expected = """\
ix                    198.18.0.0/24  2001:db8::/64
├─ dc           wan   198.18.0.3     2001:db8::1
│  │            lan   10.0.1.0/24    fd10:0:0:1::/64
│  ├─ server    eth0  10.0.1.5       fd10::1:3
│  └╌ phone     cell0 10.0.1.8       fd10::1:6         ↓200 ms, 5% loss, also wlan0 at home
└─ home         wan   198.18.0.4     2001:db8::2       [NAT home] [firewall block-inbound]
   │            lan   10.0.2.0/24    fd10:0:0:2::/64
   ├─ laptop    eth0  10.0.2.6       fd10::2:4         wifi
   └─ phone     wlan0 10.0.2.7       fd10::2:5         wifi, default route, also cell0 at dc

not plugged in
└─ spare"""

    assert expected == text.tree(demo())


def test_tree_of_an_empty_lab():
    assert text.tree(Topology(name="empty")) == "ix"


def test_tree_leaves_out_a_column_that_no_line_uses():
    r = router("dc", IX, 1)
    r = replace(r, uplink=replace(r.uplink, address6=None), downstream6=None)

    assert text.tree(lab("v4", [r], [])) == (
        "ix         198.18.0.0/24\n└─ dc  wan 198.18.0.3\n       lan 10.0.1.0/24"
    )


def test_tree_shows_further_addresses_an_mtu_and_an_interface_that_is_down():
    plug = interface("eth0", "dc", 2, 1, mtu=1280, up=False, extra=(IPv4Interface("10.0.1.77/24"),))

    lines = text.tree(lab("x", [router("dc", IX, 1)], [device("d", plug)])).splitlines()

    assert lines[-2].endswith("MTU 1280, down")
    assert lines[-1].split() == ["10.0.1.77"]


def test_tree_is_aligned_whatever_the_width_of_names():
    names = ["a", "打印机", "e\u0301te\u0301", "router with a long name"]
    lines = text.tree(lab("x", [router(n, IX, i) for i, n in enumerate(names)], [])).splitlines()

    starts = {text.columns(line[: re.search(r"(wan|lan) ", line).start()]) for line in lines[1:]}

    assert len(starts) == 1


@steady
@given(topologies())
def test_tree_has_a_line_for_each_interface_and_lan(topology):
    drawn = text.tree(topology)
    interfaces = sum(max(len(d.interfaces), 1) for d in topology.devices.values())
    loose = any(not d.interfaces for d in topology.devices.values())

    assert len(drawn.split("\n")) == 1 + 2 * len(topology.routers) + interfaces + 2 * loose
    assert drawn.splitlines() == drawn.split("\n")
    for name in (*topology.routers, *topology.devices):
        assert labels.printable(name).rstrip() in drawn


# ---- Mermaid and Graphviz ---------------------------------------------------------------------


def test_mermaid_of_the_demo():
    expected = """\
flowchart TD
    ix(("ix"))
    router0{{"dc<br/>10.0.1.0/24"}}
    router1{{"home<br/>NAT home<br/>firewall block-inbound<br/>10.0.2.0/24"}}
    device0["server"]
    device1["laptop"]
    device2["phone"]
    device3["spare"]
    ix ---|"wan"| router0
    ix ---|"wan"| router1
    router0 ---|"eth0"| device0
    router1 ---|"eth0<br/>wifi"| device1
    router1 ---|"wlan0<br/>wifi"| device2
    router0 -.-|"cell0<br/>↓200 ms, 5#37; loss"| device2
"""

    assert expected == mermaid.graph(demo())


def test_dot_of_the_demo():
    expected = """\
graph "demo" {
    node [fontname="sans-serif", shape=box, style=rounded]
    edge [fontname="sans-serif", fontsize=10]
    "ix" [shape=doublecircle]
    "dc" [label="dc\\n10.0.1.0/24\\nfd10:0:0:1::/64", shape=hexagon]
    "home" [label="home\\nNAT home\\nfirewall block-inbound\\n10.0.2.0/24\\nfd10:0:0:2::/64", shape=hexagon]
    "server" [label="server\\n10.0.1.5\\nfd10::1:3"]
    "laptop" [label="laptop\\n10.0.2.6\\nfd10::2:4"]
    "phone" [label="phone\\n10.0.2.7\\nfd10::2:5\\n10.0.1.8\\nfd10::1:6"]
    "spare" [label="spare"]
    "ix" -- "dc" [label="wan"]
    "ix" -- "home" [label="wan"]
    "dc" -- "server" [label="eth0"]
    "home" -- "laptop" [label="eth0\\nwifi"]
    "home" -- "phone" [label="wlan0\\nwifi"]
    "dc" -- "phone" [label="cell0\\n↓200 ms, 5% loss", style=dashed]
}
"""

    assert expected == dot.graph(demo())


@pytest.mark.parametrize(
    ("name", "in_mermaid", "in_dot"),
    [
        ('say "hi"', "say #34;hi#34;", r"say \"hi\""),
        ("a-b--c", "a-b--c", "a-b--c"),
        ("end", "end", "end"),
        ("日本", "日本", "日本"),
        ("back\\slash", "back#92;slash", "back\\\\slash"),
        ("&lt;#<b>", "#38;lt#59;#35;#60;b#62;", "&amp;lt;#<b>"),
        ("`*x*`", "#96;#42;x#42;#96;", "`*x*`"),
        ("%%{init", "#37;#37;#123;init", "%%{init"),
    ],
)
def test_any_name_is_escaped(name, in_mermaid, in_dot):
    topology = lab("x", [router(name, IX, 1)], [])

    assert f'{{{{"{in_mermaid}<br/>' in mermaid.graph(topology)
    assert f'[label="{in_dot}\\n' in dot.graph(topology)


@steady
@given(topologies())
def test_mermaid_has_a_line_for_each_node_and_edge(topology):
    lines = mermaid.graph(topology).splitlines()
    edges = len(topology.routers) + sum(len(d.interfaces) for d in topology.devices.values())

    node = r'    \w+(\(\("ix"\)\)|\{\{"[^"]*"\}\}|\["[^"]*"\])'
    assert sum(bool(re.fullmatch(node, line)) for line in lines) == (
        1 + len(topology.routers) + len(topology.devices)
    )
    edge = r'    [a-z]+\d* (---|-\.-)\|"[^"]*"\| [a-z]+\d+'
    assert sum(bool(re.fullmatch(edge, line)) for line in lines) == edges
    assert len(lines) == 2 + len(topology.routers) + len(topology.devices) + edges


@steady
@given(topologies())
def test_dot_consists_of_well_formed_lines(topology):
    quoted = r'"(?:[^"\\]|\\.)*"'
    attributes = rf"\[\w+=(?:{quoted}|\w+)(, \w+=(?:{quoted}|\w+))*\]"
    line = rf"graph {quoted} \{{|\}}|    (node|edge|{quoted}( -- {quoted})?) {attributes}"

    for each in dot.graph(topology).splitlines():
        assert re.fullmatch(line, each), each


# ---- SVG --------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def parsed(topology: Topology) -> ElementTree.Element:
    return ElementTree.fromstring(svg.drawing(topology))


def boxes(root: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    return [
        tuple(float(rect.get(key)) for key in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
        if rect.get("class") == "box"
    ]


def test_drawing_shows_names_addresses_badges_and_conditions():
    shown = {each.text for each in parsed(demo()).iter(f"{SVG}text")}

    assert {"ix", "dc", "home", "server", "laptop", "phone", "spare"} <= shown
    assert {"NAT home", "firewall block-inbound", "wan 198.18.0.4", "10.0.1.5"} <= shown
    assert {"wlan0", "wifi", "cell0", "↓200 ms, 5% loss", "cell0 10.0.1.8"} <= shown


def test_drawing_needs_nothing_from_outside():
    drawn = svg.drawing(demo())

    assert "<script" not in drawn
    assert "href" not in drawn
    assert "url(" not in drawn
    assert "@import" not in drawn


def test_each_box_and_edge_has_a_tooltip():
    for group in parsed(demo()).iter(f"{SVG}g"):
        assert group[0].tag == f"{SVG}title"
        assert group[0].text


def test_a_long_name_is_cut_in_its_box_and_whole_in_its_tooltip():
    name = "a-router-with-a-name-that-is-longer-than-anybody-would-like"
    root = parsed(lab("x", [router(name, IX, 1)], []))

    assert any(each.text.endswith("…") for each in root.iter(f"{SVG}text"))
    assert any(name in (each.text or "") for each in root.iter(f"{SVG}title"))


def test_a_wide_lab_is_drawn_from_left_to_right():
    narrow = parsed(lab("x", [router(f"r{i}", IX, i) for i in range(3)], []))
    wide = parsed(lab("x", [router(f"r{i}", IX, i) for i in range(30)], []))

    assert len({y for _, y, _, _ in boxes(narrow)}) == 2
    assert len({x for x, _, _, _ in boxes(wide)}) == 2
    assert float(wide.get("width")) < 1000


def test_a_big_lab_counts_what_it_does_not_show():
    devices = [device(f"d{i}", interface("eth0", "dc", i, 1)) for i in range(1000)]
    root = parsed(lab("big", [router("dc", IX, 1)], devices))

    assert len(boxes(root)) == 2 + 6 + 1
    assert "994 more" in {each.text for each in root.iter(f"{SVG}text")}


@steady
@given(topologies(names=st.text(st.characters(exclude_categories=[]), min_size=1)))
def test_drawing_is_valid_xml_whose_boxes_are_apart_and_within_the_picture(topology):
    root = parsed(topology)

    left, top, width, height = map(float, root.get("viewBox").split())
    found = boxes(root)
    assert len(found) == 1 + len(topology.routers) + len(topology.devices)
    for x, y, w, h in found:
        assert left <= x
        assert top <= y
        assert x + w <= left + width
        assert y + h <= top + height
    for (x, y, w, h), (x2, y2, w2, h2) in combinations(found, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def world(**changes):
    """Two regions with a link that differs by direction, a third, and routers in and out of them."""
    regions = {
        name: Region(
            name=name,
            number=number,
            downstream=IPv4Network(f"198.18.{number}.0/24"),
            downstream6=IPv6Network(f"2001:db8:1:{number}::/64"),
        )
        for number, name in enumerate(("us", 'e"u<', "asia"), 1)
    }
    there, back = (Lane(condition=LinkCondition(*each)) for each in ((40,), (55, 0, 0.5)))
    trunks = (
        replace(Trunk(number=1, ends=("us", 'e"u<'), link=there, back=back), **changes),
        Trunk(number=2, ends=("asia", "us")),
    )
    plain = lab("x", [router("dc", "us", 1), router("home", 'e"u<', 2), router("out", IX, 3)], [])
    return replace(plain, regions=MappingProxyType(regions), trunks=trunks)


def test_the_tree_has_regions_with_their_links_and_what_is_in_them():
    lines = text.tree(world()).splitlines()
    (us,) = [number for number, line in enumerate(lines) if "─ us " in line]
    assert "198.18.1.0/24" in lines[us]
    assert lines[us].endswith('to e"u< ↑40 ms ↓55 ms, 0.5% loss, to asia')
    assert "dc" in lines[us + 1]
    (eu,) = [line for line in lines if '─ e"u< ' in line]
    assert eu.endswith("to us ↑55 ms, 0.5% loss ↓40 ms")


def test_every_picture_has_regions_and_links_broken_or_not():
    for picture in (mermaid.graph, dot.graph, svg.drawing, text.tree):
        whole, broken, around = (
            picture(world(**changes))
            for changes in ({}, {"broken": True}, {"broken": True, "reroute": True})
        )
        assert "asia" in whole
        assert "broken" not in whole
        assert "broken" in broken
        assert "gone around" in around
    assert "region0 ---" in mermaid.graph(world())
    assert "region0 -.-" in mermaid.graph(world(broken=True))
    assert "style=dotted" in dot.graph(world(broken=True))


def test_a_region_with_many_links_shows_some_of_them():
    regions = {
        name: replace(world().regions["us"], name=name) for name in (f"g{n}" for n in range(12))
    }
    lane = Lane(condition=LinkCondition(9))
    trunks = tuple(
        Trunk(number=n, ends=("g0", f"g{n}"), link=lane, back=lane) for n in range(1, 12)
    )
    topology = replace(lab("x", [], []), regions=MappingProxyType(regions), trunks=trunks)
    root = parsed(topology)
    assert "and 5 more" in "".join(root.itertext())
