"""A packet socket on an end of a cable that nobody else listens to."""

from __future__ import annotations

import socket
import struct
import time

from patchbay.links.packets.frame import HEADER, Frame
from patchbay.links.packets.segments import count
from patchbay.links.userspace.many import AT_ONCE, Messages
from patchbay.links.userspace.slab import CAPACITY, Slab

_SOL_PACKET = 263
_PACKET_STATISTICS, _PACKET_VNET_HDR, _PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 6, 15, 20, 23
_SO_TIMESTAMPNS = 35
_EVERY_PROTOCOL = 3
"""ETH_P_ALL"""
_RECEIVE_BUFFER = 8 << 20
"""Bytes; the kernel grants as many as `net.core.rmem_max` says."""
_CAPACITIES = [CAPACITY] * AT_ONCE
_GROUP = 1
"""The bit in the first byte of a hardware address that says: a group, or everybody."""
_STATISTICS = struct.Struct("=II")
_TIME = struct.Struct("=qq")


def open_port(interface: str) -> socket.socket:
    """A socket that gets all frames which arrive at an interface of this network namespace.

    Checksums that senders leave to the hardware stay so: a header before each frame says where
    they go (PACKET_VNET_HDR). What is sent by it passes no queue of the kernel.

    Raises:
        OSError: there is no such interface.
    """
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        for option in (_PACKET_VNET_HDR, _PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING):
            made.setsockopt(_SOL_PACKET, option, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        made.bind((interface, _EVERY_PROTOCOL))
    except OSError:
        made.close()
        raise
    return made


def stamp_arrivals() -> socket.socket:
    """Have the kernel note when packets arrive; from shortly after on, until this is closed.

    It does so while any socket wants it, but takes a moment to begin.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return made


class Port:
    """One end: frames that arrive there, and frames that leave there.

    Attributes:
        refused: frames that the kernel did not take, as the interface was down or busy.
    """

    def __init__(self, descriptor: int, messages: Messages) -> None:
        """Take over a descriptor of `open_port`.

        Args:
            descriptor: of the socket.
            messages: places for packets in system calls, which ports share.
        """
        self.refused = 0
        self._socket = socket.socket(fileno=descriptor)
        self._descriptor = descriptor
        self._messages = messages
        self._missed = 0

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._descriptor

    def receive(self, slab: Slab) -> list[Frame]:
        """The frames that have arrived, at most `AT_ONCE`.

        Raises:
            OSError: the interface is gone, or down.
        """
        frames = slab.take(AT_ONCE)
        got: list[int] = []
        try:
            self._messages.point_to([frame.place for frame in frames], _CAPACITIES)
            got = self._messages.receive(self._descriptor, AT_ONCE)
        finally:
            if len(got) < AT_ONCE:
                slab.release_all(frames[len(got) :])
                del frames[len(got) :]
        for frame, size in zip(frames, got, strict=True):
            frame.size = size - HEADER
        return frames

    def send(self, frames: list[Frame]) -> list[Frame]:
        """Let frames leave; return those that the kernel did not take."""
        refused: list[Frame] = []
        for first in range(0, len(frames), AT_ONCE):
            batch = frames[first : first + AT_ONCE]
            self._messages.point_to(
                [frame.place for frame in batch], [frame.size + HEADER for frame in batch]
            )
            done = 0
            while done < len(batch):
                sent = self._messages.send(self._descriptor, done, len(batch) - done)
                if sent == 0:  # this one is lost: the interface is down, or its other end busy
                    self.refused += count(batch[done])
                    refused.append(batch[done])
                    sent = 1
                done += sent
        return refused

    def queue(self) -> None:
        """Have frames pass the interface's own queueing disciplines when they leave."""
        self._socket.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 0)

    def skip(self, moment: int, slab: Slab, *, groups: bool) -> list[Frame]:
        """Forget what arrived before a moment, in nanoseconds of CLOCK_REALTIME.

        Args:
            moment: the moment.
            slab: where frames come from.
            groups: whether only frames for everybody, or a group, are forgotten.

        Returns:
            The frames up to the first one that arrived later; none later than that.
        """
        kept: list[Frame] = []
        while (arrived := self._next(slab)) is not None:
            frame, time = arrived
            if time >= moment:
                return [*kept, frame]
            if groups and not frame.buffer[HEADER] & _GROUP:
                kept.append(frame)
            else:
                slab.release(frame)
        return kept

    def until(self, moment: int, slab: Slab) -> list[Frame]:
        """The frames that arrived before a moment; the first one after it is forgotten."""
        frames = []
        while (arrived := self._next(slab)) is not None:
            frame, time = arrived
            if time >= moment:
                slab.release(frame)
                break
            frames.append(frame)
        return frames

    def _next(self, slab: Slab) -> tuple[Frame, int] | None:
        """The next frame and when it arrived; None if there is none."""
        (frame,) = slab.take(1)
        try:
            size, ancillary, _, _ = self._socket.recvmsg_into(
                [frame.buffer], socket.CMSG_SPACE(_TIME.size)
            )
        except OSError:  # nothing is there, or the interface is gone
            slab.release(frame)
            return None
        frame.size = size - HEADER
        return frame, _arrival(ancillary)

    @property
    def missed(self) -> int:
        """Frames that were lost since the socket was made, as nobody took them in time."""
        told = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
        self._missed += _STATISTICS.unpack(told)[1]
        return self._missed

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIME.unpack_from(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return time.time_ns()
