"""The kernel settings of a node. All are stated, since what a new namespace has depends on the host.

Those of `all` and `default` come before any interface exists, forwarding before the others:
switching it resets some of them.
"""

from __future__ import annotations

from patchbay.rules import firewall as firewall_rules
from patchbay.rules import nat as nat_rules
from patchbay.topology.model import Router
from patchbay.values import Nat

Sysctls = tuple[tuple[str, str], ...]


def _set(version: int, *where: str, **values: int) -> Sysctls:
    return tuple(
        (f"ipv{version}.conf.{place}.{key}", str(value))
        for place in where
        for key, value in values.items()
    )


_HOST: Sysctls = (
    ("ipv4.ip_forward", "0"),
    ("ipv6.conf.all.forwarding", "0"),
)
_FORWARDS: Sysctls = (
    ("ipv4.ip_forward", "1"),
    ("ipv6.conf.all.forwarding", "1"),
    # The rules of a router are about what it routes, and not about what its LAN's bridge passes on.
    # Otherwise what turns back to the host that sent it would be bridged, which leads nowhere. Where
    # the kernel cannot filter on bridges there is nothing to switch off.
    ("bridge.bridge-nf-call-iptables", "0"),
    ("bridge.bridge-nf-call-ip6tables", "0"),
)
_COMMON: Sysctls = (
    # Of these the kernel takes the stricter one, or the more generous, of `all` and the interface's.
    *_set(
        4,
        "all",
        "default",
        # With several interfaces, replies may come in on another one than the kernel would use.
        rp_filter=0,
        # Nobody is told of a shorter way: the drawing says which way packets go.
        accept_redirects=0,
        send_redirects=0,
    ),
    # For these it is enough that one of the two has them.
    *_set(
        4,
        "all",
        # An interface answers for and speaks from its own addresses only.
        arp_ignore=1,
        arp_announce=2,
        # Removing an address leaves the others of its subnet, and the routes that need them.
        promote_secondaries=1,
    ),
    *_set(6, "all", "default", disable_ipv6=0),
    # For IPv6 it is the interface's own value that counts, and it begins as the default.
    *_set(
        6,
        "default",
        accept_ra=0,
        accept_redirects=0,
        # Static addresses outlive an interface that is down for a while.
        keep_addr_on_down=1,
        # Nobody asks who listens to which group, as no switch of a lab snoops: each report would
        # go to every host of a LAN, a million packets when a thousand hosts come up. In ms: a week.
        mldv1_unsolicited_report_interval=604_800_000,
        mldv2_unsolicited_report_interval=604_800_000,
    ),
    # Link-local addresses are made of hardware addresses, so they are known beforehand.
    ("ipv6.conf.default.addr_gen_mode", "0"),
    # Every lost packet that deserves an ICMP error gets one.
    ("ipv4.icmp_ratelimit", "0"),
    ("ipv4.icmp_ratemask", "0"),
    ("ipv6.icmp.ratelimit", "0"),
    # The user of a node is its root: ping and low ports need no more.
    ("ipv4.ping_group_range", "0 0"),
    ("ipv4.ip_unprivileged_port_start", "0"),
)
_DAD = {
    on: _set(6, "all", "default", accept_dad=on) + _set(6, "default", dad_transmits=on)
    for on in (0, 1)
}


def host(*, dad: bool) -> Sysctls:
    """The settings of a device."""
    return (*_HOST, *_COMMON, *_DAD[dad])


def forwarder(*, dad: bool) -> Sysctls:
    """The settings of a node that forwards packets: the IX, and routers without NAT."""
    return (*_FORWARDS, *_COMMON, *_DAD[dad])


def router(node: Router, *, dad: bool) -> Sysctls:
    """The settings of a router; what connection tracking remembers is stated where it is used."""
    if node.nat is Nat.NONE:
        tracked = firewall_rules.sysctls(node.firewall)
    else:
        tracked = nat_rules.sysctls(node.nat)
    return (*forwarder(dad=dad), *tracked)


def default(key: str) -> str:
    """Return what the kernel has for a setting that only routers with NAT or a firewall state."""
    return dict(nat_rules.sysctls(Nat.NONE))[key]
