"""DHCP (RFC 2131) as far as leases go: a server, and a client that renews what it has got.

The messages are real ones, over UDP ports 67 and 68. The client keeps a diary of its leases; it
does not put the address on its interface.
"""

import socket
import struct
import time
from ipaddress import IPv4Address

SERVER_PORT, CLIENT_PORT = 67, 68
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
COOKIE = b"\x63\x82\x53\x63"
HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")  # RFC 2131, figure 1
REQUESTED, LEASE_TIME, KIND, SERVER = 50, 51, 53, 54  # options of RFC 2132


def encode(op: int, number: int, mac: bytes, yours: bytes, options: dict[int, bytes]) -> bytes:
    header = HEADER.pack(
        *(op, 1, 6, 0, number, 0, 0),
        *(bytes(4), yours, bytes(4), bytes(4), mac.ljust(16, b"\0"), bytes(64), bytes(128)),
    )
    body = b"".join(bytes([kind, len(value)]) + value for kind, value in options.items())
    return header + COOKIE + body + b"\xff"


def decode(data: bytes) -> tuple[int, bytes, bytes, dict[int, bytes]]:
    """Number, hardware address, the address that is offered, and the options."""
    fields = HEADER.unpack_from(data)
    options, rest = {}, data[HEADER.size + len(COOKIE) :]
    while rest[:1] not in (b"", b"\xff"):
        options[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    return fields[4], fields[11][:6], fields[8], options


def serve(interface: str, own: str, first: str, lease: int) -> None:
    """Lease addresses from the first one on, until somebody cancels."""
    leases: dict[bytes, tuple[bytes, float]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("", SERVER_PORT))
        while True:
            number, mac, _, options = decode(sock.recv(1500))
            if mac not in leases:
                leases[mac] = ((IPv4Address(first) + len(leases)).packed, 0)
            address, _ = leases[mac]
            known = options.get(REQUESTED, address) == address
            kind = OFFER if options[KIND][0] == DISCOVER else ACK if known else NAK
            if kind == ACK:
                leases[mac] = (address, time.monotonic() + lease)
            told = {KIND: bytes([kind]), SERVER: IPv4Address(own).packed}
            told[LEASE_TIME] = struct.pack("!I", lease)
            reply = encode(2, number, mac, address, told)
            sock.sendto(reply, ("255.255.255.255", CLIENT_PORT))


class Client:
    """Holds a lease: renews it at half of its time, asks anyone at 7/8, begins anew when it ends."""

    def __init__(self, interface: str, mac: str) -> None:
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.number = 0
        self.diary: list[tuple[int, str]] = []
        self.begun = time.monotonic()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.sock.bind(("", CLIENT_PORT))
        self.sock.settimeout(4)  # RFC 2131, 4.1

    def run(self, seconds: float) -> list[tuple[int, str]]:
        """Hold a lease for that long; the diary: at which hour what happened."""
        until = self.begun + seconds
        while time.monotonic() < until:
            if (got := self.acquire()) is None:
                time.sleep(60)
                continue
            address, lease = got
            self.note(f"got {IPv4Address(address)}")
            self.hold(address, lease, until)
        return self.diary

    def acquire(self) -> tuple[bytes, int] | None:
        offer = self.ask({KIND: bytes([DISCOVER])}, OFFER)
        return offer and self.request(offer[0])

    def hold(self, address: bytes, lease: int, until: float) -> None:
        """Keep a lease until it ends, or until there is no need any more."""
        since = time.monotonic()
        while time.monotonic() < until:
            for share in (0.5, 0.875):  # T1 and T2
                time.sleep(max(0.0, since + share * lease - time.monotonic()))
                asked = time.monotonic()
                if self.request(address):
                    since = asked
                    self.note("renewed")
                    break
            else:
                time.sleep(max(0.0, since + lease - time.monotonic()))
                self.note("lost")
                return

    def request(self, address: bytes) -> tuple[bytes, int] | None:
        return self.ask({KIND: bytes([REQUEST]), REQUESTED: address}, ACK)

    def ask(self, options: dict[int, bytes], wanted: int) -> tuple[bytes, int] | None:
        """Send a message, twice if need be; the address and the lease time of the answer."""
        for _ in range(2):
            self.number += 1
            message = encode(1, self.number, self.mac, bytes(4), options)
            self.sock.sendto(message, ("255.255.255.255", SERVER_PORT))
            try:
                number, mac, yours, told = decode(self.sock.recv(1500))
            except TimeoutError:
                continue
            if (number, mac, told[KIND][0]) == (self.number, self.mac, wanted):
                return yours, struct.unpack("!I", told[LEASE_TIME])[0]
        return None

    def note(self, what: str) -> None:
        self.diary.append((round((time.monotonic() - self.begun) / 3600), what))
