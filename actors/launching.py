"""The client's side of the launcher: started on first use, one for each client process."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

from actors.channel import Channel, Closed
from actors.errors import InternalError, PatchbayError
from actors.linux import close_all, wait_readable
from actors.protocol import Plain


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The supervisor of a lab: its process id, and a descriptor of it that is ours to close."""

    pid: int
    pidfd: int


_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); import actors.launcher as l; l.main()"
)
"""What the fresh interpreter is told. Its argument is this process's path, its stdin the channel."""


class Launcher:
    """A connection with the launcher of this process; `shared()` is the way to it."""

    _shared: ClassVar[Launcher | None] = None
    _retired: ClassVar[set[Launcher]] = set()
    """Those that cannot be asked any more, but still have labs."""
    _making: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = 0
        self._labs: set[int] = set()
        """The process ids of the supervisors of labs that are open."""
        self._channel, other = Channel.pair()
        try:
            self._process = subprocess.Popen(
                [_interpreter(), *_flags(), "-P", "-c", _START, json.dumps(_search_path())],
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=None if _is_open(2) else subprocess.DEVNULL,
                start_new_session=True,
            )
            other.close()
            this = os.pidfd_open(os.getpid())
            try:
                self._channel.send({}, [this])
            finally:
                os.close(this)
            answer, _ = self._channel.receive()
        except Closed:
            self._channel.close()
            status = self._process.wait()
            raise PatchbayError(
                f"patchbay's launcher could not start (exit status {status}); what it said is "
                "on the standard error stream of this process"
            ) from None
        except BaseException:
            self._channel.close()
            raise
        finally:
            other.close()
        self.pid = cast("int", answer["pid"])

    @classmethod
    def shared(cls) -> Launcher:
        """The launcher of this process, started now if there is none that lives."""
        with cls._making:
            current = cls._shared
            if current is not None and current._process.poll() is not None:
                current._channel.close()
                current = None
            if current is not None and current._was_interrupted():
                cls._retired.add(current)
                current._end_if_retired()
                current = None
            if current is None:
                current = cls._shared = cls()
            return current

    def start_lab(self, director: str, options: dict[str, Plain], control: Channel) -> Supervisor:
        """Have a supervisor forked that serves `control`.

        Raises:
            OSError: the kernel refused a namespace; `errno` and text are the kernel's.
            Closed: the launcher died.
            InternalError: the director cannot be found.
        """
        environment: Plain = list(os.environb.items())
        answer, descriptors = self._ask(
            {
                "operation": "start",
                "director": director,
                "options": options,
                "environment": environment,
                "directory": _directory(),
                "path": [os.fsencode(entry) for entry in _search_path()],
            },
            control,
        )
        if "error" in answer:
            if answer["errno"] is None:
                raise InternalError(str(answer["error"]))
            raise OSError(answer["errno"], answer["error"])
        supervisor = Supervisor(cast("int", answer["pid"]), descriptors[0])
        self._labs.add(supervisor.pid)
        return supervisor

    def how_it_ended(self, supervisor: Supervisor, patience: float | None = None) -> str:
        """Wait until a supervisor has ended, with every process of its lab, and say how.

        With `patience` it waits so many seconds at most.
        """
        if not wait_readable(supervisor.pidfd, timeout=patience):
            return "the lab's supervisor ends"
        try:
            answer, _ = self._ask({"operation": "status", "pid": supervisor.pid})
        except Closed:
            if self._was_interrupted():
                return "the lab's supervisor ended"
            status = self._process.wait()
            return f"patchbay's launcher {_ended(status)}, and the lab's supervisor with it"
        if answer["status"] is None:
            return "the lab's supervisor ended"
        return f"the lab's supervisor {_ended(cast('int', answer['status']))}"

    def _ask(
        self, message: dict[str, Plain], control: Channel | None = None
    ) -> tuple[dict[str, Plain], list[int]]:
        with self._lock:
            self._requests += 1
            number = self._requests
            gift = [] if control is None else [control.fileno()]
            self._channel.send({"request": number, **message}, gift)
            while True:
                answer, descriptors = self._channel.receive()
                if answer["request"] == number:
                    return answer, descriptors
                close_all(descriptors)  # the answer to one who was interrupted

    def _was_interrupted(self) -> bool:
        """Whether a message was torn apart: asked between messages, as each is in the middle once."""
        with self._lock:
            return self._channel.torn

    def forget(self, supervisor: Supervisor) -> None:
        """Let a lab be, which has ended or is about to."""
        os.close(supervisor.pidfd)
        self._labs.discard(supervisor.pid)
        self._end_if_retired()

    def _end_if_retired(self) -> None:
        """End with the last lab, once nobody can ask for another."""
        if self in Launcher._retired and not self._labs:
            Launcher._retired.discard(self)
            self._close()

    def _close(self) -> None:
        """Have all labs closed that still run, and the launcher end."""
        self._channel.end()
        self._process.wait()

    def _disown(self) -> None:
        """In a fork: it is the launcher of another process now."""
        self._channel.close()
        self._process.returncode = 0  # it is no child of this process


def _ended(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"


def _interpreter() -> str:
    if not sys.executable:
        raise PatchbayError(
            "this Python is embedded and does not say where its interpreter is: set "
            "`sys.executable` to one with the same packages"
        )
    return sys.executable


def _flags() -> Iterator[str]:
    """The options that this interpreter was started with, as far as they matter to user code."""
    flags = sys.flags
    yield from ["-O"] * flags.optimize
    for option, given in (
        ("-B", flags.dont_write_bytecode),
        ("-I", flags.isolated),
        ("-E", flags.ignore_environment),
        ("-s", flags.no_user_site),
    ):
        if given:
            yield option
    yield from (f"-W{each}" for each in sys.warnoptions)
    for name, value in sys._xoptions.items():
        yield f"-X{name}" if value is True else f"-X{name}={value}"


def _search_path() -> list[str]:
    """`sys.path` as it is now, for a process that may be elsewhere."""
    here = os.fsdecode(_directory())
    return [os.path.join(here, entry) for entry in sys.path]


def _directory() -> bytes:
    try:
        return os.getcwdb()
    except OSError:  # it was removed
        return b"/"


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _take_all() -> list[Launcher]:
    """Every launcher of this process, which has none afterwards."""
    shared = Launcher._shared
    launchers = [*Launcher._retired, *([] if shared is None else [shared])]
    Launcher._shared = None
    Launcher._retired = set()
    return launchers


_exiting = threading.Event()


def stay_if_exiting() -> None:
    """Keep a daemon thread waiting whose lab ends because the interpreter does.

    Nobody is left to tell, and its traceback would be the last thing on the user's screen.
    """
    if _exiting.is_set() and threading.current_thread() is not threading.main_thread():
        threading.Event().wait()


def _close_all() -> None:
    _exiting.set()
    for each in _take_all():
        each._close()


def _after_fork() -> None:
    Launcher._making = threading.Lock()
    for each in _take_all():
        each._disown()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)
