"""What routers answer to a packet that cannot go on: ICMP errors, as the kernel hands them over.

A socket with IP_RECVERR has a queue of the errors that its packets met, with the address of who
complained (ip(7), ipv6(7)).
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

_IP_RECVERR, _IPV6_RECVERR = 11, 25
_LOCAL = 1
_EXTENDED = struct.Struct("=IBBBxII")
"""`struct sock_extended_err`: error number, origin, type, code, info, data."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """An ICMP error.

    Attributes:
        router: who sent it; None for this host's own kernel.
        number: the error number that it stands for, such as `EHOSTUNREACH`.
        mtu: with `EMSGSIZE`, the MTU that the router told; else 0.
        packet: what of our packet came back with it.
    """

    router: str | None
    number: int
    mtu: int
    packet: bytes

    @property
    def expired(self) -> bool:
        """Whether the packet had crossed as many routers as it was allowed to."""
        return self.number == errno.EHOSTUNREACH


def ask_for_complaints(sock: socket.socket) -> None:
    """Have a socket keep the errors that its packets meet."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)


def next_complaint(sock: socket.socket) -> Complaint | None:
    """The next error that a socket has kept; None if there is none."""
    flags = socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT
    try:
        packet, ancillary, _, _ = sock.recvmsg(1 << 16, 512, flags)
    except BlockingIOError:
        return None
    for _, kind, data in ancillary:
        if kind in (_IP_RECVERR, _IPV6_RECVERR):
            number, origin, _, _, info, _ = _EXTENDED.unpack_from(data)
            router = None if origin == _LOCAL else _offender(data[_EXTENDED.size :])
            return Complaint(router, number, info if number == errno.EMSGSIZE else 0, packet)
    return None


def _offender(address: bytes) -> str | None:
    """The address in a `struct sockaddr_in` or `sockaddr_in6`."""
    family = int(struct.unpack_from("=H", address)[0]) if len(address) >= 2 else 0
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    if family == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, address[8:24])
    return None
