"""Where the program `nft` exists: it lists what was encoded as the text that was printed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from itertools import permutations

import pytest

from patchbay.rules import encode, firewall, nat, text, unsolicited
from patchbay.rules.model import (
    Chain,
    Counter,
    Dnat,
    Log,
    Masquerade,
    Match,
    NatFlag,
    Range,
    Redirect,
    Reject,
    RejectWith,
    Rule,
    Snat,
    Statement,
    Table,
    match,
    unless,
)
from patchbay.rules.words import (
    AddressType,
    ChainType,
    CtDirection,
    CtState,
    CtStatus,
    Family,
    Field,
    Hook,
    IcmpType,
    Icmpv6Type,
    L4Proto,
    NfProto,
    Verdict,
)
from patchbay.values import (
    Firewall,
    FirewallConfig,
    FirewallRule,
    Nat,
    NatConfig,
    PortForward,
    PortPolicy,
)
from patchbay.wiring.connection import NETLINK_NETFILTER, Connection

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="needs the program nft")


def listed_as_printed(*tables: Table, readable: bool = True) -> None:
    """Whether nft prints what text prints, and, for what it can read too, takes it back."""
    connection = Connection(NETLINK_NETFILTER)
    connection.transact(encode.replacement((), tables))
    command = ["nft", "--stateless", "list", "ruleset"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert listed == text.ruleset(tables), f"{listed}\n{text.ruleset(tables)}"
    connection.transact(encode.replacement(tables, tables))
    again = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert again == listed
    if readable:
        subprocess.run(["nft", "--check", "--file", "-"], input=listed, text=True, check=True)
    connection.transact(encode.replacement(tables, ()))
    assert not subprocess.run(command, capture_output=True, text=True, check=True).stdout
    connection.close()


def filtering(*matches: Match) -> Table:
    rules = tuple(Rule((one,), (Counter(), Verdict.ACCEPT)) for one in matches)
    chain = Chain(name="forward", type=ChainType.FILTER, hook=Hook.FORWARD, priority=0, rules=rules)
    return Table(family=Family.INET, name="test", chains=(chain,))


def translating(family: Family, hook: Hook, statements: Iterable[Statement]) -> Table:
    udp = match(Field.L4PROTO, L4Proto.UDP)
    rules = tuple(Rule((udp,), (statement,)) for statement in statements)
    priority = -100 if hook is Hook.PREROUTING else 100
    chain = Chain(name="nat", type=ChainType.NAT, hook=hook, priority=priority, rules=rules)
    return Table(family=family, name="test", chains=(chain,))


def test_firewalls(kernel):
    for kind in (Firewall.BLOCK_INBOUND, Firewall.CORPORATE, Firewall.CAPTIVE_PORTAL):
        listed_as_printed(*firewall.tables(kind, wan="wan"))
    blocked = FirewallConfig(outbound_udp=PortPolicy.BLOCK_ALL)
    listed_as_printed(*firewall.tables(blocked, wan="wan"))


def test_firewalls_spelled_out(kernel):
    config = FirewallConfig(
        block_inbound=True,
        outbound_tcp=PortPolicy.allow(80),
        outbound_icmp=False,
        refuse="reject",
        filtering="address_dependent",
        block_spoofed=True,
        block_icmp_frag_needed=True,
        rules=[
            FirewallRule("reject", "outbound", destination=["203.0.113.1", "2001:db8:7::/48"]),
            FirewallRule("accept", "inbound", "tcp", ports=[22, (8000, 8010)]),
            FirewallRule("drop", "inbound", "icmp", source=["198.18.0.0/15", "203.0.113.1"]),
            FirewallRule("reject", "inbound", "udp", source_ports=[(1, 1023)]),
        ],
    )
    listed_as_printed(*firewall.tables(config, wan="wan"))
    portal = FirewallConfig(captive_portal=True)
    for released in ([], ["02:00:00:00:00:01"], ["02:00:00:00:00:01", "02:00:00:00:00:02"]):
        listed_as_printed(*firewall.tables(portal, wan="wan", released=released))
    stateless = FirewallConfig(block_inbound=True, stateful=False, rules=config.rules)
    listed_as_printed(*firewall.tables(stateless, wan="wan"))


def test_nats(kernel):
    """nft prints a number that is found in a map, or joined of two, but does not read it."""
    small = NatConfig("address_dependent", "address_dependent", True, ports=(5000, 5003))
    many = NatConfig(
        filtering="endpoint_independent",
        hairpin=True,
        tcp_mapping="address_dependent",
        tcp_filtering="address_dependent",
        port_choice="sequential",
        parity=True,
        addresses=["198.18.0.11", "198.18.0.12"],
        one_to_one={"10.0.1.9": "198.18.0.13"},
        forwards=[PortForward("tcp", 80, "10.0.1.3", 8080), PortForward("udp", 53, "10.0.1.3")],
        exempt=["198.19.0.0/16", "192.0.2.1/32"],
        hold_down=120,
        inbound_refresh=False,
    )
    blocks = NatConfig(
        addresses=["198.18.0.11"],
        pooling="arbitrary",
        block_size=256,
        quota=100,
        ports=(5000, 9999),
    )
    for kind in (*Nat, small, many, blocks):
        tables = nat.tables(kind, wan="wan", address=ip_address("198.18.0.10"))
        listed_as_printed(*tables, readable=False)


def test_a_change_leaves_what_a_new_table_would_be(kernel):
    """Only what differs is told; nft lists what stays first."""
    command = ["nft", "--stateless", "list", "ruleset"]

    def parts(ruleset):
        return sorted(re.findall(r"^\t\w.*?^\t}", ruleset, re.MULTILINE | re.DOTALL))

    address = ip_address("198.18.0.10")
    kinds = [
        *(None, Nat.HOME, Nat.CORPORATE, Nat.CGNAT),
        NatConfig("address_dependent", "address_dependent", ports=(5000, 5003), quota=5),
        NatConfig(hairpin=True, addresses=["198.18.0.11"], inbound_refresh=False, parity=True),
    ]
    each_table = [nat.tables(kind or Nat.NONE, wan="wan", address=address) for kind in kinds]
    connection = Connection(NETLINK_NETFILTER)
    now: tuple[Table, ...] = ()
    for first, second in permutations(each_table, 2):
        for tables in (first, second):
            connection.transact(encode.replacement(now, tables))
            now = tables
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert parts(listed) == parts(text.ruleset(second))
    connection.close()


def test_interfaces_and_protocols(kernel):
    listed_as_printed(
        filtering(
            match(Field.IIFNAME, "wan"),
            unless(Field.OIFNAME, "wan"),
            match(Field.IIFNAME, "wan", "lan"),
            match(Field.NFPROTO, NfProto.IPV6),
            match(Field.L4PROTO, L4Proto.ICMPV6),
            match(Field.L4PROTO, L4Proto.TCP, L4Proto.UDP),
        )
    )


def test_addresses(kernel):
    listed_as_printed(
        filtering(
            match(Field.IP_SADDR, ip_address("10.0.0.1")),
            match(Field.IP_SADDR, ip_network("10.0.0.0/8")),
            unless(Field.IP_DADDR, ip_network("10.1.0.0/20")),
            match(Field.IP_DADDR, Range(ip_address("10.1.0.0"), ip_address("10.2.0.5"))),
            match(Field.IP_DADDR, ip_network("10.1.0.0/20"), ip_address("10.9.9.9")),
            unless(Field.IP6_SADDR, ip_address("fd00::1")),
            match(Field.IP6_SADDR, ip_network("fd00::/8"), ip_network("2001:db8::/64")),
        )
    )


def test_ports(kernel):
    listed_as_printed(
        filtering(
            match(Field.TH_DPORT, 53),
            match(Field.TCP_DPORT, 80, 443),
            unless(Field.TCP_SPORT, 80, 443),
            match(Field.UDP_DPORT, Range(1000, 2000)),
            unless(Field.UDP_SPORT, Range(1000, 2000)),
            match(Field.TCP_DPORT, Range(1000, 2000), 80, Range(60000, 65535)),
        )
    )


def test_connection_tracking(kernel):
    listed_as_printed(
        filtering(
            match(Field.CT_STATE, *CtState),
            match(Field.CT_STATE, CtState.NEW),
            unless(Field.CT_STATE, CtState.NEW),
            unless(Field.CT_STATE, CtState.NEW, CtState.RELATED),
            match(Field.CT_STATUS, CtStatus.DNAT, CtStatus.SNAT),
            match(Field.CT_DIRECTION, CtDirection.REPLY),
        )
    )


def test_icmp_and_address_types(kernel):
    listed_as_printed(
        filtering(
            match(Field.ICMP_TYPE, IcmpType.ECHO_REQUEST),
            match(Field.ICMP_TYPE, *IcmpType),
            match(Field.ICMPV6_TYPE, *Icmpv6Type),
            match(Field.FIB_DADDR_TYPE, AddressType.LOCAL),
            match(Field.FIB_DADDR_TYPE, AddressType.LOCAL, AddressType.BROADCAST),
        )
    )


def test_translations(kernel):
    here, ports = ip_address("198.18.0.10"), Range(1000, 2000)
    there, random = ip_address("2001:db8::10"), NatFlag.RANDOM
    listed_as_printed(
        translating(
            Family.IP,
            Hook.POSTROUTING,
            (
                Snat(here),
                Snat(here, ports, random),
                Masquerade(),
                Masquerade(ports, NatFlag.FULLY_RANDOM | NatFlag.PERSISTENT),
                Masquerade(flags=random),
            ),
        )
    )
    listed_as_printed(
        translating(Family.IP, Hook.PREROUTING, (Dnat(here, 5), Redirect(53), Redirect()))
    )
    listed_as_printed(translating(Family.IP6, Hook.POSTROUTING, (Snat(there), Snat(there, 7))))


def test_refusals_and_comments(kernel):
    rules = (
        Rule((match(Field.TCP_DPORT, 25),), (Reject(RejectWith.TCP_RESET),)),
        Rule((), (Reject(),), "everything else"),
        Rule((), (Reject(RejectWith.ICMPX_ADMIN_PROHIBITED),)),
        Rule((), (Log(0),)),
        unsolicited.noted(match(Field.IIFNAME, "wan")),
    )
    chain = Chain(name="in", type=ChainType.FILTER, hook=Hook.INPUT, priority=7, rules=rules)
    listed_as_printed(Table(family=Family.INET, name="test", chains=(chain,)))
