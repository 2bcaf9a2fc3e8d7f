"""Packet programs in processes of their own: a user's mistake, or endless loop, stops no link."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Protocol, cast

from actors.channel import Channel, Closed
from actors.children import how_it_ended
from actors.protocol import Plain
from actors.tracebacks import format_exception
from actors.worker import Worker
from patchbay.errors import ProgramFailure
from patchbay.links.packets.checksum import complete
from patchbay.links.packets.frame import Frame
from patchbay.links.packets.gate import PASSES, Admit
from patchbay.links.programs.packet import Outcome
from patchbay.links.programs.running import ProgramRun
from patchbay.values import PacketProgram

if TYPE_CHECKING:
    from patchbay.links.userspace.wire import Direction, Shared

NAME = "pb-program"
"""What the process is called in lists of processes."""
WAITING = 4096
"""Packets that wait for a program at most; what finds so many is lost."""
PATIENCE = 10
"""How many times its limit of processor time a program may take on the clock."""
_LOADING = 30_000_000_000
"""Nanoseconds that it may take to start, with all that it imports."""
_PACKETS, _BYTES = 64, 1 << 16
"""What is asked about at once."""
_OURS = 2
"""Frames of ours in a traceback before those of the program."""


class Host(Protocol):
    """Who watches the process of a program."""

    def arm(self, runner: Runner) -> None:
        """Call `look` at its deadline."""

    def send_back(self, direction: Direction, now: int, data: bytes, delay: int) -> None:
        """Have a frame go by a direction as if it had come at a time, and been delayed then."""

    def forget(self, descriptor: int) -> None:
        """Watch its descriptor no longer, which is about to be closed."""

    def report(self, failure: ProgramFailure) -> None:
        """Tell that it has failed."""


class Runner:
    """A program that runs for one direction of a link, as the link engine sees it.

    Packets are asked about in the order in which they come, some at a time, and go on by that
    order. Once the program has failed all packets pass.

    Attributes:
        owner: whose packets it sees.
        deadline: when to look whether it takes too long, in nanoseconds; None if nothing is asked.
        loading: whether it has still to start.
    """

    def __init__(
        self,
        owner: Direction | Shared,
        program: PacketProgram,
        link: str,
        seed: int,
        admit: Admit,
        host: Host,
    ) -> None:
        """Start it.

        Args:
            owner: whose packets it sees.
            program: what it runs.
            link: what the direction of the link is called.
            seed: the lab's.
            admit: takes each packet with what becomes of it.
            host: who watches it.
        """
        self.owner = owner
        self.deadline: int | None = None
        self.loading = True
        self._patience = round(PATIENCE * program.limit_ms * 1_000_000)
        self._admit = admit
        self._link = link
        self._name = program.name
        self._host = host
        self._waiting: deque[tuple[int, Frame]] = deque()
        self._asked: Sequence[tuple[int, Frame]] = ()
        self._limit = time.monotonic_ns() + _LOADING
        self._over = False
        self._worker = Worker(NAME, lambda _: None)
        try:
            self._worker.fork(lambda channel, _: serve(channel), ())
        except OSError as error:
            self.loading, self._over = False, True
            self._report(f"it cannot have a process: {error.strerror}")
            return
        self._look_at(self._limit)
        start: dict[str, Plain] = {
            "name": program.name,
            "code": program.code,
            "limit_ms": program.limit_ms,
            "link": link,
            "seed": seed,
            "began": time.monotonic_ns(),
        }
        self._send(start)

    @property
    def running(self) -> bool:
        """Whether it has a process, whose `fileno` is to be watched."""
        return not self._over

    def fileno(self) -> int:
        """The descriptor of its answers."""
        return self._worker.channel.fileno()

    # -- packets

    @property
    def held(self) -> list[Frame]:
        """The packets that have not been answered yet."""
        return [frame for _, frame in (*self._asked, *self._waiting)]

    def offer(self, now: int, frame: Frame) -> None:
        """Ask about a packet that was sent at a time."""
        if self._over:
            self._admit(now, frame, PASSES)
            return
        if len(self._waiting) >= WAITING:
            self._admit(now, frame, ())
            return
        complete(frame)
        self._waiting.append((now, frame))
        self._ask()

    def _ask(self) -> None:
        if self.loading or self._asked or not self._waiting:
            return
        asked: list[tuple[int, Frame]] = []
        size = 0
        while self._waiting and len(asked) < _PACKETS and size < _BYTES:
            asked.append(self._waiting.popleft())
            size += asked[-1][1].size
        self._asked = asked
        self._limit = time.monotonic_ns() + self._patience
        if self.deadline is None or self._limit < self.deadline:
            self._look_at(self._limit)
        self._send({"packets": [(now, bytes(frame.data)) for now, frame in asked]})

    def _look_at(self, deadline: int) -> None:
        self.deadline = deadline
        self._host.arm(self)

    def _report(self, why: str) -> None:
        self._host.report(ProgramFailure(self._link, self._name, why))

    def _send(self, message: dict[str, Plain]) -> None:
        try:
            self._worker.channel.send(message)
        except Closed:
            self._fail(self._how_it_ended())

    def read(self) -> None:
        """Take what it has answered."""
        try:
            messages = self._worker.channel.waiting()
        except Closed:
            self._fail(self._how_it_ended())
            return
        for message, _ in messages:
            self.loading = False
            outcomes = cast("list[list[Outcome]]", message.get("outcomes", []))
            asked, self._asked = self._asked, ()
            self._send_back(asked, cast("list[tuple[int, int, bytes]]", message.get("back", [])))
            for (now, frame), each in zip(asked, outcomes, strict=False):
                self._admit(now, frame, each)
            if "failed" in message:
                self._asked = asked[len(outcomes) :]
                self._fail(cast("str", message["failed"]))
                return
        self._ask()

    def _send_back(
        self, asked: Sequence[tuple[int, Frame]], packets: Sequence[tuple[int, int, bytes]]
    ) -> None:
        """Send packets back, each with the number of the one that it is an answer to."""
        for number, delay, data in packets:
            now, frame = asked[number]
            direction = self.owner.back_from(frame)
            if direction is not None:
                self._host.send_back(direction, now, data, delay)

    def look(self, now: int) -> None:
        """Give it up if it takes too long; else say when to look again."""
        if not (self.loading or self._asked):
            self.deadline = None
        elif now < self._limit:
            self.deadline = self._limit
        else:
            what = "it did not start" if self.loading else "it had no answer"
            patience = _LOADING if self.loading else self._patience
            self._fail(f"{what} within {patience / 1e9:g} s")

    # -- its end

    def close(self) -> None:
        """End it; what it was asked about is lost."""
        if not self._over:
            self._over, self.loading, self.deadline = True, False, None
            self._asked = ()
            self._waiting.clear()
            self._host.forget(self.fileno())
            self._how_it_ended()

    def _fail(self, why: str) -> None:
        """Let all packets pass from now on, and tell why."""
        left = [*self._asked, *self._waiting]
        self.close()
        for now, frame in left:
            self._admit(now, frame, PASSES)
        self._report(why)

    def _how_it_ended(self) -> str:
        """Wait for its end, which is its channel's or ours; in words."""
        worker = self._worker
        if worker.pid:
            if _is_alive(worker.pid):
                os.kill(worker.pid, signal.SIGKILL)
            worker.bury(os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1]))
        return how_it_ended(worker.status or 0)


