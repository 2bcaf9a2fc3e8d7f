"""What a STUN server answers: pure, from a datagram to the datagram that goes back.

A server has two addresses with two ports each (RFC 5780 6), which `Position` tells apart. It
answers old clients (RFC 3489) in their own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from patchbay.stun import attributes as values
from patchbay.stun.attributes import Endpoint
from patchbay.stun.message import Attribute, Kind, MalformedMessage, Message, Method, decode, encode

SOFTWARE = "patchbay"
_PADDING = 1500
"""Bytes: as many as make every packet on an Ethernet be sent in fragments (RFC 5780 7.6)."""
_UNDERSTOOD = {
    Attribute.CHANGE_REQUEST,
    Attribute.RESPONSE_PORT,
    Attribute.PADDING,
    # Nobody is asked who he is, so that what clients say about it does not matter.
    Attribute.USERNAME,
    Attribute.MESSAGE_INTEGRITY,
    Attribute.REALM,
    Attribute.NONCE,
}


class Position(NamedTuple):
    """One of a server's four sockets."""

    second_address: bool
    second_port: bool

    def moved(self, *, address: bool, port: bool) -> Position:
        """The socket with the other address, the other port, or both."""
        return Position(self.second_address != address, self.second_port != port)


class Answer(NamedTuple):
    """A datagram to be sent."""

    position: Position
    target: Endpoint
    data: bytes


def answer(
    data: bytes, source: Endpoint, position: Position, endpoints: Mapping[Position, Endpoint]
) -> Answer | None:
    """What is answered to a datagram; None for one that deserves no answer.

    Args:
        data: the datagram.
        source: who sent it.
        position: the socket that it came to.
        endpoints: what the server's sockets are bound to.
    """
    try:
        request = decode(data)
        if request.kind is not Kind.REQUEST or request.method != Method.BINDING:
            return None
        return _answer(request, source, position, endpoints)
    except MalformedMessage:
        return None


def _answer(
    request: Message, source: Endpoint, position: Position, endpoints: Mapping[Position, Endpoint]
) -> Answer:
    unknown = [kind for kind, _ in request.attributes if kind < 0x8000 and kind not in _UNDERSTOOD]
    if unknown and request.modern:
        named = (Attribute.UNKNOWN_ATTRIBUTES, values.types_value(unknown))
        return _refusal(request, source, position, 420, "Unknown Attribute", named)
    change = request.get(Attribute.CHANGE_REQUEST)
    address, port = (False, False) if change is None else values.read_change(change)
    if change is not None and len(endpoints) < len(_SIDES) ** 2:
        return _refusal(
            request,
            source,
            position,
            420,
            "Unknown Attribute",
            (Attribute.UNKNOWN_ATTRIBUTES, values.types_value([Attribute.CHANGE_REQUEST])),
        )
    response_port = request.get(Attribute.RESPONSE_PORT)
    padded = request.get(Attribute.PADDING) is not None
    if padded and response_port is not None:
        return _refusal(request, source, position, 400, "Padding goes to nobody else's port")
    origin = position.moved(address=address, port=port)
    other = position.moved(address=True, port=True)
    told: list[tuple[int, bytes]] = [(Attribute.MAPPED_ADDRESS, values.address_value(source))]
    words = (
        (Attribute.RESPONSE_ORIGIN, Attribute.OTHER_ADDRESS)
        if request.modern
        else (Attribute.SOURCE_ADDRESS, Attribute.CHANGED_ADDRESS)
    )
    if request.modern:
        hidden = values.xor_address_value(source, request.transaction)
        told.insert(0, (Attribute.XOR_MAPPED_ADDRESS, hidden))
    told.append((words[0], values.address_value(endpoints[origin])))
    if other in endpoints:
        told.append((words[1], values.address_value(endpoints[other])))
    if request.modern:
        told.append((Attribute.SOFTWARE, SOFTWARE.encode()))
    if padded:
        told.append((Attribute.PADDING, bytes(_PADDING)))
    target = source
    if response_port is not None:
        target = Endpoint(source.ip, values.read_port(response_port))
    message = Message(Kind.SUCCESS, request.transaction, tuple(told))
    return Answer(origin, target, encode(message, fingerprint=request.modern))


_SIDES = (False, True)


def _refusal(
    request: Message,
    source: Endpoint,
    position: Position,
    code: int,
    reason: str,
    *more: tuple[int, bytes],
) -> Answer:
    told = ((Attribute.ERROR_CODE, values.error_value(code, reason)), *more)
    message = Message(Kind.ERROR, request.transaction, told)
    return Answer(position, source, encode(message, fingerprint=request.modern))
