"""Ports that hosts of a LAN asked their router for, as an nftables table.

Its chain comes before that of the NAT, which finds the destination of what came to such a port
translated, and sends it on; so does the firewall.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from patchbay.rules.model import Chain, Dnat, Rule, Table, match
from patchbay.rules.words import ChainType, Family, Field, Hook, Priority
from patchbay.values import PortMapping

_PORTS = {"udp": Field.UDP_DPORT, "tcp": Field.TCP_DPORT}


def tables(mappings: Iterable[PortMapping], *, wan: str, address: IPv4Address) -> tuple[Table, ...]:
    """The table of these mappings; none for none.

    Args:
        mappings: what was asked for.
        wan: name of the uplink's interface.
        address: the uplink's address.
    """
    rules = tuple(
        Rule(
            (
                match(Field.IIFNAME, wan),
                match(Field.IP_DADDR, address),
                match(_PORTS[each.protocol], each.port),
            ),
            (Dnat(each.host, each.host_port),),
        )
        for each in mappings
    )
    chain = Chain(
        name="prerouting",
        type=ChainType.NAT,
        hook=Hook.PREROUTING,
        priority=Priority.DSTNAT - 1,
        rules=rules,
    )
    table = Table(family=Family.IP, name="port_mappings", chains=(chain,))
    return (table,) if rules else ()
