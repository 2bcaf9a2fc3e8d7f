"""Super-packets of TCP (GSO): cut into the segments that a wire carries, and put together again.

What meets a condition are segments: each counts, gets lost, and takes its time for itself. But few
conditions look into one, so a segment stays where it came in until somebody does, and neighbours
that leave together leave as one super-packet again, as the network card of a receiver puts them
together (GRO). What a packet costs is mostly not its bytes: of 44 segments in one it is about that
of one.
"""

from __future__ import annotations

import struct

from patchbay.links.packets.frame import ETHERNET, HEADER, NEEDS_CHECKSUM, OFFERED, Frame, Pool

_IPV4, _IPV6 = 0x0800, 0x86DD
_TYPES = {1: _IPV4, 4: _IPV6}
"""VIRTIO_NET_HDR_GSO_TCPV4 and _TCPV6, and what the frames are."""
_NETWORK = HEADER + ETHERNET
_IPV6_HEADER = 40
_PORTS_AND_NUMBERS = 20
"""Bytes of the least TCP header."""
_NUMBER, _OFFSET, _FLAGS, _CHECKSUM = 4, 12, 13, 16
"""Where a TCP header has them (RFC 9293, 3.1)."""
_FIN_PSH = 0b1001
"""What the last segment of a super-packet alone says."""
_CWR = 0b1000_0000
"""What its first segment alone says."""
_WORD, _LONG = struct.Struct("!H"), struct.Struct("!I")


