"""The launcher: one fresh interpreter for each client process, which forks a supervisor per lab.

It imports the library once, so that a lab costs a fork and not an interpreter. It stays a process
that may fork: one thread, no zmq context, no event loop, no user code. It ends when its client
ends, and its supervisors end with it: the kernel sees to that (PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import signal
import sys
import traceback
from collections import deque
from dataclasses import dataclass
from typing import NoReturn, cast

from actors import linux
from actors.channel import Channel, Closed
from actors.isolation import enter_namespaces, write_id_maps
from actors.loop import Loop
from actors.processes import kill_descendants
from actors.protocol import Plain
from actors.supervisor import FINISHING, GRACE, Director, Supervisor

_CONTROL, _BIRTH = 3, 4


def open_streams() -> None:
    """Open the standard streams as every process of a lab has them: UTF-8, written by lines.

    They are made once, and belong to the numbers 0 to 2: what those stand for is another thing in
    each process that is forked from this one.
    """
    while (nothing := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue  # one of them was closed, and this has taken its place
    os.close(nothing)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = open(  # noqa: SIM115
            number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def main() -> NoReturn:
    """Serve the client at the other end of stdin."""
    open_streams()
    linux.become_subreaper()
    linux.share_one_heap()
    linux.set_process_name("pb-launcher")
    _forget_signals()
    _raise_open_files()
    channel = Channel.of(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.argv[:] = [""]
    try:
        Launcher(channel).serve()
    except Closed:
        os._exit(0)  # the client ended before it said a word
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _forget_signals() -> None:
    """Have signals do what they do by default: a client may ignore or block some."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _raise_open_files() -> None:
    """Allow as many open files as may be: a lab of 1,000 nodes holds thousands."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@dataclass(frozen=True, slots=True)
class _Lab:
    pidfd: int
    lacks: list[str]


class Launcher:
    """Forks supervisors, and remembers how they ended."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = Loop()
        self._labs: dict[int, _Lab] = {}
        """By the process id of the supervisor; those that live."""
        self._ended: dict[int, int] = {}
        """The exit status of supervisors that ended, until somebody has asked."""
        self._directors: dict[str, type[Director]] = {}
        """By their names, as clients give them."""
        self._later: deque[str] = deque()
        """What is to be imported while nobody asks."""
        _, (self._client,) = channel.receive()

    def serve(self) -> NoReturn:
        """Answer the client until it is gone."""
        self._channel.send({"pid": os.getpid()})
        self._loop.watch(self._client, self._on_client_end)
        self._loop.watch(self._channel.fileno(), self._on_requests)
        gc.collect()
        gc.freeze()
        while True:
            self._loop.turn(0 if self._later else None)
            if self._later:
                self._load_ahead()

    def _load_ahead(self) -> None:
        """Import one module that the next labs may need; it is one less for them to wait for."""
        with contextlib.suppress(Exception):  # whoever needs it tells why it cannot be imported
            importlib.import_module(self._later.popleft())
        if not self._later:
            gc.collect()
            gc.freeze()

    def _on_client_end(self) -> None:
        os._exit(0)  # and the kernel kills the labs

    def _on_requests(self) -> None:
        try:
            messages = self._channel.waiting()
        except Closed:
            self._loop.forget(self._channel.fileno())
            self._end_labs()
            os._exit(0)
        for message, descriptors in messages:
            answer, gift = self._answer(message, descriptors)
            self._channel.send({"request": message["request"], **answer}, gift)
            linux.close_all(descriptors)

    def _answer(
        self, message: dict[str, Plain], descriptors: list[int]
    ) -> tuple[dict[str, Plain], list[int]]:
        if message["operation"] == "status":
            return {"status": self._status(cast("int", message["pid"]))}, []
        try:
            pid = self._start(message, descriptors[0])
        except OSError as error:
            return {"error": str(error.strerror), "errno": error.errno}, []
        except Exception as error:
            told = f"{error}\n{traceback.format_exc()}"
            return {"error": told, "errno": None}, []
        return {"pid": pid}, [self._labs[pid].pidfd]

    # -- the start of a lab

    def _start(self, message: dict[str, Plain], control: int) -> int:
        """Fork a process that forks a supervisor; it becomes a child of this one."""
        sys.path[:] = [os.fsdecode(entry) for entry in cast("list[bytes]", message["path"])]
        director = self._find(cast("str", message["director"]))
        birth, theirs = Channel.pair()
        launcher = os.getpid()
        stage = os.fork()
        if stage == 0:
            try:
                _first_stage(launcher, message, director, control, theirs)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        theirs.close()
        try:
            report = self._hear(birth)
            if "mapping" in report:
                birth.send({"problem": write_id_maps(stage)})
                report = self._hear(birth)
            os.waitpid(stage, 0)
            if "error" in report:
                raise OSError(report["errno"], report["error"])
            pid = cast("int", report["pid"])
            self._adopt(pid, cast("list[str]", report["lacks"]))
            birth.send({"adopted": True})
            self._hear(birth)
        except Closed as error:
            self._reap()
            raise RuntimeError("the lab's supervisor was killed while it started") from error
        finally:
            birth.close()
        return pid

    def _find(self, name: str) -> type[Director]:
        if name not in self._directors:
            module, _, attribute = name.partition(":")
            director = cast("type[Director]", getattr(importlib.import_module(module), attribute))
            self._directors[name] = director
            self._later.extend(director.later)
        return self._directors[name]

    def _hear(self, birth: Channel) -> dict[str, Plain]:
        """What a supervisor that starts has to say.

        Raises:
            Closed: it ended.
        """
        if self._client in linux.wait_readable(birth.fileno(), self._client):
            self._on_client_end()
        return birth.receive()[0]

    def _adopt(self, pid: int, lacks: list[str]) -> None:
        pidfd = os.pidfd_open(pid)
        self._labs[pid] = _Lab(pidfd, lacks)
        self._loop.watch(pidfd, self._reap)

    # -- the end of a lab

    def _status(self, pid: int) -> int | None:
        """How a supervisor ended that the client has seen ending; None if nobody knows."""
        self._reap()
        return self._ended.pop(pid, None)

    def _reap(self) -> None:
        """Note every supervisor that has ended, and kill what one without a pid namespace left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            lab = self._labs.pop(pid, None)
            if lab is not None:
                self._ended[pid] = os.waitstatus_to_exitcode(status)
                self._loop.forget(lab.pidfd)
                os.close(lab.pidfd)
                if "pidns" in lab.lacks:
                    kill_descendants(besides=self._labs)

    def _end_labs(self) -> None:
        """Have the labs closed that a client left open when it ended in an orderly way."""
        for lab in self._labs.values():
            signal.pidfd_send_signal(lab.pidfd, signal.SIGTERM)
        self._loop.turn_while(lambda: self._labs, 2 * GRACE + FINISHING)


def _first_stage(
    launcher: int,
    message: dict[str, Plain],
    director: type[Director],
    control: int,
    birth: Channel,
) -> None:
    """Enter the namespaces of a lab, and fork the supervisor, which is the first process in them."""
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != launcher:
        return

    def ask_for_maps() -> str | None:
        birth.send({"mapping": True})
        return cast("str | None", birth.receive()[0]["problem"])

    try:
        os.chdir(cast("bytes", message["directory"]))
        environment = cast("list[tuple[bytes, bytes]]", message["environment"])
        os.environb.clear()
        os.environb.update(environment)
        lacks = enter_namespaces(ask_for_maps)
        pid = os.fork()
    except OSError as error:
        birth.send({"error": str(error.strerror), "errno": error.errno})
        return
    if pid:
        os._exit(0)
    linux.keep_descriptors({0: 0, 1: 1, 2: 2, _CONTROL: control, _BIRTH: birth.fileno()})
    _be_born(Channel.of(_BIRTH), lacks)
    options = cast("dict[str, Plain]", message["options"])
    Supervisor(Channel.of(_CONTROL), lacks).run(director, options)


def _be_born(launcher: Channel, lacks: tuple[str, ...]) -> None:
    """Become a child of the launcher for good: when it ends, the kernel ends this process."""
    try:
        launcher.send({"pid": int(os.readlink("/proc/self")), "lacks": list(lacks)})
        launcher.receive()  # only now it is the parent
        linux.die_with_parent(signal.SIGTERM if "pidns" in lacks else signal.SIGKILL)
        launcher.send({"born": True})
    except Closed:
        os._exit(1)
    launcher.close()
