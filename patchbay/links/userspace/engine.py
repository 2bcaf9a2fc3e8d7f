"""The loop of the process that makes link conditions: ports, deadlines, and requests."""

from __future__ import annotations

import select
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from heapq import heappop, heappush
from typing import cast

from actors.channel import Channel, Closed
from actors.linux import Timer
from actors.protocol import Plain
from patchbay.errors import ProgramFailure
from patchbay.links.packets.delay import MILLISECOND
from patchbay.links.packets.gate import Admit
from patchbay.links.packets.waits import class_wait
from patchbay.links.spec import LinkSpec
from patchbay.links.userspace.feed import FeedWriter
from patchbay.links.userspace.many import Messages
from patchbay.links.userspace.port import Port, stamp_arrivals
from patchbay.links.userspace.runner import Runner
from patchbay.links.userspace.slab import Slab
from patchbay.links.userspace.tap import Tap, Taps
from patchbay.links.userspace.wire import Direction, Shared, Wire
from patchbay.topology.plain import from_plain, to_plain
from patchbay.values import PacketProgram

_PAUSE = 10_000
"""Nanoseconds between two wake-ups at least: deadlines closer to each other share one."""


class Engine:
    """Serves links until the other end of its channel is gone."""

    def __init__(self, control: Channel) -> None:
        self._control = control
        self._poll = select.epoll()
        self._timer = Timer()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._wires: dict[str, Wire] = {}
        self._late = 0
        """How many packets left those late that there are no more."""
        self._shared: dict[str, Shared] = {}
        self._taps: dict[int, Tap] = {}
        self._messages = Messages()
        self._slab = Slab()
        self._runners: set[Runner] = set()
        self._settling = False
        self._deadlines: list[tuple[int, int, Direction | Shared | Runner]] = []
        self._serial = 0
        self._armed: int | None = None
        self._stamps = stamp_arrivals()
        self._watch(control.fileno(), self._on_requests)
        self._watch(self._timer.descriptor, self._on_timer)

    def run(self) -> None:
        """Serve."""
        try:
            while True:
                for descriptor, _ in self._poll.poll():
                    handler = self._handlers.get(descriptor)
                    if handler is not None:  # else a request before it has closed it
                        handler(descriptor)
                self._let_go()
                self._settle()
                self._publish()
        except Closed:
            return

    def _publish(self) -> None:
        """Have recordings hear of what happened."""
        for tap in self._taps.values():
            tap.feed.publish()

    def _watch(self, descriptor: int, handler: Callable[[int], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    # -- packets

    def _listen(self, direction: Direction) -> None:
        descriptor = direction.source.fileno()

        def on_packets(_: int) -> None:
            try:
                direction.take()
            except OSError:  # the interface is gone; whoever removed it says so soon
                self.forget(descriptor)
            if direction.shared is not None:
                self._look_after(direction.shared)
            self._look_after(direction)

        self._watch(descriptor, on_packets)

    def _catch_up(self, direction: Direction) -> None:
        """Take what came before a request, to meet what was before."""
        descriptor = direction.source.fileno()
        on_packets = self._handlers.get(descriptor)
        if on_packets is not None:
            on_packets(descriptor)

    def _look_after(self, direction: Direction | Shared) -> None:
        """Send what is due of a direction, and come back when there is more."""
        before = direction.deadline
        self._let_one_go(direction, time.monotonic_ns())
        self._await(direction, before)

    def _let_one_go(self, direction: Direction | Shared | Runner, now: int) -> None:
        if isinstance(direction, Runner):
            direction.look(now)
            self._follow(direction)
        elif isinstance(direction, Direction):
            direction.let_go(now)
        else:
            for reached in direction.let_go(now):
                self._look_after(reached)

    def _await(self, direction: Direction | Shared | Runner, before: int | None) -> None:
        if direction.deadline is not None and direction.deadline != before:
            self._serial += 1
            heappush(self._deadlines, (direction.deadline, self._serial, direction))

    def _let_go(self) -> None:
        """Send what is due, and set the timer for what is due next."""
        deadlines = self._deadlines
        now = time.monotonic_ns()
        while deadlines and deadlines[0][0] <= now:
            deadline, _, direction = heappop(deadlines)
            if direction.deadline == deadline:
                self._let_one_go(direction, now)
                self._await(direction, None)
        while deadlines and deadlines[0][2].deadline != deadlines[0][0]:
            heappop(deadlines)  # it has another one by now
        if deadlines and deadlines[0][0] != self._armed:
            self._armed = deadlines[0][0]
            self._timer.start_at(max(self._armed, now + _PAUSE))

    def _on_timer(self, _: int) -> None:
        self._timer.read()
        self._armed = None

    # -- programs

    def _start_program(
        self,
        owner: Direction | Shared,
        program: PacketProgram,
        link: str,
        seed: int,
        admit: Admit,
    ) -> Runner:
        runner = Runner(owner, program, link, seed, admit, self)
        if runner.running:
            self._runners = {each for each in self._runners if each.running} | {runner}

            def on_answer(_: int) -> None:
                runner.read()
                self._follow(runner)

            self._watch(runner.fileno(), on_answer)
        return runner

    def _follow(self, runner: Runner) -> None:
        """Send on what a program has let pass, and tell who waits that it has started."""
        self._look_after(runner.owner)
        self._settle()

    def arm(self, runner: Runner) -> None:
        """See `Host`."""
        self._await(runner, None)

    def send_back(self, direction: Direction, now: int, data: bytes, delay: int) -> None:
        """See `Host`."""
        if direction.closed:
            return
        (frame,) = self._slab.take(1)
        self._slab.refill(frame, data)
        direction.inject(now, frame, delay)
        if direction.shared is not None:
            self._look_after(direction.shared)
        self._look_after(direction)

    def forget(self, descriptor: int) -> None:
        """See `Host`."""
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def report(self, failure: ProgramFailure) -> None:
        """See `Host`."""
        self._control.send({"news": asdict(failure)})

    def _settle(self) -> None:
        if self._settling and not any(runner.loading for runner in self._runners):
            self._settling = False
            self._control.send({"value": None})

    def on_unshare(self, lan: str) -> Plain:
        """Give up what packets of a LAN's router met together: the LAN is gone."""
        shared = self._shared.pop(lan, None)
        if shared is not None:
            shared.deadline = None
            shared.pipeline.close()
        return None

    # -- requests

    def _on_requests(self, _: int) -> None:
        for message, descriptors in self._control.waiting():
            method = cast("str", message["method"])
            if method == "settle":  # to be answered once all programs have started
                self._settling = True
                self._settle()
                continue
            arguments = cast("dict[str, Plain]", message["arguments"])
            try:
                value = getattr(self, f"on_{method}")(*descriptors, **arguments)
            except OSError as error:
                self._control.send({"refused": str(error), "number": error.errno})
            else:
                self._publish()  # whoever hears of a packet by this will find it recorded
                self._control.send({"value": value})

    def on_add(
        self,
        near: int,
        far: int,
        link: str,
        lan: str,
        up: Plain,
        down: Plain,
        since: int,
        mark: str,
        queued: bool = False,
    ) -> Plain:
        """Take over a link.

        Args:
            near: socket on the end of the cable that comes from the node.
            far: socket on the end of the cable that leads to the LAN.
            link: what it is called from now on.
            lan: the LAN that it belongs to.
            up: what packets from the node meet.
            down: what packets to the node meet.
            since: until when others have passed on what came from the node, and what is for
                everybody, in nanoseconds of CLOCK_REALTIME.
            mark: the source address that frames get, in hexadecimal digits, where what goes from
                the one end to the other is taken at the other; empty where it is not.
            queued: whether packets to the node have to pass disciplines of the kernel, too.
        """
        wire = self._wires[link] = Wire(
            from_plain(LinkSpec, up),
            from_plain(LinkSpec, down),
            Port(near, self._messages),
            Port(far, self._messages),
            self._slab,
            self._start_program,
            bytes.fromhex(mark),
        )
        wire.down.shared = self._shared.get(lan)
        self._tell(link)
        if queued:
            wire.ports[0].queue()
        for direction in wire.directions:
            direction.begin(time.monotonic_ns(), since, groups=direction is wire.down and not mark)
            self._listen(direction)
            self._look_after(direction)
        return None

    def on_change(self, link: str, up: Plain, down: Plain) -> Plain:
        """Have what comes from now on meet something else."""
        wire = self._wires[link]
        for direction, spec in zip(wire.directions, (up, down), strict=True):
            self._catch_up(direction)
            self._look_after(direction)
            direction.pipeline.change(from_plain(LinkSpec, spec))
            direction.pipeline.begin(time.monotonic_ns())
            self._look_after(direction)
        return None

    def on_queue(self, link: str) -> Plain:
        """Have packets to the node pass disciplines of the kernel, too."""
        self._wires[link].ports[0].queue()
        return None

    def on_share(self, lan: str, links: list[str], spec: Plain, router: str) -> Plain:
        """Have all packets that a router sends into its LAN meet something together.

        Args:
            lan: what the LAN is called.
            links: the links of the LAN; those that are added later find it by the LAN's name.
            spec: what they meet; nothing, for as long as it has links, where it is clean.
            router: the router's hardware address, in hexadecimal digits.
        """
        value = from_plain(LinkSpec, spec)
        shared = self._shared.get(lan)
        if shared is None:
            shared = self._shared[lan] = Shared(value, self._slab, self._start_program)
        shared.router = bytes.fromhex(router)
        for link in links:
            self._catch_up(self._wires[link].down)
        self._look_after(shared)
        shared.pipeline.change(value)
        shared.pipeline.begin(time.monotonic_ns())
        self._look_after(shared)
        for link in links:
            self._wires[link].down.shared = shared
        return None

    def on_hold(self, link: str) -> Plain:
        """Send at once what is on its way from the node; what comes from now on stays in the socket."""
        up = self._wires[link].up
        self.forget(up.source.fileno())
        up.take()
        up.flush(time.monotonic_ns())
        return None

    def on_finish(self, link: str, until: int) -> Plain:
        """Pass on what has arrived, and give a link up.

        Args:
            link: one that is held.
            until: when the kernel began to pass on what comes from the node, in nanoseconds of
                CLOCK_REALTIME.
        """
        wire = self._wires[link]
        wire.up.finish(time.monotonic_ns(), until)
        wire.down.finish(time.monotonic_ns(), time.time_ns())
        return self.on_remove(link)

    def on_remove(self, link: str) -> Plain:
        """Give a link up, if it is still there; what is on its way is lost."""
        wire = self._wires.pop(link, None)
        if wire is None:
            return None
        self._late += _late(wire)
        for direction in wire.directions:
            self.forget(direction.source.fileno())
            direction.deadline = None
            direction.closed = True
            direction.tell(None)
        wire.close()
        return None

    def on_quiet(self, link: str) -> Plain:
        """Nanoseconds since the last packet came; None while packets are on their way."""
        wire = self._wires[link]
        shared = wire.down.shared
        if shared is not None and not shared.pipeline.empty:
            return None
        if not all(direction.pipeline.empty for direction in wire.directions):
            return None
        return time.monotonic_ns() - max(each.touched for each in wire.directions)

    # -- recordings

    def on_tap(self, memory: int, added: int, freed: int, number: int, keep: int) -> Plain:
        """Have a recording hear of what becomes of packets.

        Args:
            memory: of a feed, and its counters:
            added: of what was added,
            freed: and of what was freed.
            number: of the recording.
            keep: bytes that it keeps of each packet.
        """
        self._taps[number] = Tap(FeedWriter(memory, added, freed), keep)
        return None

    def on_watch(self, number: int, links: dict[str, int]) -> Plain:
        """Have a recording hear of these links, and no others.

        Args:
            number: of the recording.
            links: the number of the way up of each; the way down has the next one.
        """
        tap = self._taps[number]
        changed = dict(links.items() ^ tap.streams.items())
        tap.streams = links
        for link in changed:
            self._tell(link)
        return None

    def on_untap(self, number: int) -> Plain:
        """Have a recording hear of nothing any more."""
        self.on_watch(number, {})
        self._taps.pop(number).feed.close()
        return None

    def _tell(self, link: str) -> None:
        """Tell whoever wants to know of the packets of a link."""
        wire = self._wires.get(link)
        if wire is None:
            return
        for way, direction in enumerate(wire.directions):
            taps = [
                (tap, tap.streams[link] + way) for tap in self._taps.values() if link in tap.streams
            ]
            direction.tell(Taps(taps) if taps else None)

    def on_specs(self, link: str) -> Plain:
        """What packets meet in either direction."""
        return [to_plain(each.pipeline.spec) for each in self._wires[link].directions]

    def on_shared_spec(self, lan: str) -> Plain:
        """What all packets meet together that a router sends into its LAN."""
        return to_plain(self._shared[lan].pipeline.spec)

    def on_late(self) -> Plain:
        """How many packets left more than a millisecond late, on all links that there ever were."""
        return self._late + sum(map(_late, self._wires.values()))

    def on_stats(self, link: str) -> Plain:
        """What either direction has done."""
        return [self._stats(direction) for direction in self._wires[link].directions]

    def _stats(self, direction: Direction) -> Plain:
        counters = direction.pipeline.counters
        packets, size = direction.pipeline.queued
        return {
            **asdict(counters),
            "lost": {
                **counters.lost,
                "engine": direction.source.missed,
                "refused": direction.refused,
            },
            "waited": [
                [class_wait(each) / MILLISECOND, count]
                for each, count in sorted(counters.waited.items())
            ],
            "backlog": direction.pipeline.backlog(time.monotonic_ns()),
            "queued_packets": packets,
            "queued_size": size,
            "lateness": asdict(direction.lateness),
        }


def _late(wire: Wire) -> int:
    return sum(direction.lateness.late for direction in wire.directions)


def serve(control: Channel) -> None:
    """Be the process that makes link conditions, until the supervisor is gone."""
    try:
        Engine(control).run()
    except Exception:
        control.send({"died": traceback.format_exc()})
        raise
