"""Writes docs/conformance.md: `python tests/conformance/document.py`."""

from __future__ import annotations

import itertools
from pathlib import Path

from punching import punches
from requirements import KINDS, REQUIREMENTS
from walls import RECOMMENDATIONS, WALLS

from patchbay import Nat, NatConfig, NatFiltering, NatMapping

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"

HEAD = """# Conformance

What the RFCs ask of a NAT, and which kinds of NAT do it. Every cell is measured, with real sockets on both sides of a router, whenever the tests run; a kind that must not do a thing is seen not to do it. The page is written from the tests by `python tests/conformance/document.py`.

`restricted` is `NatConfig(filtering="address_dependent", ports=(20000, 29999))` with timeouts that are too short: 60 s for a TCP connection that is being opened, 10 s for one that is being closed, 30 s for an ICMP query.

"""
TAIL = """
`home` and `cgnat` do all that the RFCs say a NAT must. A port that others see is known before it is used only where the mapping is independent of the peer, so that RFC 5382 REQ-1 decides about the second row of REQ-2a. Where another kind does not, it is because routers of that kind do not: `home_legacy` does not hairpin, and forgets a UDP flow that nobody answered after 30 seconds and an open TCP connection after two hours; the random ports of `corporate` and `cloud_nat` differ from peer to peer. `NatConfig` changes each of these.

What a `NatConfig` can say beyond its kind is tested setting by setting, each beside a setting that does not do it: pooling (RFC 4787 REQ-2, RFC 6888 REQ-2), port parity (REQ-4), outbound and inbound refresh (REQ-6), exempt destinations (RFC 6888 REQ-6), hold-down of ports (RFC 6888 REQ-8), quotas, blocks, and an answer to unsolicited SYNs, late (RFC 5382 REQ-4: no kind gives one by itself, which REQ-4a leaves to its policy). All of them together, in random combinations with random traffic of UDP, TCP and ICMP, are compared packet by packet with a model.

The requirements without a row:

| requirement | | where it is met |
|---|---|---|
| RFC 4787 REQ-2, 4, 6; RFC 6888 REQ-2, 6, 8; RFC 5382 REQ-4 | | settings of a `NatConfig`, as above |
| RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-2 | that lifetimes are configurable | `NatTimeouts` |
| RFC 5382 REQ-2 | all valid sequences of TCP segments | connection tracking of the kernel; those of a simultaneous open have rows |
| RFC 5508 REQ-3b to 3d | options and extensions in ICMP errors, checksums in them | what they are about is found by the addresses and ports in them, the rest passes as it is |
| RFC 5508 REQ-9, 11 | MAY drop some ICMP | firewalls do, NAT does not |
| RFC 7857 2, 2.1 | states of TCP, with timeouts apart | `tcp_opening`, `tcp_established` and `tcp_closing` of `NatTimeouts` |
| RFC 7857 3, 4, 5, 6 | overlapping ports; paired pooling; each protocol by itself | ports do not overlap; as above; `tcp_mapping` and `tcp_filtering` |
| RFC 7857 7 | what comes in may refresh, what is answered with an error does not | `inbound_refresh`; RFC 5508 REQ-6; a reset ends its flow |
| RFC 7857 8, 9, 10 | no port parity, random ports, IP identifications | the default; `port_choice`; the kernel leaves those of hosts alone |
| RFC 7857 11 | an echo's mapping ends with its session | it does |
| RFC 7857 12 | echoes that turn back inside | with `one_to_one`; an address that is shared is the router's, which answers them |
| RFC 6888 REQ-1 | that of the other RFCs | the rows above, of `cgnat` |
| RFC 6888 REQ-3, 5, 13 | any addresses, bounded state, few unused ports | `addresses`, `quota`, `block_size` |
| RFC 6888 REQ-7 | endpoint-independent filtering | RFC 4787 REQ-8 and RFC 5382 REQ-3 |
| RFC 6888 REQ-9 | hosts can ask for ports, SHOULD by PCP | `port_mapping=True` |
| RFC 6888 REQ-10, 12 | it can be managed, and logs no destinations | handles and events; mappings that nobody asks for are in no log |
| RFC 6888 REQ-15 | ports that are hard to guess | `cgnat` draws them at random from the blocks of a host |

A kernel's rules cannot do these:

| requirement | | why |
|---|---|---|
| RFC 5508 REQ-3a | drop errors with a wrong checksum in the inner IP header | connection tracking does not check it |
| RFC 5508 REQ-8, RFC 6888 REQ-11 | SHOULD answer with ICMP when no port is left | a port is sought where packets can be dropped only; a host that has its share is told |
| RFC 4787 REQ-7 | handle the same subnet on both sides | a lab refuses to be built so, and says which subnets overlap |
"""


