"""One direction of a link: the paths of its flows, and what comes out of them when."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from patchbay.links.packets.counters import Counters
from patchbay.links.packets.drops import Drops
from patchbay.links.packets.frame import Frame, Heap, Pool
from patchbay.links.packets.gate import StartProgram, no_programs
from patchbay.links.packets.headers import matches, parse
from patchbay.links.packets.path import Path
from patchbay.links.packets.randomness import Streams
from patchbay.links.packets.verdicts import Witness
from patchbay.links.spec import LinkSpec
from patchbay.values import FlowMatch, LinkCondition

_DUE = attrgetter("due")


class Pipeline:
    """What packets meet in one direction of a link.

    Times are nanoseconds of a clock that never goes back. Each random choice follows from the
    seed and the name in the specification and from how many packets came before.

    Attributes:
        counters: what it has done.
    """

    def __init__(
        self,
        spec: LinkSpec,
        pool: Pool | None = None,
        start_program: StartProgram = no_programs,
    ) -> None:
        """Begin with no packet on its way.

        Args:
            spec: what packets meet.
            pool: where frames go back to that are lost; by default they are left to Python.
            start_program: starts the packet programs of conditions.
        """
        self.counters = Counters()
        self._pool: Pool = Heap() if pool is None else pool
        self._start_program = start_program
        self._spec = spec
        self._streams: dict[str, Streams] = {}
        self._drops: dict[str, Drops] = {}
        """What carries out the drop list of each flow, which goes on while the flow is there."""
        self._leaving: deque[list[Path]] = deque()
        """The paths before each change of the flows, until they are empty: the oldest first."""
        self._witness: Witness | None = None
        self._by_flow: dict[str, Path] = {}
        self._begin()

    @property
    def spec(self) -> LinkSpec:
        """What packets meet."""
        return self._spec

    def tell(self, witness: Witness | None) -> None:
        """Tell somebody of all packets that are lost from now on, or nobody."""
        self._witness = witness
        for path in self._all():
            path.witness = witness

    @property
    def empty(self) -> bool:
        """Whether no packet is on its way."""
        return all(path.empty for path in self._all())

    @property
    def queued(self) -> tuple[int, int]:
        """Packets and bytes that are on their way, or wait for a rate."""
        waiting = [path.queued for path in self._all()]
        return sum(each[0] for each in waiting), sum(each[1] for each in waiting)

    def backlog(self, now: int) -> int | None:
        """Nanoseconds that rates take for all that waits for them; None without any rate."""
        times = [time for path in self._all() if (time := path.backlog(now)) is not None]
        return max(times, default=None)

    def change(self, spec: LinkSpec) -> None:
        """Have what comes from now on meet something else.

        Nothing that is on its way is lost or overtaken by the change. Random choices go on where
        they were.
        """
        if _keeps_paths(self._spec, spec):
            for path, (_, condition) in zip(self._paths, spec.flows, strict=True):
                path.change(condition)
            self._default.change(spec.condition)
            self._spec = spec
            return
        # A packet may take another path than the one before it of the same flow did, or wait for
        # another program.
        left = [*self._paths, self._default]
        if self.empty:
            _close(left)
        else:
            self._leaving.append(left)
        self._spec = spec
        self._begin()

    def close(self) -> None:
        """End all programs; what is on its way is lost."""
        _close(self._all())

    def begin(self, now: int) -> None:
        """Let times that count from the setting of a condition begin now.

        Those that have begun go on; without this they begin with the first packet.
        """
        for drops in self._drops.values():
            drops.begin(now)
        for path in (*self._paths, self._default):
            path.begin(now)

    def _begin(self) -> None:
        self._matches: list[FlowMatch] = [match for match, _ in self._spec.flows]
        flows = ["", *map(str, self._matches)]
        self._drops = {flow: self._drops.get(flow) or Drops() for flow in flows}
        self._paths = [self._path(str(match), condition) for match, condition in self._spec.flows]
        self._default = self._path("", self._spec.condition)
        before = self._by_flow
        self._by_flow = dict(zip(flows, (self._default, *self._paths), strict=True))
        for flow, path in self._by_flow.items():
            if flow in before:
                path.go_on_from(before[flow])

    def _path(self, flow: str, condition: LinkCondition) -> Path:
        streams = self._streams.get(flow)
        if streams is None:
            streams = self._streams[flow] = Streams(self._spec.seed, self._name(flow))
        closed = bool(self._leaving)
        drops = self._drops[flow]
        path = Path(condition, streams, self._pool, self.counters, drops, closed=closed)
        path.witness = self._witness
        if condition.program is not None:
            path.gate = self._start_program(
                condition.program, self._name(flow), self._spec.seed, path.admit
            )
        return path

    def _name(self, flow: str) -> str:
        return f"{self._spec.name}/{flow}" if flow else self._spec.name

    # -- packets

    def offer(self, now: int, frame: Frame) -> None:
        """Take a packet that was sent at a time, which is not before the one of the last call."""
        self.offer_all(now, (frame,))

    def offer_all(self, now: int, frames: Sequence[Frame]) -> None:
        """Take packets that were sent at a time, in order."""
        counters = self.counters
        counters.packets += len(frames)
        counters.size += sum([frame.size for frame in frames])
        if not self._matches:
            self._default.offer_all(now, frames)
            return
        for frame in frames:
            self._path_of(frame).offer(now, frame)

    def inject(self, now: int, frame: Frame, delay: int = 0) -> None:
        """Take a packet that nobody has sent: neither a drop list nor a program sees it.

        Args:
            now: when it comes.
            frame: the packet.
            delay: how much longer than others it takes, in nanoseconds.
        """
        self.counters.packets += 1
        self.counters.size += frame.size
        path = self._path_of(frame) if self._matches else self._default
        path.enter(now, frame, delay)

    def _path_of(self, frame: Frame) -> Path:
        headers = parse(frame)
        for match, path in zip(self._matches, self._paths, strict=True):
            if matches(match, headers):
                return path
        return self._default

    def due(self, now: int) -> list[Frame]:
        """Return the packets that have left until a time, in order; they are the caller's."""
        sent: list[Frame] = []
        if self._leaving:
            self._leave(now, sent)
        before = len(sent)
        self._default.advance(now, sent)
        if self._paths:
            for path in self._paths:
                path.advance(now, sent)
            sent[before:] = sorted(sent[before:], key=_DUE)
        counters = self.counters
        counters.sent_packets += len(sent)
        counters.sent_size += sum([frame.size for frame in sent])
        return sent

    def _leave(self, now: int, sent: list[Frame]) -> None:
        """Let the oldest paths run empty, then those that waited for them."""
        while self._leaving:
            oldest = self._leaving[0]
            before = len(sent)
            for path in oldest:
                path.advance(now, sent)
            sent[before:] = sorted(sent[before:], key=_DUE)
            if not all(path.empty for path in oldest):
                return
            del self._leaving[0]
            _close(oldest)
            last = sent[-1].due if sent else now
            for path in self._leaving[0] if self._leaving else (*self._paths, self._default):
                path.open(last)

    def next_deadline(self) -> int | None:
        """When `due` has something to do next; None if nothing is on its way."""
        if not self._paths and not self._leaving:
            return self._default.next_event()
        times = [time for path in self._all() if (time := path.next_event()) is not None]
        return min(times, default=None)

    def _all(self) -> Iterator[Path]:
        yield self._default
        yield from self._paths
        for paths in self._leaving:
            yield from paths


def _keeps_paths(before: LinkSpec, after: LinkSpec) -> bool:
    """Whether packets go the same ways as before, and meet the same programs there."""
    return [(match, condition.program) for match, condition in before.flows] == [
        (match, condition.program) for match, condition in after.flows
    ] and before.condition.program == after.condition.program


def _close(paths: Iterable[Path]) -> None:
    for path in paths:
        path.close()
