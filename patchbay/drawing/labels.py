"""Short words for the things in a picture, shared by all kinds of picture."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from enum import Enum

from patchbay.topology.model import IX, Interface, Router, Topology, Trunk
from patchbay.values import (
    Firewall,
    FirewallConfig,
    LinkCondition,
    Nat,
    NatConfig,
    NatV6Mode,
)


def printable(text: str) -> str:
    """The text with control characters and lone surrogates shown as escapes."""
    return "".join(
        c if unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} else ascii(c)[1:-1]
        for c in text
    )


def word(value: Enum | str) -> str:
    """A name as people write it: `block-inbound`."""
    return str(value).replace("_", "-")


def badges(router: Router) -> list[str]:
    """What the router does to the packets it forwards; nothing for one that only routes."""
    found: list[str] = []
    if isinstance(router.nat, NatConfig):
        found.append("NAT custom")
    elif router.nat is not Nat.NONE:
        found.append(f"NAT {word(router.nat)}")
    if router.nat_v6 is not NatV6Mode.NONE:
        found.append(f"IPv6 {word(router.nat_v6)}")
    if isinstance(router.firewall, FirewallConfig):
        found.append("firewall custom")
    elif router.firewall is not Firewall.NONE:
        found.append(f"firewall {word(router.firewall)}")
    return found


# Of several names for one condition, the first.
_PRESETS = {value: word(name) for name, value in reversed(tuple(LinkCondition.PRESETS.items()))}


def condition(value: LinkCondition) -> str:
    """A preset's name, or what differs from a perfect link: `200 ms, 5% loss`."""
    if value in _PRESETS:
        return _PRESETS[value]
    jitter = f"±{value.jitter_ms:g}" if value.jitter_ms else ""
    found = [
        (value.latency_ms or value.jitter_ms, f"{value.latency_ms:g}{jitter} ms"),
        (value.loss_pct, f"{value.loss_pct:g}% loss"),
        (value.rate_kbit, _rate(value.rate_kbit or 0)),
        (value.reorder_pct, f"{value.reorder_pct:g}% reordered"),
        (value.duplicate_pct, f"{value.duplicate_pct:g}% twice"),
        (value.corrupt_pct, f"{value.corrupt_pct:g}% corrupt"),
        (value.drops is not None, "drop list"),
        (value.opportunities is not None, "delivery opportunities"),
        (value.program is not None, "packet program"),
    ]
    return ", ".join(text for amount, text in found if amount) or "custom"


def _rate(kbit: float) -> str:
    return f"{kbit / 1000:g} Mbit/s" if kbit >= 1000 else f"{kbit:g} kbit/s"


def conditions(interface: Interface) -> str:
    """The condition of an interface; with arrows where the directions differ; "" for none."""
    up, down = interface.condition_up, interface.condition_down
    if up == down:
        return condition(up) if up is not None else ""
    shown = [("↑", up), ("↓", down)]
    return " ".join(f"{arrow}{condition(value)}" for arrow, value in shown if value is not None)


def interface_notes(interface: Interface) -> list[str]:
    """What is unusual about an interface."""
    mtu = f"MTU {interface.mtu}" if interface.mtu is not None else ""
    return [note for note in (conditions(interface), mtu, "" if interface.up else "down") if note]


def lan_notes(router: Router) -> list[str]:
    """What is unusual about the LAN of a router."""
    mtu = [f"MTU {router.mtu}"] if router.mtu is not None else []
    return [*([condition(router.downlink)] if router.downlink is not None else []), *mtu]


def link(trunk: Trunk, near: str | None = None) -> str:
    """What packets meet on a link between regions; with arrows where the directions differ.

    Args:
        trunk: the link.
        near: the region that it is seen from; the first of its ends if not given.
    """
    out, back = trunk.link.condition, trunk.back.condition
    if near == trunk.ends[1]:
        out, back = back, out
    shown = [] if out is None else [condition(out)]
    if out != back:
        plain = LinkCondition.LAN
        shown = [f"↑{condition(out or plain)} ↓{condition(back or plain)}"]
    if trunk.broken:
        shown.append("broken, gone around" if trunk.reroute else "broken")
    return ", ".join(shown)


def links_of(topology: Topology, region: str) -> list[str]:
    """The links of a region, each as the other region and what packets meet."""
    found = []
    for trunk in topology.trunks:
        if region in trunk.ends:
            one, other = trunk.ends
            far = printable(one if region == other else other)
            found.append(" ".join(part for part in (far, link(trunk, region)) if part))
    return found


def addresses(interface: Interface) -> tuple[list[str], list[str]]:
    """The IPv4 and the IPv6 addresses of an interface, without prefix lengths."""
    v4 = [interface.address] if interface.address is not None else []
    v6 = [interface.address6] if interface.address6 is not None else []
    extra: Sequence[tuple[int, str]] = [(a.version, str(a.ip)) for a in interface.extra]
    return (
        [*(str(a.ip) for a in v4), *(ip for version, ip in extra if version == 4)],
        [*(str(a.ip) for a in v6), *(ip for version, ip in extra if version == 6)],
    )


def ix_networks(topology: Topology) -> tuple[str, str]:
    """The subnets of the IX, as its routers see them; "" without any."""
    uplinks = [r.uplink for r in topology.routers.values() if r.upstream == IX]
    v4 = [str(u.address.network) for u in uplinks if u.address is not None]
    v6 = [str(u.address6.network) for u in uplinks if u.address6 is not None]
    return v4[0] if v4 else "", v6[0] if v6 else ""
