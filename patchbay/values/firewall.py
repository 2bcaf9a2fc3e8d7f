"""What routers let through: known kinds of firewall, and firewalls spelled out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from patchbay.errors import Problems
from patchbay.values.firewall_rule import FirewallAction, FirewallRule, PortPolicy
from patchbay.values.nat_config import NatFiltering
from patchbay.values.parsing import NamedEnum, parse, put, put_flags, put_seconds, several


@dataclass(frozen=True, slots=True, init=False)
class FirewallConfig:
    """A router's firewall, spelled out. It is about packets between the uplink and the LAN, and
    from the uplink to the router itself; the LAN always reaches its router.

    Rules come first, in their order: the first that matches decides. What none of them matches,
    the other fields decide about.

    Attributes:
        block_inbound: refuse what comes from the uplink and belongs to no flow of the LAN's making.
            What a NAT sends on to the owner of a port, or to where a port is forwarded, passes.
        outbound_tcp: TCP ports that the LAN may connect to.
        outbound_udp: UDP ports that the LAN may send to.
        outbound_icmp: whether the LAN may send ICMP queries, such as echo requests.
        rules: exceptions from all this.
        refuse: what is done to packets that the fields above keep out: `drop` or `reject`.
        stateful: whether packets of flows that were let through pass in both directions; if not,
            every packet is decided about by itself.
        filtering: with `block_inbound`, who may send to a port of the LAN that has sent to the
            uplink, TCP and UDP: anybody, the addresses it sent to, or only the ports as well.
        allow_ipsec: with `block_inbound`, let in what makes virtual private networks unasked: AH,
            ESP, HIP, and IKE, which is UDP to port 500 (RFC 6092 REC-21 to REC-26).
        block_spoofed: drop packets, in both directions, whose source is not where they come from
            (RFC 6092 REC-5 and REC-6, RFC 2827), IPv6 addresses that no packet may have (REC-3),
            and routing headers of type 0 (REC-4).
        block_icmp_frag_needed: drop what path MTU discovery lives by, "fragmentation needed" of
            ICMP and "packet too big" of ICMPv6, passing or of the router's own making.
        refuse_syn_after: with `block_inbound`, seconds after which a TCP SYN that was dropped is
            answered with "communication administratively prohibited" of ICMP, unless its flow has
            been begun from inside meanwhile (RFC 6092 REC-34: 6 or more); None for never. Of IPv4
            behind NAT it is `NatConfig.refuse_syn_after` that says so.
        captive_portal: hold hosts of the LAN back until `Router.release`: web requests (to TCP port
            80, over IPv4) get a page of the router, names can be asked for (port 53), and all else
            that would leave is rejected.
    """

    block_inbound: bool
    outbound_tcp: PortPolicy
    outbound_udp: PortPolicy
    outbound_icmp: bool
    rules: tuple[FirewallRule, ...]
    refuse: FirewallAction
    stateful: bool
    filtering: NatFiltering
    allow_ipsec: bool
    block_spoofed: bool
    block_icmp_frag_needed: bool
    captive_portal: bool
    refuse_syn_after: int | None

    def __init__(
        self,
        *,
        block_inbound: bool = False,
        outbound_tcp: PortPolicy = PortPolicy.ALLOW_ALL,
        outbound_udp: PortPolicy = PortPolicy.ALLOW_ALL,
        outbound_icmp: bool = True,
        rules: Iterable[FirewallRule] = (),
        refuse: FirewallAction | str = FirewallAction.DROP,
        stateful: bool = True,
        filtering: NatFiltering | str = NatFiltering.ADDRESS_AND_PORT_DEPENDENT,
        allow_ipsec: bool = False,
        block_spoofed: bool = False,
        block_icmp_frag_needed: bool = False,
        captive_portal: bool = False,
        refuse_syn_after: int | None = None,
    ) -> None:
        problems = Problems()
        flags = {
            "block_inbound": block_inbound,
            "outbound_icmp": outbound_icmp,
            "stateful": stateful,
            "allow_ipsec": allow_ipsec,
            "block_spoofed": block_spoofed,
            "block_icmp_frag_needed": block_icmp_frag_needed,
            "captive_portal": captive_portal,
        }
        put_flags(self, flags, problems)
        for name, policy in (("outbound_tcp", outbound_tcp), ("outbound_udp", outbound_udp)):
            given: object = policy
            if not isinstance(given, PortPolicy):
                problems.add(name, f"{given!r} is not a PortPolicy, such as PortPolicy.allow(80)")
            object.__setattr__(self, name, policy)
        all_rules = several(rules, "rules", problems, "FirewallRules")
        object.__setattr__(self, "rules", all_rules)
        for number, each in enumerate(all_rules):
            if not isinstance(each, FirewallRule):
                problems.add(f"rules[{number}]", f"{each!r} is not a FirewallRule")
        put(self, "refuse", FirewallAction, refuse, problems)
        put(self, "filtering", NatFiltering, filtering, problems)
        if self.refuse is FirewallAction.ACCEPT:
            problems.add("refuse", "'accept' refuses nothing; it is 'drop' or 'reject'")
        put_seconds(self, "refuse_syn_after", refuse_syn_after, problems)
        if refuse_syn_after is not None and self.refuse is FirewallAction.REJECT:
            message = "is for SYNs that are dropped; with refuse='reject' they are answered at once"
            problems.add("refuse_syn_after", message)
        if not self.stateful and self.filtering is not _STRICT:
            problems.add("filtering", "who may answer is only known to a firewall with state")
        problems.check()


_STRICT = NatFiltering.ADDRESS_AND_PORT_DEPENDENT


class Firewall(NamedEnum):
    """What a router lets through, as known kinds of firewall do."""

    NONE = "none"
    BLOCK_INBOUND = "block_inbound"
    """As RFC 6092 recommends for the routers of homes."""
    CORPORATE = "corporate"
    CAPTIVE_PORTAL = "captive_portal"

    @property
    def config(self) -> FirewallConfig | None:
        """The same firewall, spelled out; None for `NONE`."""
        return _FIREWALLS[self]


_FIREWALLS: Mapping[Firewall, FirewallConfig | None] = MappingProxyType(
    {
        Firewall.NONE: None,
        Firewall.BLOCK_INBOUND: FirewallConfig(
            block_inbound=True,
            filtering=NatFiltering.ENDPOINT_INDEPENDENT,  # RFC 6092 REC-11, REC-17, REC-33
            allow_ipsec=True,
            block_spoofed=True,
            refuse_syn_after=6,  # RFC 6092 REC-34
        ),
        Firewall.CORPORATE: FirewallConfig(
            block_inbound=True,
            outbound_tcp=PortPolicy.allow(80, 443),
            outbound_udp=PortPolicy.allow(53),
            block_spoofed=True,
        ),
        Firewall.CAPTIVE_PORTAL: FirewallConfig(
            block_inbound=True, outbound_udp=PortPolicy.allow(53), block_spoofed=True
        ),
    }
)


def parse_firewall(value: object, place: str = "firewall") -> Firewall | FirewallConfig:
    """Return a firewall: a kind of it, its name, or a `FirewallConfig`."""
    return value if isinstance(value, FirewallConfig) else parse(Firewall, value, place)
