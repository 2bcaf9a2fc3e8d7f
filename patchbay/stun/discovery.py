"""What is between a host and the world, found out as RFC 5780 does: runs on a node.

That no answer comes is told from an answer that is still on its way by asking something else right
after, whose answer always comes: what comes behind it in the same socket's queue is waited for a
moment only. So a busy machine makes nobody wait for less.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from patchbay.stun import attributes as values
from patchbay.stun.attributes import Endpoint, endpoint_of
from patchbay.stun.message import (
    COOKIE,
    Attribute,
    Kind,
    MalformedMessage,
    Message,
    decode,
    encode,
)
from patchbay.values import NatFiltering, NatMapping

RETRY = 0.5
"""Seconds before a request is sent again; twice as long each time, up to 16 times (RFC 8489 6.2.1)."""
MOMENT = 0.05
"""Seconds to wait for what should have come already."""
TIMES = 8
"""How many idle times are tried to find a lifetime."""

_Attributes = Sequence[tuple[int, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NatBehaviour:
    """What is between a host and a STUN server: a NAT, a firewall, or nothing.

    Attributes:
        local: the endpoint that the host sent from.
        mapped: the endpoint that the server saw.
        mapping: when the NAT uses an outside port again; None if the server has one address only.
        filtering: who may send to it; None if the server cannot answer from elsewhere.
        hairpin: whether hosts inside reach each other by their outside endpoints.
        port_preservation: whether every outside port was the inside one.
        lifetime: seconds after which an idle mapping was still there, the longest that was found;
            the longest that was asked for if it lives at least so long, and None if nobody asked.
    """

    local: Endpoint
    mapped: Endpoint
    mapping: NatMapping | None
    filtering: NatFiltering | None
    hairpin: bool
    port_preservation: bool
    lifetime: float | None

    @property
    def translated(self) -> bool:
        """Whether there is a NAT at all."""
        return self.local != self.mapped

    @property
    def classic(self) -> str:
        """What RFC 3489 called it, such as `full cone`; RFC 5780 says more, and is right."""
        if self.mapping is None or self.filtering is None:
            return "unknown"
        if not self.translated:
            is_open = self.filtering is NatFiltering.ENDPOINT_INDEPENDENT
            return "open internet" if is_open else "symmetric firewall"
        if self.mapping is not NatMapping.ENDPOINT_INDEPENDENT:
            return "symmetric"
        return _CONES[self.filtering]


_CONES = {
    NatFiltering.ENDPOINT_INDEPENDENT: "full cone",
    NatFiltering.ADDRESS_DEPENDENT: "restricted cone",
    NatFiltering.ADDRESS_AND_PORT_DEPENDENT: "port-restricted cone",
}


def discover(
    host: str, port: int, source_port: int, longest_lifetime: float | None, tries: int
) -> NatBehaviour:
    """Find out what is between this process's network and a server.

    Args:
        host: the server's first address.
        port: its first port.
        source_port: the port of the first socket; 0 for any.
        longest_lifetime: seconds that an idle mapping is waited for; None not to measure that.
        tries: how often to ask for what must be answered.

    Raises:
        TimeoutError: the server does not answer.
    """
    server = Endpoint(ip_address(host), port)
    with contextlib.ExitStack() as opened:

        def client(from_port: int = 0) -> _Client:
            return opened.enter_context(_client(server, from_port, tries))

        # Other sockets than the first: it will have sent to all of the server's endpoints.
        first, second, third = client(source_port), client(), client()
        seen = first.ask(server)
        mapping = _mapping(first, server, seen)
        filtering = _filtering(second, server)
        hairpin = _hairpin(second, third, server)
        preserved = all(each.mapped(server).port == each.local.port for each in (first, second))
        lifetime = None
        if longest_lifetime is not None:
            idle = [client() for _ in range(TIMES)]
            lifetime = _lifetime(third, idle, server, longest_lifetime)
        return NatBehaviour(
            local=first.local,
            mapped=_mapped(seen),
            mapping=mapping,
            filtering=filtering,
            hairpin=hairpin,
            port_preservation=preserved,
            lifetime=lifetime,
        )


def _mapping(client: _Client, server: Endpoint, seen: Message) -> NatMapping | None:
    """Tests I to III of RFC 5780 4.3."""
    other = _other(seen)
    if other is None:
        return None
    first = _mapped(seen)
    second = client.mapped(Endpoint(other.ip, server.port))
    if second == first:
        return NatMapping.ENDPOINT_INDEPENDENT
    third = client.mapped(other)
    if third == second:
        return NatMapping.ADDRESS_DEPENDENT
    return NatMapping.ADDRESS_AND_PORT_DEPENDENT


def _filtering(client: _Client, server: Endpoint) -> NatFiltering | None:
    """Tests I to III of RFC 5780 4.4, from a socket that has sent to nothing but the server."""
    if _other(client.ask(server)) is None:
        return None
    if client.is_answered(server, address=True, port=True):
        return NatFiltering.ENDPOINT_INDEPENDENT
    if client.is_answered(server, address=False, port=True):
        return NatFiltering.ADDRESS_DEPENDENT
    return NatFiltering.ADDRESS_AND_PORT_DEPENDENT


def _hairpin(one: _Client, other: _Client, server: Endpoint) -> bool:
    """Whether one reaches the other by what the server saw of it (RFC 5780 4.5)."""
    target = other.mapped(server)
    for _ in range(one.tries):
        transaction = one.send(target)
        other.ask(server)
        if other.has_come(transaction):
            return True
    return False


def _lifetime(asker: _Client, idle: Sequence[_Client], server: Endpoint, longest: float) -> float:
    """How long mappings live that nobody uses (RFC 5780 4.6): each socket is tried once."""
    mappings = [(client, client.mapped(server).port, time.monotonic()) for client in idle]
    lived = 0.0
    for number, (client, port, begin) in enumerate(mappings, 1):
        idled = longest * number / len(idle)
        asker.wait(begin + idled)
        if not asker.reaches(client, port, server):
            break
        lived = idled
    return lived


def _mapped(answer: Message) -> Endpoint:
    hidden = answer.get(Attribute.XOR_MAPPED_ADDRESS)
    if hidden is not None:
        return values.read_xor_address(hidden, answer.transaction)
    plain = answer.get(Attribute.MAPPED_ADDRESS)
    if plain is None:
        raise MalformedMessage("the answer does not say from where the server was asked")
    return values.read_address(plain)


def _other(answer: Message) -> Endpoint | None:
    value = answer.get(Attribute.OTHER_ADDRESS) or answer.get(Attribute.CHANGED_ADDRESS)
    return None if value is None else values.read_address(value)


@contextlib.contextmanager
def _client(server: Endpoint, port: int, tries: int) -> Iterator[_Client]:
    family = socket.AF_INET if server.ip.version == 4 else socket.AF_INET6
    with (
        socket.socket(family, socket.SOCK_DGRAM) as sock,
        socket.socket(family, socket.SOCK_DGRAM) as way,
    ):
        way.connect((str(server.ip), server.port))
        sock.bind((way.getsockname()[0], port))
        yield _Client(sock, tries)


class _Client:
    """One socket that asks, and what has come to it."""

    def __init__(self, sock: socket.socket, tries: int) -> None:
        self._socket = sock
        self._come: dict[bytes, Message] = {}
        self.tries = tries
        self.local = endpoint_of(sock.getsockname())

    def ask(self, target: Endpoint, *attributes: tuple[int, bytes]) -> Message:
        """What is answered."""
        transactions = set()
        for times in range(self.tries):
            transactions.add(self.send(target, attributes))
            deadline = time.monotonic() + RETRY * min(2**times, 16)
            while not (known := transactions & self._come.keys()):
                if not self._receive(deadline):
                    break
            if known:
                return self._come[known.pop()]
        raise TimeoutError(f"the STUN server at {target} does not answer")

    def mapped(self, target: Endpoint) -> Endpoint:
        """What a server sees of this socket."""
        return _mapped(self.ask(target))

    def is_answered(self, target: Endpoint, *, address: bool, port: bool) -> bool:
        """Whether an answer comes in from the server's other address, or port, or both."""
        change = (Attribute.CHANGE_REQUEST, values.change_value(address=address, port=port))
        for _ in range(self.tries):
            transaction = self.send(target, [change])
            self.ask(target)
            if self.has_come(transaction):
                return True
        return False

    def reaches(self, other: _Client, port: int, server: Endpoint) -> bool:
        """Whether an answer that is sent to another socket's outside port gets there."""
        elsewhere = (Attribute.RESPONSE_PORT, values.port_value(port))
        for _ in range(self.tries):
            transaction = self.send(server, [elsewhere])
            self.ask(server)
            if other.has_come(transaction):
                return True
        return False

    def send(self, target: Endpoint, attributes: _Attributes = ()) -> bytes:
        """Send a request, and return its transaction."""
        transaction = COOKIE.to_bytes(4, "big") + os.urandom(12)
        request = Message(Kind.REQUEST, transaction, tuple(attributes))
        with contextlib.suppress(OSError):  # an ICMP error about what was sent before
            self._socket.sendto(encode(request, fingerprint=True), (str(target.ip), target.port))
        return transaction

    def has_come(self, transaction: bytes) -> bool:
        """Whether a message is here, or comes in a moment."""
        deadline = time.monotonic() + MOMENT
        while transaction not in self._come:
            if not self._receive(deadline):
                return False
        return True

    def wait(self, moment: float) -> None:
        """Wait until a moment, and take in what comes."""
        while self._receive(moment):
            pass

    def _receive(self, deadline: float) -> bool:
        """Wait for a datagram; False if the deadline has come."""
        left = max(0.0, deadline - time.monotonic())
        if not select.select([self._socket], [], [], left)[0]:
            return False
        with contextlib.suppress(OSError, MalformedMessage):  # ICMP errors, and noise
            message = decode(self._socket.recv(1 << 16))
            self._come[message.transaction] = message
        return True
