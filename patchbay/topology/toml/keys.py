"""How keys and names are spelled: with dashes when written, and freely when read."""

from __future__ import annotations

from enum import Enum
from itertools import islice, product

TABLES = ("lab", "region", "region_link", "router", "device", "partition", "dns")
LAB_KEYS = ("name", "ipv6_dad", "ipv6_provisioning", "link_engine")
ROUTER_KEYS = [
    "name",
    "preset",
    "upstream",
    "region",
    "nat",
    "nat_v6",
    "ip_support",
    "firewall",
    "block_icmp_frag_needed",
    "released",
    "port_mapping",
    "downlink",
    "downlink_engine",
    "downlink_flows",
    "downstream",
    "downstream6",
    "mtu",
    "wan",
]
INTERFACE_KEYS = [
    "gateway",
    "condition",
    "condition_up",
    "condition_down",
    "engine_up",
    "engine_down",
    "flows_up",
    "flows_down",
    "address",
    "address6",
    "addresses",
    "mac",
    "mtu",
    "up",
    "cable",
    "port",
]
REGION_KEYS = ("transit", "downstream", "downstream6", "latencies", "number")
LINK_NUMBERS = ("latency_ms", "jitter_ms", "loss_pct", "rate_mbit")
LINK_SHORT = (*LINK_NUMBERS, "drops")
"""The keys of a link between regions that stand for the condition that is most often enough."""
LINK_FIELDS = (*LINK_SHORT, "condition", "flows", "engine")
"""The keys of a link between regions that say what packets meet."""
REGION_LINK_KEYS = ("between", *LINK_FIELDS, "back", "broken", "reroute", "number")
PARTITION_KEYS = ("sides", "one_way")
ALIASES = {"impair": "condition"}
"""Other names of keys, as related tools have them."""
DNS_KEYS = ("name", "address", "node")


def kebab(name: Enum | str) -> str:
    """A name as it is written into files."""
    return str(name).replace("_", "-")


def _spellings(name: str) -> list[str]:
    """Spellings in capitals and small letters, the usual ones first."""
    letters = [(c,) if c == "-" else (c, c.upper()) for c in name]
    return [name, name.upper(), *map("".join, islice(product(*letters), 1, 16))]


DEVICE_KEYS = {name: _spellings(name) for name in ("default-via", "mtu", "count")}
"""The keys of a device, each in spellings enough to be told from names of interfaces."""