PUNCHING = """
## Hole punching

Two hosts learn from a third one where it sees the other (as with STUN), and both send there. Whether they get in touch, for all pairs of the nine kinds of mapping and filtering; measured with either host first. EI is endpoint-independent, AD address-dependent, APD address-and-port-dependent; the mapping comes first. `home` is EI/APD, `full_cone` and `cgnat` are EI/EI, `corporate` and `cloud_nat` are APD/APD.

"""
FIREWALLS = """
## Firewalls

What RFC 6092 recommends of routers for homes, and which kinds of firewall do it, each measured for IPv4 and IPv6 on a router without NAT, with real sockets and packets made by hand. `strict` is `FirewallConfig(block_inbound=True)`.

"""
FIREWALLS_TAIL = """
`block_inbound` is what follows the RFC; the others are seen to differ where they mean to. An unsolicited SYN is answered after six seconds (REC-34), unless its connection was begun from inside meanwhile; `refuse="reject"` answers at once. Unique local addresses are routed (REC-7), since they are what the private LANs of a lab have, and all that a host of a `home` has: without them it would have no IPv6. Four rules keep them in: `FirewallRule("drop", direction, source="fc00::/7")` and the same with `destination=`, for either direction. Hosts can ask for ways in where port mapping is on (REC-48). Multicast is not forwarded at all (REC-2), and UDP-Lite, SCTP and DCCP are left to the kernel (REC-20, REC-38 to REC-46).
"""
PRESETS = """
The same for the kinds that have a name:

"""
SHORT = {
    "endpoint_independent": "EI",
    "address_dependent": "AD",
    "address_and_port_dependent": "APD",
}


def punching() -> str:
    """The table of who gets in touch with whom."""
    kinds = [NatConfig(*each) for each in itertools.product(NatMapping, NatFiltering)]
    names = [f"{SHORT[kind.mapping.value]}/{SHORT[kind.filtering.value]}" for kind in kinds]
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(kinds)]
    for name, one in zip(names, kinds, strict=True):
        cells = ("yes" if punches(one, other) else "no" for other in kinds)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def firewalls() -> str:
    """The table of what firewalls do."""
    lines = [f"| recommendation | | what | {' | '.join(f'`{kind}`' for kind in WALLS)} |"]
    lines.append("|---|---|---|" + "---|" * len(WALLS))
    for each in RECOMMENDATIONS:
        cells = " | ".join("yes" if kind in each.holds else "no" for kind in WALLS)
        lines.append(f"| {each.name} | {each.level} | {each.text} | {cells} |")
    return "\n".join(lines) + "\n"


def presets() -> str:
    """The same table for kinds that have a name."""
    kinds = [kind for kind in Nat if kind.config is not None]
    lines = [f"| | {' | '.join(f'`{kind}`' for kind in kinds)} |", "|---|" + "---|" * len(kinds)]
    for one in kinds:
        cells = ("yes" if punches(one.config, other.config) else "no" for other in kinds)
        lines.append(f"| `{one}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page of the documentation."""
    lines = [f"| requirement | | what | {' | '.join(f'`{kind}`' for kind in KINDS)} |"]
    lines.append("|---|---|---|" + "---|" * len(KINDS))
    for each in REQUIREMENTS:
        cells = " | ".join("yes" if kind in each.holds else "no" for kind in KINDS)
        lines.append(f"| {each.name} | {each.level} | {each.text} | {cells} |")
    return (
        HEAD
        + "\n".join(lines)
        + "\n"
        + TAIL
        + PUNCHING
        + punching()
        + FIREWALLS
        + firewalls()
        + FIREWALLS_TAIL
    )


if __name__ == "__main__":
    PAGE.write_text(page())
