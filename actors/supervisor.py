"""The supervisor: the first process of a lab, which holds its namespaces and forks its actors.

It is process 1 of the lab's pid namespace: when it ends, by whatever, the kernel kills the rest.
It stays a process that may fork: one thread and no zmq context. What a lab is about is the
business of its `Director`; here are only processes, and how they end.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import ClassVar, NoReturn, Protocol, TypeAlias, cast

from actors import linux
from actors.actor import NodeSpec as NodeSpec
from actors.channel import Channel, Closed
from actors.children import Child, how_it_ended
from actors.errors import NodeDied, NodeGone, PatchbayError
from actors.exceptions import pack_exception
from actors.isolation import HiddenDirectory
from actors.loop import Loop
from actors.output import Record
from actors.processes import kill_descendants, kill_in_networks, signal_descendants
from actors.protocol import Plain
from actors.worker import Work, Worker

GRACE = 0.5
"""Seconds that processes have between SIGTERM and SIGKILL when a lab closes."""

FINISHING = 8.0
"""Seconds that workers have who finish something, and see to it themselves that it takes less: on
a busy machine they may not be let run for some."""

LITTER = 32
"""Actors that are forked in one go."""

ORPHANS = 4096
"""Programs whose node died before them, and whose exit status is remembered."""

Answer: TypeAlias = tuple[Plain, list[int]]
"""The value for a client, and the descriptors that go with it."""


class Director(Protocol):
    """What a lab is about: made in its supervisor, it answers the requests of its clients.

    Attributes:
        later: modules that a lab may come to need. The launcher imports them once the first lab
            has started, while nobody asks, so that labs after it have them.
    """

    later: ClassVar[tuple[str, ...]]

    def __init__(self, supervisor: Supervisor, options: dict[str, Plain]) -> None: ...

    def handle(self, method: str, arguments: dict[str, Plain]) -> Plain:
        """Answer a request; what it raises is raised at the client."""

    def node_died(self, name: str, reason: str) -> None:
        """Take note that the process of a node ended, without having been asked to."""

    def node_restarted(self, name: str) -> None:
        """Take note that a node has a new process, because a client asked for it."""

    def idle(self) -> float | None:
        """Do what can wait until nobody asks; seconds until there is more, None if there is not."""

    def last_words(self) -> Plain:
        """What a client that closes the lab is to be told."""

    def close(self) -> None:
        """Finish what is open; the lab ends."""


class Supervisor:
    """What a director can ask of its process, and what it does for clients by itself.

    Attributes:
        hidden: where the lab's sockets and files are.
        lacks: what the host refuses, in the words of `patchbay doctor`.
        output_directory: where what each node prints is kept; None for in memory alone.
        given: the descriptors that came with the request that is being answered; they are closed
            after it.
    """

    def __init__(self, control: Channel, lacks: tuple[str, ...]) -> None:
        self._control = control
        self._loop = Loop()
        self.hidden = HiddenDirectory()
        self.lacks = lacks + self.hidden.lacks
        self.output_directory: str | None = None
        self.given: Sequence[int] = ()
        self._director: Director | None = None
        self._nodes: dict[str, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._workers: dict[int, Worker] = {}
        self._orphans: dict[int, int] = {}
        self._serial = 0
        self._closing = False
        if "pidns" in self.lacks:
            linux.become_subreaper()  # as process 1 of a pid namespace is without being asked
        self._wakeup, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        self._loop.watch(self._wakeup, self._on_signals)
        self._loop.watch(control.fileno(), self._on_requests)

    def run(self, director: type[Director], options: dict[str, Plain]) -> NoReturn:
        """Serve until the lab is closed, or its client is gone."""
        linux.set_process_name("pb-supervisor")
        try:
            directing = self._director = director(self, options)
        except Exception as error:
            self._send({"error": _packed(error)})
            self._end()
        self._send({"lacks": list(self.lacks)}, [self.hidden.descriptor])
        while not self._closing:
            self._loop.turn(directing.idle())
        self._wind_up()
        directing.close()
        for child in self._nodes.values():
            child.record.close()
        self._end()

    # -- what a director asks for

    def start_nodes(self, specs: Iterable[NodeSpec]) -> None:
        """Fork an actor for each; `wait_ready` tells when they serve.

        The first are forked before the last are asked for, so that they start meanwhile.

        Raises:
            PatchbayError: this host allows no more processes; those before it have been forked.
        """
        rest = iter(specs)
        while litter := [self._child(spec) for spec in islice(rest, LITTER)]:
            self._fork(litter)

    def _child(self, spec: NodeSpec) -> Child:
        if "utsns" in self.lacks:
            spec = replace(spec, hostname=None)
        directory = self.output_directory
        record = Record(None if directory is None else f"{directory}/{_safe(spec.name)}.log")
        return Child(spec, record, self._loop, self.hidden, self._on_end)

    def wait_ready(self, names: Iterable[str]) -> None:
        """Wait until these nodes serve.

        Raises:
            NodeDied: one of them could not start; the text says why.
        """
        failures = [failure for name in names if (failure := self._nodes[name].wait_ready())]
        if failures:
            raise failures[0]

    def stop_nodes(self, names: Iterable[str]) -> None:
        """Kill the actors of nodes and every process in their networks, and forget the nodes.

        A name that stands for no node is passed over: to undo what failed half way is fine.
        """
        children = [self._nodes.pop(name) for name in names if name in self._nodes]
        self._kill(children)
        for child in children:
            child.record.close()

    def start_worker(
        self,
        name: str,
        work: Work,
        descriptors: Sequence[int] = (),
        on_end: Callable[[Worker], None] = lambda _: None,
        *,
        finishes: bool = False,
    ) -> Worker:
        """Fork a process for a piece of work that is no node's.

        Args:
            name: what it is called in lists of processes.
            work: what it does; it ends when that returns.
            descriptors: what it is given; they stay open here.
            on_end: called when it has ended, however.
            finishes: whether SIGTERM has it finish what it does, and is no reason to die at once.

        Raises:
            PatchbayError: this host allows no more processes.
        """
        try:
            worker = Worker(name, on_end, finishes=finishes)
            worker.fork(work, descriptors)
        except OSError as error:
            raise PatchbayError(
                f"{name} cannot have a process: {error.strerror}. `ulimit -Hu` and `ulimit -Hn` "
                "show what this user may have"
            ) from error
        self._workers[worker.pid] = worker
        return worker

    @property
    def overslept(self) -> float | None:
        """Seconds that this process woke up late; None if something else ended its last wait."""
        return self._loop.overslept

    def watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        """Call the handler whenever the descriptor is readable; it must not block."""
        self._loop.watch(descriptor, handler)

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no longer; to be called before it is closed."""
        self._loop.forget(descriptor)

    def replace_file(self, name: str, path: str, source: str) -> None:
        """Mount another file of the hidden directory over a file that a node sees.

        Raises:
            PatchbayError: the kernel refused it.
        """
        child = self._node(name)
        child.spec = replace(child.spec, files={**child.spec.files, path: source})
        if child.dead or not os.path.exists(path):
            return
        pid = os.fork()
        if pid == 0:
            os._exit(_replace_file(self.hidden.path(source), child.pidfd, path))
        number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if number != 0:
            raise PatchbayError(f"node {name!r}: {path} cannot be replaced: {os.strerror(number)}")

    def _fork(self, children: Sequence[Child]) -> None:
        """Fork them in one go: after each fork, every page that is written to has to be copied."""
        try:
            for child in children:
                self._serial += 1
                child.prepare(str(self._serial))
            for child in children:
                child.fork()
        finally:
            for child in children:
                child.settle()
                if not child.dead:
                    self._by_pid[child.pid] = child
                    self._nodes[child.spec.name] = child

    def _kill(self, children: Sequence[Child]) -> None:
        for child in children:
            self._by_pid.pop(child.pid, None)  # nobody shall be told of this death
            child.kill()
        kill_in_networks(child.spec.namespace for child in children)

    # -- requests

    def _on_requests(self) -> None:
        try:
            messages = self._control.waiting()
        except Closed:
            self._loop.forget(self._control.fileno())
            self._closing = True
            return
        for message, given in messages:
            self.given = given
            answer, descriptors = self._answer(message)
            self.given = ()
            linux.close_all(given)
            self._send({"request": message["request"], **answer}, descriptors)

    def _send(self, message: dict[str, Plain], descriptors: list[int] | None = None) -> None:
        try:
            self._control.send(message, descriptors or [])
        except Closed:
            self._closing = True  # the client is gone

    def _answer(self, message: dict[str, Plain]) -> tuple[dict[str, Plain], list[int]]:
        method = cast("str", message["method"])
        arguments = cast("dict[str, Plain]", message["arguments"])
        own = getattr(self, f"_on_{method}", None)
        try:
            if own is not None:
                value, descriptors = own(**arguments)
            else:
                assert self._director is not None
                value, descriptors = self._director.handle(method, arguments), []
        except Exception as error:
            return {"error": _packed(error)}, []
        return {"value": value}, descriptors

    def _on_close(self) -> Answer:
        self._closing = True
        return (None if self._director is None else self._director.last_words()), []

    def _on_attach(self, name: str) -> Answer:
        """What a client needs to reach the process of a node."""
        child = self._living(name)
        return {"endpoint": child.endpoint}, [child.pidfd]

    def _on_obituary(self, name: str, endpoint: str) -> Answer:
        """Why a process is dead that a client saw dying."""
        child = self._node(name)
        if child.endpoint != endpoint:
            raise NodeDied(name, "its process was replaced by restart()")
        child.wait()
        raise child.obituary()

    def _on_output(self, name: str) -> Answer:
        child = self._node(name)
        child.read_output()
        return [[line.time, line.stream, line.text] for line in child.record.lines()], []

    def _on_restart(self, name: str) -> Answer:
        child = self._node(name)
        self._kill([child])
        self._fork([child])
        self.wait_ready([name])
        if self._director is not None:
            self._director.node_restarted(name)
        return None, []

    def _on_stack(self, name: str) -> Answer:
        return self._living(name).stack(), []

    def _on_orphan(self, pid: int) -> Answer:
        """The exit status of a program whose node died before it."""
        self._reap()
        return self._orphans.get(pid, -signal.SIGKILL), []

    def _node(self, name: str) -> Child:
        try:
            return self._nodes[name]
        except KeyError:
            raise NodeGone(f"node {name!r} is not in this lab (any more, or yet)") from None

    def _living(self, name: str) -> Child:
        child = self._node(name)
        if child.dead:
            raise child.obituary()
        return child

    # -- children that end

    def _on_signals(self) -> None:
        if signal.SIGTERM in os.read(self._wakeup, 4096):
            self._closing = True
        self._reap()

    def _reap(self) -> None:
        while (ended := _ended_child()) is not None:
            pid, status = ended
            child = self._by_pid.get(pid)
            if child is not None:
                child.bury(status)
                continue
            if pid in self._workers:
                self._workers.pop(pid).bury(status)
                continue
            self._orphans[pid] = status
            if len(self._orphans) > ORPHANS:
                del self._orphans[next(iter(self._orphans))]

    def _on_end(self, child: Child, pid: int) -> None:
        killed_by_us = self._by_pid.pop(pid, None) is None
        if self._director is not None and not (killed_by_us or self._closing):
            assert child.status is not None
            self._director.node_died(child.spec.name, how_it_ended(child.status))

    # -- the end

    def _wind_up(self) -> None:
        """Ask every process to end, and give those time who have something to finish."""
        if "pidns" in self.lacks:
            signal_descendants(signal.SIGTERM)
        else:
            with contextlib.suppress(ProcessLookupError):  # there is nobody else
                os.kill(-1, signal.SIGTERM)
        self._loop.turn_while(_has_children, GRACE)
        self._loop.turn_while(
            lambda: any(worker.finishes for worker in self._workers.values()), FINISHING
        )
        for child in self._nodes.values():
            child.read_output()

    def _end(self) -> NoReturn:
        """End, and all others with it: by the kernel if this is process 1 of the lab."""
        if "pidns" in self.lacks:
            kill_descendants()
        os._exit(0)


def _ended_child() -> tuple[int, int] | None:
    """Wait for a child that has ended, whichever; None if there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _replace_file(source: str, process: int, path: str) -> int:
    """In a fork of the supervisor: mount a file where a process is; return the error number."""
    try:
        copy = linux.clone_mount(source)
        linux.setns(process, linux.CLONE_NEWNS)
        linux.attach_mount(copy, path)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _packed(error: Exception) -> Plain:
    return cast("Plain", pack_exception(error, "the supervisor"))


def _safe(name: str) -> str:
    """A file's name for a node's name, which may hold anything but a slash."""
    return name if not name.startswith(".") else f"_{name}"
