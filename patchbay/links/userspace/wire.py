"""One link as its process sees it: two ports, and a pipeline for each direction."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from patchbay.links.packets.frame import HEADER, Frame
from patchbay.links.packets.gate import Admit, Gate
from patchbay.links.packets.pipeline import Pipeline
from patchbay.links.packets.segments import cut, join
from patchbay.links.packets.verdicts import ADDED, NOTHING, Detail
from patchbay.links.spec import LinkSpec
from patchbay.links.userspace.many import AT_ONCE
from patchbay.links.userspace.port import Port
from patchbay.links.userspace.slab import Slab
from patchbay.links.userspace.tap import Taps
from patchbay.values import PacketProgram

ROUNDS = 4
"""Batches that are taken from one port before others have their turn."""


@dataclass(slots=True)
class Lateness:
    """How late packets left, because this process ran late.

    Attributes:
        packets: packets that had a time to leave at.
        late: those that left more than a millisecond after it.
        worst: the latest one, in nanoseconds.
    """

    packets: int = 0
    late: int = 0
    worst: int = 0


StartProgramOf: TypeAlias = "Callable[[Direction | Shared, PacketProgram, str, int, Admit], Gate]"
"""Starts a program for a direction, or for what many share; see `StartProgram`."""

_LATE = 1_000_000
"""Nanoseconds after which a packet has left late."""


class Shared:
    """A pipeline that packets of a LAN's router pass before those of the links they go to.

    Attributes:
        router: the router's hardware address, which its packets come from.
        pipeline: what packets meet.
        deadline: when it has to be looked after next; None if nothing is on its way.
    """

    def __init__(self, spec: LinkSpec, slab: Slab, start_program: StartProgramOf) -> None:
        self.pipeline = Pipeline(spec, slab, partial(start_program, self))
        self.pipeline.tell(self)
        self.deadline: int | None = None
        self.router = b""
        self._slab = slab

    def take(self, now: int, frames: list[Frame], owner: Direction) -> list[Frame]:
        """Take the packets that the router sent to a link; return the others."""
        own = [frame for frame in frames if frame.head[_SOURCE] == self.router]
        if not own:
            return frames
        for frame in own:
            frame.owner = owner
        others = [frame for frame in frames if frame.owner is None]
        self.pipeline.offer_all(now, own)  # which may lose some, and forget whose they were
        return others

    def inject(self, now: int, frame: Frame, delay: int, owner: Direction) -> None:
        """Take a packet of the router's to a link that nobody has sent; see `Pipeline.inject`."""
        frame.owner = _Injected(owner)
        self.pipeline.inject(now, frame, delay)

    def back_from(self, frame: Frame) -> Direction | None:
        """Where packets go that are sent back to where one of its packets comes from."""
        return frame.owner.opposite if isinstance(frame.owner, Direction) else None

    def let_go(self, now: int) -> list[Direction]:
        """Hand over what has to leave until now; return the directions that got any."""
        reached: dict[Direction, None] = {}
        for frame in self.pipeline.due(now):
            owner, frame.owner = frame.owner, None
            if isinstance(owner, Direction) and not owner.closed:
                owner.pipeline.offer(now, frame)
                reached[owner] = None
            elif isinstance(owner, _Injected) and not owner.direction.closed:
                owner.direction.pipeline.inject(now, frame)
                reached[owner.direction] = None
            else:
                self._slab.release(frame)
        self.deadline = self.pipeline.next_deadline()
        return list(reached)

    def lost(self, frame: Frame, cause: str, detail: Detail) -> None:
        """See `Witness`: it is lost on the link that it goes to."""
        owner, frame.owner = frame.owner, None
        if isinstance(owner, _Injected):
            owner = owner.direction
        if isinstance(owner, Direction) and owner.taps is not None:
            owner.taps.lost(frame, cause, detail)


@dataclass(frozen=True, slots=True)
class _Injected:
    """Whom a packet goes to that nobody has sent."""

    direction: Direction


_DESTINATION = slice(HEADER, HEADER + 6)
"""Where a frame says where it goes to."""
_SOURCE = slice(HEADER + 6, HEADER + 12)
"""Where a frame says where it comes from."""


