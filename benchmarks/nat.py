"""What NAT costs: a router with it beside a plain one, a change of it, and what goes through it."""

import socket
import time
from collections.abc import Callable

from benchmarks.report import Row, in_turn, p50
from patchbay import Device, Lab

KINDS = ("full_cone", "home", "corporate", "cgnat")
BULK = 256 << 20
"""Bytes of a transfer."""


def run() -> list[Row]:
    with Lab("nat") as lab:
        times = in_turn(
            {
                "plain": built(lab, preset="public"),
                "nat and firewall": built(lab, preset="home"),
            },
            rounds=10,
            batch=1,
        )
        with lab.batch():
            server = lab.add_device("server", lab.add_router("dc"))
            home = lab.add_router("home", preset="home")
            plain = lab.add_router("plain")
            hosts = {"plain": lab.add_device("a", plain), "nat": lab.add_device("b", home)}
        changes = []
        for number in range(60):
            began = time.perf_counter()
            home.set_nat(KINDS[number % len(KINDS)])
            changes.append((time.perf_counter() - began) * 1000)
        transfers = {name: transfer(host, server) for name, host in hosts.items()}
        carried = in_turn(transfers, rounds=6, batch=1)
    return [
        Row(
            "a router with NAT and firewall, against a plain one",
            times["nat and firewall"],
            "us",
            times["plain"],
            2.0,
            True,
        ),
        Row("set_nat", p50(changes), "ms", limit=5.0),
        Row(
            "256 MB by TCP through NAT, against plain forwarding",
            carried["nat"],
            "us",
            carried["plain"],
            1.05,
            True,
        ),
    ]


def built(lab: Lab, preset: str) -> Callable[[], object]:
    """Build a router, and remove it."""

    def build() -> None:
        lab.add_router("built", preset=preset)
        lab.remove("built")

    return build


def transfer(client: Device, server: Device) -> Callable[[], object]:
    """Send so much from a client to a socket of a server's, until all of it has arrived."""

    def send() -> None:
        with server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind((str(server.ip), 0))
            listener.listen()
            pouring = client.submit(pour, listener.getsockname())
            arriving, _ = listener.accept()
            with arriving:
                buffer = bytearray(1 << 20)
                while arriving.recv_into(buffer):
                    pass
            pouring.result()

    return send


def pour(target: tuple[str, int]) -> None:
    with socket.create_connection(target) as sock:
        piece = bytes(1 << 20)
        for _ in range(BULK // len(piece)):
            sock.sendall(piece)
