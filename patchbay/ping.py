"""ICMP echo, without the `ping` program: `ping` runs on a node."""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
"""Types of request and reply: RFC 792, RFC 4443 4.1."""

_HEADER = struct.Struct("!BBHHH")

_ICMP6_FILTER = 1
"""Option of a raw ICMPv6 socket: types to be kept from it (RFC 3542 3.2)."""


@dataclass(frozen=True, slots=True)
class PingResult:
    """What came back. True if anything did.

    Attributes:
        target: the address that was asked.
        sent: how many requests left.
        rtts_ms: the round-trip time of each that was answered, in milliseconds.
        error: what the kernel said when a request could not be sent, or was refused.
    """

    target: str
    sent: int
    rtts_ms: tuple[float, ...]
    error: str | None = None

    def __bool__(self) -> bool:
        return bool(self.rtts_ms)

    @property
    def received(self) -> int:
        """How many were answered."""
        return len(self.rtts_ms)

    @property
    def loss_pct(self) -> float:
        """How many were not, in percent."""
        return 100.0 * (self.sent - self.received) / self.sent if self.sent else 0.0

    @property
    def rtt_ms(self) -> float:
        """The mean round-trip time in milliseconds.

        Raises:
            ValueError: nothing came back.
        """
        if not self.rtts_ms:
            raise ValueError(f"no answer from {self.target}: there is no round-trip time")
        return sum(self.rtts_ms) / len(self.rtts_ms)


def ping(target: str, count: int, timeout: float, interval: float, size: int) -> PingResult:
    """Send echo requests from this process's network; see `LabNode.ping`."""
    found = socket.getaddrinfo(target, None, type=socket.SOCK_DGRAM)[0]
    family, address = socket.AddressFamily(found[0]), found[4]
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    rtts: list[float] = []
    error: str | None = None
    with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
        if family == socket.AF_INET6:
            keep_replies_only(sock)
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        identifier = new_identifier()
        for number in range(count):
            if number and interval:
                time.sleep(interval)
            begin = time.monotonic()
            try:
                sock.sendto(echo_request(family, identifier, number, size), address)
                answered = _wait(sock, poll, family, (identifier, number), begin + timeout)
            except OSError as refused:
                error = refused.strerror
                continue
            if answered is not None:
                rtts.append((answered - begin) * 1000)
    return PingResult(str(address[0]), count, tuple(rtts), error)


def new_identifier() -> int:
    """An identifier for echo requests that this process has not used, as long as there are any.

    What has an identifier again is more of an earlier flow to a router, which lets it pass if it
    let that one pass. 0 is none: some take it for a missing one.
    """
    return 1 + next(_numbers()) % 0xFFFF


@cache
def _numbers() -> Iterator[int]:
    """Numbers from a random one on, for each process its own: that of a node is a fork."""
    return itertools.count(int.from_bytes(os.urandom(2), "big"))


def keep_replies_only(sock: socket.socket) -> None:
    """Have a raw ICMPv6 socket receive echo replies, and nothing else."""
    filters = [0xFFFFFFFF] * 8
    filters[129 // 32] &= ~(1 << (129 % 32))
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("8I", *filters))


def echo_request(family: socket.AddressFamily, identifier: int, number: int, size: int) -> bytes:
    """An ICMP echo request with so many bytes of payload."""
    kind = _ECHO[family][0]
    payload = bytes(index & 0xFF for index in range(size))
    checksum = 0
    if family == socket.AF_INET:  # for IPv6 the kernel fills it in (RFC 3542 3.1)
        checksum = _checksum(_HEADER.pack(kind, 0, 0, identifier, number & 0xFFFF) + payload)
    return _HEADER.pack(kind, 0, checksum, identifier, number & 0xFFFF) + payload


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _wait(
    sock: socket.socket,
    poll: select.poll,
    family: socket.AddressFamily,
    wanted: tuple[int, int],
    deadline: float,
) -> float | None:
    """When the reply with this identifier and number came; None if it did not come in time.

    What is there when this process wakes up came in time, however late it wakes up.
    """
    while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        packet = sock.recv(1 << 16)
        now = time.monotonic()
        if is_reply(family, packet, wanted):
            return now
    return None


def is_reply(family: socket.AddressFamily, packet: bytes, wanted: tuple[int, int]) -> bool:
    """Whether what a raw socket received is the reply with this identifier and number."""
    start = (packet[0] & 0x0F) * 4 if family == socket.AF_INET else 0
    if len(packet) < start + _HEADER.size:
        return False
    kind, _, _, identifier, number = _HEADER.unpack_from(packet, start)
    return kind == _ECHO[family][1] and (identifier, number) == (wanted[0], wanted[1] & 0xFFFF)
