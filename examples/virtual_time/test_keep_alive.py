"""Two laptops behind home NATs punch a hole to each other, and hold it open for a day.

pytest examples/virtual_time

The NATs forget a UDP flow when nothing has passed for 300 s, and a new one, that has not talked
both ways for two seconds yet, after 30 s.
"""

import socket
from dataclasses import dataclass

import pytest

from patchbay import Device, Lab, Observed

PORT = 7000
EVERY = 25  # seconds, as WireGuard's PersistentKeepalive


@dataclass
class Peer:
    """A laptop's socket, and where the world sees it."""

    socket: socket.socket
    seen: Observed

    def send(self, text: bytes, other: "Peer") -> None:
        self.socket.sendto(text, (str(other.seen.ip), other.seen.port))

    def heard(self) -> list[bytes]:
        """What has come, in order; waits a tenth of a second for more."""
        found = []
        try:
            while True:
                found.append(self.socket.recv(100))
        except TimeoutError:
            return found


def peer(laptop: Device, server: Device) -> Peer:
    with server.reflector("udp") as reflector:
        seen = reflector.observe(laptop, source_port=PORT)
    sock = laptop.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", PORT))
    sock.settimeout(0.1)
    return Peer(sock, seen)


@pytest.fixture
def peers(lab: Lab):
    server = lab.add_device("server", lab.add_router("dc", preset="public"))
    laptops = [
        lab.add_device(f"{name}-laptop", lab.add_router(name, preset="home"))
        for name in ("anna", "ben")
    ]
    anna, ben = (peer(laptop, server) for laptop in laptops)
    anna.send(b"first", ben)  # opens anna's NAT, and is lost at ben's
    ben.send(b"second", anna)
    assert (anna.heard(), ben.heard()) == ([b"second"], [])
    lab.advance(3)
    anna.send(b"third", ben)
    ben.send(b"fourth", anna)
    assert (anna.heard(), ben.heard()) == ([b"fourth"], [b"third"])
    yield anna, ben
    anna.socket.close()
    ben.socket.close()


def test_a_keep_alive_holds_the_hole_open_for_a_day(lab: Lab, peers: tuple[Peer, Peer]):
    anna, ben = peers
    for _ in range(24 * 3600 // EVERY):
        lab.advance(EVERY)
        anna.send(b"still here", ben)
        assert ben.heard() == [b"still here"]

    ben.send(b"how are you?", anna)  # although ben was silent all day
    assert anna.heard() == [b"how are you?"]


@pytest.mark.parametrize(("silence", "heard"), [(290, [b"hello"]), (310, [])])
def test_without_it_the_nat_closes_the_hole(
    lab: Lab, peers: tuple[Peer, Peer], silence: int, heard: list[bytes]
):
    anna, ben = peers
    lab.advance(silence)
    anna.send(b"hello", ben)
    assert ben.heard() == heard