class _Whole:
    """A super-packet, while not all of its segments have left or are lost."""

    __slots__ = ("count", "frame", "head", "left", "pool", "size")

    def __init__(self, frame: Frame, pool: Pool, head: int, size: int) -> None:
        self.frame = frame
        self.pool = pool
        self.head = head
        """Bytes of the kernel's header and all headers of the frame."""
        self.size = size
        """Bytes of payload of each segment but the last."""
        self.count = -(-(HEADER + frame.size - head) // size)
        self.left = self.count

    def length(self, first: int, after: int) -> int:
        """Bytes of a frame of some of its segments."""
        payload = HEADER + self.frame.size - self.head
        return self.head - HEADER + min(payload, after * self.size) - first * self.size

    def part(self, first: int, after: int) -> Frame:
        """A frame of some segments that lie beside each other, which are its own from now on."""
        if after - first == self.count:
            self.left = 0
            return self.frame
        made = self.pool.blank(self.length(first, after))
        self._write(made, first, after)
        self.give_up(after - first)
        return made

    def give_up(self, count: int) -> None:
        """Need some segments no more."""
        self.left -= count
        if not self.left:
            self.pool.release(self.frame)

    def _write(self, made: Frame, first: int, after: int) -> None:
        source, target, head = self.frame.buffer, made.buffer, self.head
        end = HEADER + made.size
        start = head + first * self.size
        target[:head] = source[:head]
        target[head:end] = source[start : start + end - head]
        flags, kind, _, _, checksum_start, checksum_at = OFFERED.unpack_from(source)
        several = after - first > 1
        OFFERED.pack_into(
            target,
            0,
            flags,
            kind if several else 0,
            head - HEADER,
            self.size if several else 0,
            checksum_start,
            checksum_at,
        )
        if kind == 1:
            _amend_ipv4(target, end - _NETWORK, first)
        else:
            _WORD.pack_into(target, _NETWORK + 4, end - _NETWORK - _IPV6_HEADER)
        transport = HEADER + checksum_start
        (number,) = _LONG.unpack_from(source, transport + _NUMBER)
        _LONG.pack_into(target, transport + _NUMBER, (number + first * self.size) & 0xFFFF_FFFF)
        if first:
            target[transport + _FLAGS] &= ~_CWR & 0xFF
        if after < self.count:
            target[transport + _FLAGS] &= ~_FIN_PSH & 0xFF
        # The field holds the sum of the pseudo header, of which the length is a part.
        (before,) = _WORD.unpack_from(source, transport + _CHECKSUM)
        more = made.size - self.frame.size
        _WORD.pack_into(target, transport + _CHECKSUM, _folded(before, more))


def _amend_ipv4(buffer: memoryview, length: int, more: int) -> None:
    """Write the total length of a packet, and add something to its identification (RFC 1624)."""
    total, number = _WORD.unpack_from(buffer, _NETWORK + 2)[0], _identification(buffer)
    renumbered = (number + more) & 0xFFFF
    (checksum,) = _WORD.unpack_from(buffer, _NETWORK + 10)
    changed = _folded(~checksum & 0xFFFF, (length - total) + (renumbered - number))
    _WORD.pack_into(buffer, _NETWORK + 2, length)
    _WORD.pack_into(buffer, _NETWORK + 4, renumbered)
    _WORD.pack_into(buffer, _NETWORK + 10, ~changed & 0xFFFF)


def _identification(buffer: memoryview) -> int:
    return int(_WORD.unpack_from(buffer, _NETWORK + 4)[0])


def _folded(before: int, more: int) -> int:
    """A sum in one's complement, after something was added to it that may be negative."""
    return (before + more) % 0xFFFF or 0xFFFF


class Segment(Frame):
    """One segment of a super-packet, which has no bytes of its own until these are asked for."""

    __slots__ = ("_number", "_own", "_whole")

    def __init__(self, whole: _Whole, number: int, size: int) -> None:
        self.size = size
        self.due = 0
        self.since = 0
        self.came = 0
        self.marks = 0
        self.owner = None
        self.place = 0
        self._whole = whole
        self._number = number
        self._own: Frame | None = None

    @property
    def buffer(self) -> memoryview:
        """The kernel's header and the frame; it has left the super-packet then."""
        if self._own is None:
            self._own = self._whole.part(self._number, self._number + 1)
        return self._own.buffer

    @buffer.setter
    def buffer(self, value: memoryview) -> None:
        self.release()
        self._own = Frame(value)

    @property
    def head(self) -> memoryview:
        """Headers that say what those of the segment would, but for lengths and numbers."""
        return self._whole.frame.buffer if self._own is None else self._own.buffer

    def release(self) -> None:
        """Need it no more."""
        if self._own is None:
            self._whole.give_up(1)
        else:
            self._whole.pool.release(self._own)

    @property
    def own(self) -> Frame | None:
        """The frame that it has become, if it has left the super-packet."""
        if self._own is not None:
            self._own.size = self.size
        return self._own

    def follows(self, other: Segment) -> bool:
        """Whether it lies behind another one in a super-packet."""
        return (
            self._whole is other._whole
            and self._number == other._number + 1
            and self._own is other._own is None
        )

    def joined(self, last: Segment) -> Frame:
        """A frame of it and all behind it, up to one."""
        return self._whole.part(self._number, last._number + 1)


def cut(frames: list[Frame], pool: Pool) -> list[Frame]:
    """Cut those frames that are super-packets into segments; these are a pool's when released."""
    if not [frame for frame in frames if frame.buffer[1]]:
        return frames
    pieces: list[Frame] = []
    for frame in frames:
        whole = _whole_of(frame, pool) if frame.buffer[1] else None
        if whole is None:
            pieces.append(frame)
            continue
        last = whole.count - 1
        size = whole.length(0, 1)
        pieces += [Segment(whole, number, size) for number in range(last)]
        pieces.append(Segment(whole, last, whole.length(last, last + 1)))
    return pieces


def _whole_of(frame: Frame, pool: Pool) -> _Whole | None:
    """The super-packet that a frame is; None if it is none that can be cut here."""
    buffer = frame.buffer
    flags, kind, _, size, start, at = OFFERED.unpack_from(buffer)
    (ethertype,) = _WORD.unpack_from(buffer, _NETWORK - 2)
    transport = HEADER + start
    if (
        not flags & NEEDS_CHECKSUM
        or not size
        or at != _CHECKSUM
        or _TYPES.get(kind) != ethertype
        or transport + _PORTS_AND_NUMBERS > HEADER + frame.size
    ):
        return None
    head = transport + (buffer[transport + _OFFSET] >> 4) * 4
    if head + size >= HEADER + frame.size:
        return None
    # The kernel told how much of it lay in one piece; headers alone are better for a receiver.
    OFFERED.pack_into(buffer, 0, flags, kind, head - HEADER, size, start, at)
    return _Whole(frame, pool, head, size)


def count(frame: Frame) -> int:
    """How many packets a frame is on a wire."""
    _, _, head, size, _, _ = OFFERED.unpack_from(frame.buffer)
    return -(-(frame.size - head) // size) if size else 1


def join(frames: list[Frame]) -> list[Frame]:
    """Put segments together again that lay beside each other, and still do.

    Returns:
        Frames with bytes of their own, to be released one by one.
    """
    if Segment not in map(type, frames):
        return frames
    runs: list[tuple[Frame, Frame]] = []
    for frame in frames:
        if runs and _follows(frame, runs[-1][1]):
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return [_as_one(first, last) for first, last in runs]


def _follows(frame: Frame, before: Frame) -> bool:
    return isinstance(frame, Segment) and isinstance(before, Segment) and frame.follows(before)


def _as_one(first: Frame, last: Frame) -> Frame:
    if isinstance(first, Segment) and isinstance(last, Segment):
        return first.own or first.joined(last)
    return first
