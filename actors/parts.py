"""Messages between a client and an actor on zmq sockets: the shell around `protocol`.

A message is a header with the first frame of its payload right behind it, so that a short one is
a single part; further frames are parts of their own, which are not copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import zmq

from actors.pickling import Frame
from actors.protocol import HEADER_SIZE, Kind, header, read_header

_MORE = int(zmq.SNDMORE)
_READABLE = int(zmq.POLLIN)
_EVENTS = zmq.EVENTS


def send(
    socket: zmq.Socket[bytes],
    kind: Kind,
    request: int,
    frames: Sequence[Frame] = (),
    to: bytes | None = None,
) -> None:
    """Send a message; the memory of its frames must not change before it is gone.

    Args:
        socket: any that does not block: without a high-water mark.
        kind: what the message is.
        request: the number of the request that it belongs to.
        frames: the payload.
        to: for a ROUTER, the identity of the receiver.
    """
    if to is not None:
        socket.send(to, _MORE)
    last = len(frames) - 1
    first = b"".join((header(kind, request), *frames[:1]))
    socket.send(first, _MORE if last > 0 else 0)
    for i in range(1, len(frames)):
        socket.send(frames[i], _MORE if i < last else 0, copy=False)


def receive(socket: zmq.Socket[bytes]) -> tuple[Kind, int, list[memoryview]]:
    """Receive a message that is there: its kind, the number of its request, and its payload."""
    part = socket.recv(copy=False)
    first = part.buffer
    frames = [first[HEADER_SIZE:]]
    while part.more:
        part = socket.recv(copy=False)
        frames.append(part.buffer)
    kind, request = read_header(first[:HEADER_SIZE])
    return kind, request, frames


def readable(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message is there.

    To be asked after every use of the socket and before every wait for its descriptor, which
    becomes readable when something changes, and not while something is there.
    """
    events = socket.getsockopt(_EVENTS)
    assert isinstance(events, int)
    return bool(events & _READABLE)
