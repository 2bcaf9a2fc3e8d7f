"""How large a packet can be that arrives: `probe_mtu` runs on a node.

Packets that nobody may fragment are sent, ICMP echo requests of all sizes, and what arrives is
known by its answer (RFC 4821 and RFC 8899 5.3: search by probing). Routers that are too narrow
should say so (RFC 1191, RFC 8201); where they do not, larger packets vanish: a black hole.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self, TypeAlias

from patchbay.meter.errors import ask_for_complaints, next_complaint
from patchbay.ping import echo_request, is_reply, keep_replies_only, new_identifier

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
"""What `getaddrinfo` finds."""

LEAST = {socket.AF_INET: 68, socket.AF_INET6: 1280}
"""Bytes that every link has to carry (RFC 791, RFC 8200 5)."""
_HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}
"""Bytes of an echo request that are not payload."""
_MOST = 65535
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG, _PROBE = 10, 23, 62, 3


@dataclass(frozen=True, slots=True)
class NarrowLink:
    """A router's word that the link behind it is too narrow.

    Attributes:
        router: who said so; None for the node itself.
        mtu: bytes of the largest packet that the link carries.
    """

    router: IPv4Address | IPv6Address | None
    mtu: int


@dataclass(frozen=True, slots=True)
class PathMtu:
    """How large packets to a target can be. True if any came back.

    Attributes:
        target: the address that was asked.
        mtu: bytes of the largest IP packet that arrived whole; None if none did.
        told: what routers said of narrow links, in the order of their complaints.
        black_hole: whether larger packets vanish without a word, so that hosts which rely on
            being told would hang.
    """

    target: str
    mtu: int | None
    told: tuple[NarrowLink, ...] = ()
    black_hole: bool = False

    def __bool__(self) -> bool:
        return self.mtu is not None


def probe_mtu(target: str, timeout: float, tries: int) -> PathMtu:
    """Probe the way to a target from this process's network; see `LabNode.probe_mtu`."""
    family, _, _, _, address = socket.getaddrinfo(target, None, type=socket.SOCK_DGRAM)[0]
    with _Prober(family, address, timeout, tries) as prober:
        return prober.search()


class _Prober:
    """Sends echo requests of given sizes and waits for what becomes of them."""

    def __init__(
        self, family: socket.AddressFamily, address: Address, timeout: float, tries: int
    ) -> None:
        self._family = family
        self._address = address
        self._timeout = timeout
        self._tries = tries
        self._identifier = new_identifier()
        self._number = 0
        self._told: list[NarrowLink] = []
        ipv4 = family == socket.AF_INET
        protocol = socket.IPPROTO_ICMP if ipv4 else socket.IPPROTO_ICMPV6
        self._socket = socket.socket(family, socket.SOCK_RAW, protocol)
        if ipv4:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
        else:
            self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
            self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
            keep_replies_only(self._socket)
        ask_for_complaints(self._socket)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def search(self) -> PathMtu:
        """Narrow the sizes down between one that arrives and one that does not."""
        target = str(self._address[0])
        low, high = LEAST[self._family], _MOST + 1
        if self._carried(low) < low:
            return PathMtu(target, None, tuple(self._told))
        while high - low > 1:
            told = self._told[-1].mtu if self._told else 0
            size = told if low < told < high else (low + high) // 2
            carried = self._carried(size)
            if carried == size:
                low = size
            else:
                high = max(carried, low) + 1
        said = low == _MOST or any(link.mtu == low for link in self._told)
        return PathMtu(target, low, tuple(self._told), not said)

    def _carried(self, size: int) -> int:
        """A size, if a packet of it comes back; else the largest that may."""
        for _ in range(self._tries):
            carried = self._try(size)
            if carried is not None:
                return carried
        return size - 1

    def _try(self, size: int) -> int | None:
        """The size if the packet comes back; an MTU if that is told; None if it vanishes."""
        self._number += 1
        wanted = self._identifier, self._number & 0xFFFF
        deadline = time.monotonic() + self._timeout
        request = echo_request(self._family, *wanted, size - _HEADERS[self._family])
        try:
            self._socket.sendto(request, self._address)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                return None
        while True:
            while (complaint := next_complaint(self._socket)) is not None:
                if complaint.router is not None and complaint.packet[4:8] != request[4:8]:
                    continue  # about a packet of somebody else
                if complaint.number == errno.EMSGSIZE and 0 < complaint.mtu < size:
                    router = None if complaint.router is None else ip_address(complaint.router)
                    self._note(NarrowLink(router, complaint.mtu))
                    return complaint.mtu
            # What is there when this process wakes up came in time, however late it wakes up.
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return None
            try:
                packet = self._socket.recv(1 << 17, socket.MSG_DONTWAIT)
            except OSError:
                continue  # an error that the queue tells more of
            if is_reply(self._family, packet, wanted):
                return size

    def _note(self, link: NarrowLink) -> None:
        if link not in self._told:
            self._told.append(link)