class Direction:
    """What arrives at one port leaves by the other, as a pipeline lets it.

    Attributes:
        shared: what packets of the LAN's router meet before; None for nothing.
        opposite: the other direction of the same link.
        mark: the source address that frames get, for the process to know them again; empty for
            none.
        sender: the source address that frames had before they were marked.
        closed: whether the link was given up.
        pipeline: what packets meet.
        deadline: when it has to be looked after next; None if nothing is on its way.
        lateness: how well it was looked after.
        touched: when packets came last, in nanoseconds.
        taps: the recordings that hear of its packets; None if there are none.
    """

    def __init__(
        self,
        spec: LinkSpec,
        source: Port,
        target: Port,
        slab: Slab,
        start_program: StartProgramOf,
    ) -> None:
        self.pipeline = Pipeline(spec, slab, partial(start_program, self))
        self.deadline: int | None = None
        self.shared: Shared | None = None
        self.opposite: Direction | None = None
        self.mark = b""
        self.sender = b""
        self.closed = False
        self.lateness = Lateness()
        self.touched = 0
        self.source = source
        self.taps: Taps | None = None
        self._target = target
        self._slab = slab

    def tell(self, taps: Taps | None) -> None:
        """Have recordings hear of its packets from now on, or none."""
        self.taps = taps
        self.pipeline.tell(taps)

    def take(self) -> None:
        """Take what has arrived.

        Raises:
            OSError: the interface is gone, or down.
        """
        for _ in range(ROUNDS):
            frames = self.source.receive(self._slab)
            now = time.monotonic_ns()  # after the last of them has come: none leaves too early
            count = len(frames)
            self._offer(now, frames)
            if count < AT_ONCE:
                return

    def begin(self, now: int, moment: int, *, groups: bool) -> None:
        """Take what has arrived, but for what others have passed on; see `Port.skip`."""
        self.pipeline.begin(now)
        self._offer(now, self.source.skip(moment, self._slab, groups=groups))

    def _offer(self, now: int, frames: list[Frame]) -> None:
        frames = self._segments(frames)
        if not frames:
            return
        self.touched = now
        if self.taps is not None:
            self.taps.came(frames, now)
        if self.shared is not None:
            frames = self.shared.take(now, frames, self)
        self.pipeline.offer_all(now, frames)

    def inject(self, now: int, frame: Frame, delay: int) -> None:
        """Take a packet as if it had arrived, which nobody has sent; see `Pipeline.inject`."""
        self.touched = now
        if self.taps is not None:
            self.taps.came([frame], now)
            frame.marks |= ADDED
        shared = self.shared
        if shared is not None and frame.buffer[_SOURCE] == shared.router:
            shared.inject(now, frame, delay, self)
            return
        if self.mark:
            frame.buffer[_SOURCE] = self.mark
            if self.opposite is not None and frame.buffer[_DESTINATION] == self.mark:
                frame.buffer[_DESTINATION] = self.opposite.sender
        self.pipeline.inject(now, frame, delay)

    def back_from(self, frame: Frame) -> Direction | None:
        """Where packets go that are sent back to where one of its packets comes from."""
        return self.opposite

    def _segments(self, frames: list[Frame]) -> list[Frame]:
        """What a wire would carry of what came."""
        return cut(self._marked(frames) if self.mark else frames, self._slab)

    def _marked(self, frames: list[Frame]) -> list[Frame]:
        """Mark frames; those that have the mark were sent by us, and are done with."""
        fresh = []
        for frame in frames:
            if frame.buffer[_SOURCE] == self.mark:
                self._slab.release(frame)
            else:
                if not self.sender:
                    self.sender = bytes(frame.buffer[_SOURCE])
                frame.buffer[_SOURCE] = self.mark
                fresh.append(frame)
        return fresh

    def finish(self, now: int, moment: int) -> None:
        """Pass on at once what has arrived until a moment, in nanoseconds of CLOCK_REALTIME."""
        frames = self._segments(self.source.until(moment, self._slab))
        if self.taps is not None:
            self.taps.came(frames, now)
        self.pipeline.offer_all(now, frames)
        self.flush(now)

    def let_go(self, now: int) -> None:
        """Send what has to leave until now."""
        due = self.deadline
        frames = self.pipeline.due(now)
        if frames:
            self._send(frames)
            if due is not None and due <= now:
                self._note(len(frames), now - due)
        self.deadline = self.pipeline.next_deadline()

    def flush(self, now: int) -> None:
        """Send everything that is on its way, in order, at once."""
        while (deadline := self.pipeline.next_deadline()) is not None:
            self._send(self.pipeline.due(max(now, deadline)))
        self.deadline = None

    @property
    def refused(self) -> int:
        """Packets that the kernel did not take, as the interface was down or busy."""
        return self._target.refused

    def _send(self, frames: list[Frame]) -> None:
        taps = self.taps
        if taps is not None:
            taps.left(frames)
        joined = join(frames)
        refused = self._target.send(joined)
        if refused and taps is not None:
            for frame in refused:
                taps.lost(frame, "refused", NOTHING)
        self._slab.release_all(joined)

    def _note(self, packets: int, late: int) -> None:
        lateness = self.lateness
        lateness.packets += packets
        if late > _LATE:
            lateness.late += packets
        if late > lateness.worst:
            lateness.worst = late


class Wire:
    """Both directions of a link.

    Attributes:
        up: from the node.
        down: to the node.
        ports: the node's end, and the end of the LAN.
    """

    def __init__(
        self,
        up: LinkSpec,
        down: LinkSpec,
        near: Port,
        far: Port,
        slab: Slab,
        start_program: StartProgramOf,
        mark: bytes = b"",
    ) -> None:
        self.ports = (near, far)
        if mark:
            near, far = far, near  # what goes to an end is taken there, and sent from the other
        self.up = Direction(up, near, far, slab, start_program)
        self.down = Direction(down, far, near, slab, start_program)
        self.up.opposite, self.down.opposite = self.down, self.up
        for direction in self.directions:
            direction.mark = mark

    @property
    def directions(self) -> tuple[Direction, Direction]:
        """Both, the one from the node first."""
        return self.up, self.down

    def close(self) -> None:
        """Close both ports and end all programs; what is on its way is lost."""
        for direction in self.directions:
            direction.pipeline.close()
        for port in self.ports:
            port.close()
