"""Small networks to test on: steps for nodes, bridges and cables, and sockets of their nodes."""

from __future__ import annotations

import socket
import time
from ipaddress import ip_address, ip_interface, ip_network

from patchbay.topology.steps import (
    AddAddress,
    AddBridge,
    AddCable,
    AddNode,
    Cable,
    Neighbour,
    Route,
    SetLink,
    SetNeighbour,
    SetRoute,
    Step,
)
from patchbay.wiring.kernel import Kernel

PATIENCE = 30.0
"""Seconds for what should happen."""
NO_DAD = (("ipv6.conf.all.accept_dad", "0"), ("ipv6.conf.default.accept_dad", "0"))
"""Without it a router cannot ask for its neighbours until its link-local address is settled."""
ROUTER = (("ipv4.ip_forward", "1"), ("ipv6.conf.all.forwarding", "1"), *NO_DAD)
_CLOCK_MONOTONIC_COARSE = 6


def cable(number: int, node: str, interface: str, peer: str, bridge: str | None = "lan") -> Cable:
    return Cable(
        number=number,
        node=node,
        interface=interface,
        mac=f"02:00:00:01:00:{number:02x}",
        mtu=1500,
        peer_node=peer,
        peer_interface=f"v{number}",
        peer_mac=f"02:00:00:02:00:{number:02x}",
        peer_mtu=1500,
        bridge=bridge,
    )


def up(node: str, interface: str) -> Step:
    return SetLink(node=node, interface=interface, up=True, old_up=False)


def address(node: str, interface: str, text: str) -> Step:
    return AddAddress(node=node, interface=interface, address=ip_interface(text))


def route(node: str, destination: str, interface: str, via: str | None = None) -> Step:
    return SetRoute(
        node=node,
        route=Route(
            destination=ip_network(destination),
            interface=interface,
            via=None if via is None else ip_address(via),
        ),
    )


def knows(node: str, interface: str, text: str, mac: str) -> Step:
    """A neighbour that a node need not ask for: no packet waits for ARP while others pass it."""
    entry = Neighbour(interface=interface, address=ip_address(text), mac=mac)
    return SetNeighbour(node=node, neighbour=entry)


def bridge(node: str, number: int, *addresses: str) -> list[Step]:
    mac = f"02:00:00:03:00:{number:02x}"
    return [
        AddBridge(node=node, name="lan", mac=mac, mtu=1500),
        up(node, "lan"),
        *(address(node, "lan", text) for text in addresses),
    ]


def plugged(
    number: int, node: str, interface: str, peer: str, *addresses: str, gateways: tuple[str, ...]
) -> list[Step]:
    """A cable, the node's end up, its addresses and its default routes."""
    defaults = {4: "0.0.0.0/0", 6: "::/0"}
    return [
        AddCable(cable=cable(number, node, interface, peer)),
        up(node, interface),
        *(address(node, interface, text) for text in addresses),
        *(
            route(node, defaults[ip_address(gateway).version], interface, gateway)
            for gateway in gateways
        ),
    ]


def lan() -> list[Step]:
    """A router `home` and a device `laptop` on its LAN."""
    return [
        AddNode(node="home", sysctls=ROUTER),
        AddNode(node="laptop", sysctls=NO_DAD),
        *bridge("home", 1, "10.0.1.1/24", "fd10::1/64"),
        *plugged(
            1, "laptop", "eth0", "home", "10.0.1.2/24", "fd10::2/64",
            gateways=("10.0.1.1", "fd10::1"),
        ),
    ]  # fmt: skip


def internet() -> list[Step]:
    """`laptop` behind `home`, whose uplink `wan` is on the exchange `ix`, as is `server`."""
    return [
        AddNode(node="ix", sysctls=ROUTER),
        *bridge("ix", 9, "198.18.0.1/24", "2001:db8::1/64"),
        AddNode(node="server", sysctls=NO_DAD),
        *plugged(
            8, "server", "eth0", "ix", "198.18.0.20/24", "198.18.0.21/24", "2001:db8::20/64",
            gateways=(),
        ),
        *lan(),
        *plugged(
            7, "home", "wan", "ix", "198.18.0.10/24", "2001:db8::10/64", gateways=("198.18.0.1",)
        ),
        route("server", "fd10::/64", "eth0", "2001:db8::10"),
        route("server", "10.0.1.0/24", "eth0", "198.18.0.10"),
    ]  # fmt: skip


def acquaintances(*hosts: tuple[str, str, int]) -> list[Step]:
    """All know each other in `internet`, with these hosts: names, addresses, numbers of cables."""
    lan, wan, server = "02:00:00:03:00:01", "02:00:00:01:00:07", "02:00:00:01:00:08"
    found = [knows("server", "eth0", "198.18.0.10", wan)]
    found += [knows("home", "wan", f"198.18.0.{number}", server) for number in (20, 21)]
    for name, ip, number in hosts:
        found += [
            knows(name, "eth0", "10.0.1.1", lan),
            knows("home", "lan", ip, f"02:00:00:01:00:{number:02x}"),
        ]
    return found


def await_ticks() -> None:
    """Wait until the kernel's clock has ticked a few times, which may take longer than it should.

    Its counters look for dead connections once in a tick. This clock moves with the ticks alone
    (clock_gettime(2)).
    """
    tick = round(time.clock_getres(_CLOCK_MONOTONIC_COARSE) * 1e9)
    end = time.clock_gettime_ns(_CLOCK_MONOTONIC_COARSE) + 3 * tick
    while time.clock_gettime_ns(_CLOCK_MONOTONIC_COARSE) < end:
        time.sleep(tick / 1e9)


def udp(kernel: Kernel, node: str, ip: str, port: int) -> socket.socket:
    """A UDP socket of a node, bound, which gives up when its patience ends."""
    family = socket.AF_INET if ip_address(ip).version == 4 else socket.AF_INET6
    with kernel.inside(node):
        made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(PATIENCE)
    made.bind((ip, port))
    return made