def _is_alive(pid: int) -> bool:
    """Whether a child has not ended, even if it has closed its end of the channel."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    return ended is None


class TookTooLong(BaseException):
    """A packet program has used up its processor time for one packet.

    No `Exception`, so that the program does not take it for one of its own.
    """


def serve(channel: Channel) -> None:
    """Be the process of a program, until the engine is gone or the program has failed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends with the engine, and not before it
    start, _ = channel.receive()
    limit = cast("float", start["limit_ms"]) / 1000
    signal.signal(signal.SIGPROF, partial(_too_long, limit))
    try:
        program = PacketProgram(name=cast("str", start["name"]), code=cast("str", start["code"]))
        run = ProgramRun(
            program.function(),
            cast("str", start["link"]),
            cast("int", start["seed"]),
            cast("int", start["began"]),
        )
    except BaseException as error:
        channel.send({"failed": format_exception(error, skip=1)})
        return
    channel.send({"ready": True})
    try:
        while "failed" not in (answer := _answer(run, limit, channel.receive()[0])):
            channel.send(answer)
    except Closed:
        return
    channel.send(answer)


def _answer(run: ProgramRun, limit: float, message: dict[str, Plain]) -> dict[str, Plain]:
    outcomes: list[Plain] = []
    back: list[Plain] = []
    answer: dict[str, Plain] = {"outcomes": outcomes, "back": back}
    packets = cast("list[tuple[int, bytes]]", message["packets"])
    for number, (now, data) in enumerate(packets):
        try:
            signal.setitimer(signal.ITIMER_PROF, limit)
            decided = run.decide(now, data)
            signal.setitimer(signal.ITIMER_PROF, 0)
        except BaseException as error:
            signal.setitimer(signal.ITIMER_PROF, 0)
            _end_at_the_program(error)
            answer["failed"] = format_exception(error, skip=_OURS)
            break
        outcomes.append(cast("Plain", decided))
        back += [(number, delay, each) for delay, each in run.sent_back]
    sys.stdout.flush()
    return answer


def _end_at_the_program(error: BaseException) -> None:
    """Have a traceback that was cut short by the clock end where the program was."""
    entry = error.__traceback__
    while entry is not None and entry.tb_next is not None:
        if entry.tb_next.tb_frame.f_code is _too_long.__code__:
            entry.tb_next = None
        entry = entry.tb_next


def _too_long(limit: float, signal_number: int, frame: FrameType | None) -> None:
    raise TookTooLong(f"it took more than {limit * 1000:g} ms of processor time for one packet")
