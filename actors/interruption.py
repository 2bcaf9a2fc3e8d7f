"""Interrupting code in any thread of a process, also where it waits in a system call.

A system call that a signal cuts short is begun again, unless the signal's handler raises
(PEP 475); and CPython runs handlers in its main thread alone. So code in the main thread can be
interrupted by a signal. For code in another thread, the interpreter is told for a moment that the
other thread is the main one: a word of its state, `_PyRuntime.main_thread`, says which that is.
Where that word is not found, an exception can still be raised in the other thread, but only once
it runs Python code again; the same is done for a thread that does not notice the signal.

Where Python code cannot raise, as in `__del__`, or where C code lets go of something and looks for
signals meanwhile, as pyzmq does, the interpreter drops what is raised and goes on. It tells
`sys.unraisablehook`, so that the next reminder raises it once more.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

INTERRUPT_SIGNAL = signal.SIGRTMAX - 2

NOTICE = 0.03
"""Seconds that a thread has to notice the signal: one that waits in a system call needs none."""

REMINDERS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
"""Seconds until a thread that goes on is sent the signal once more, and from then to the next time:
on a busy machine it may not have been let run while it could have noticed."""

AGAIN = 0.001
"""Seconds until the signal is sent again, and then ever longer: it is lost on a thread that was
just about to begin a system call."""

_HERE = os.path.dirname(__file__) + os.sep


class Interrupted(BaseException):
    """The code was interrupted on request. `where` says where it was, as a traceback's text."""

    def __init__(self, where: str = "") -> None:
        super().__init__(where)
        self.where = where


class Run:
    """One run of a function, in the thread that calls `run`. It can be interrupted, once."""

    _by_thread: ClassVar[dict[int, Run]] = {}

    def __init__(self) -> None:
        self._thread: int | None = None
        self._wanted = False
        self._dropped = False
        """Whether the exception was raised where nobody could see it, and has to be once more."""
        self._lock = threading.Lock()
        self._raising = threading.Lock()
        """Taken for good by the one who raises the exception, or by the end of the run."""
        self._unnoticed = threading.Lock()
        """Held from the signal on until the handler knows of it."""

    @property
    def active(self) -> bool:
        """Whether the function runs now."""
        return self._thread is not None

    def run(self, function: Callable[[], T]) -> T:
        """Run a function, and return or raise what it does.

        Raises:
            Interrupted: it was interrupted, and has ended.
        """
        try:
            try:
                self._begin()
                return function()
            finally:
                self._end()
        except Interrupted as interruption:
            self._end()  # it may have been raised in there, and is not raised a second time
            entries = traceback.extract_tb(interruption.__traceback__)
            raise Interrupted(user_stack(entries)) from None

    def _begin(self) -> None:
        with self._lock:
            self._thread = threading.get_ident()
            self._by_thread[self._thread] = self
            if self._wanted:
                raise Interrupted

    def _end(self) -> None:
        self._dropped = False
        self._raising.acquire(blocking=False)
        with self._lock:
            if self._thread is None:
                return
            if self._wanted:
                _raise_in_thread(self._thread, None)
            self._by_thread.pop(self._thread, None)
            self._thread = None

    def interrupt(self) -> None:
        """Have the function raise `Interrupted`: now, or as soon as it runs Python code again.

        From any thread but the one that runs it, from one at a time.
        """
        with self._lock:
            if self._wanted:
                return
            self._wanted = True
            if self._thread is not None:
                self._raise(self._thread)

    def remind(self) -> None:
        """Send the signal again, if the function goes on although it was interrupted.

        The exception that awaits the thread is raised in there as soon as the handler begins. One
        that was dropped is raised anew.
        """
        with self._lock:
            if self._wanted and self._thread is not None:
                if self._dropped:
                    self._dropped = False
                    self._raising.release()
                self._raise(self._thread)

    def _raise(self, thread: int) -> None:
        self._wake(thread)
        if self._raising.acquire(blocking=False):
            _raise_in_thread(thread, Interrupted)

    def _wake(self, thread: int) -> None:
        """Send the thread the signal until its handler has run there, or patience is over."""
        _Handler.interrupting = self
        self._unnoticed.acquire(blocking=False)
        with _as_main_thread(thread):
            pause = AGAIN
            while pause < NOTICE:
                signal.pthread_kill(thread, INTERRUPT_SIGNAL)
                if self._unnoticed.acquire(timeout=pause):
                    break
                pause *= 2
        _Handler.interrupting = None

    def notice(self) -> None:
        """Raise `Interrupted` if this is the thread and nobody did; called by the handler."""
        if self._thread == threading.get_ident() and self._raising.acquire(blocking=False):
            self._unnoticed.release()
            raise Interrupted

    @classmethod
    def drop(cls) -> None:
        """Take note that what interrupts this thread was raised where nobody could see it.

        It is not raised here: whoever calls this could not see it either.
        """
        run = cls._by_thread.get(threading.get_ident())
        if run is not None:
            run._dropped = True


class _Handler:
    interrupting: Run | None = None

    @classmethod
    def handle(cls, *_: object) -> None:
        if cls.interrupting is not None:
            cls.interrupting.notice()


def allow_interruptions() -> None:
    """Prepare this process; in its main thread."""
    signal.signal(INTERRUPT_SIGNAL, _Handler.handle)
    report = sys.unraisablehook

    def look(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, Interrupted):
            Run.drop()
        else:
            report(unraisable)

    sys.unraisablehook = look


def user_stack(entries: Iterable[traceback.FrameSummary]) -> str:
    """The text of a stack, without the entries of this package."""
    shown = [each for each in entries if not os.path.abspath(each.filename).startswith(_HERE)]
    return "".join(traceback.format_list(shown))


def _raise_in_thread(thread: int, exception: type[BaseException] | None) -> None:
    """Have a thread raise an exception as soon as it runs Python code; None takes that back."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if exception is None else ctypes.py_object(exception)
    )


# --- who is the main thread ------------------------------------------------------------------------

_SEARCHED = 16 * 1024
"""Bytes of `_PyRuntime`, which begins with what there is once per process; threads come later."""


@contextmanager
def _as_main_thread(thread: int) -> Iterator[None]:
    """Have the interpreter take a thread for the main one, and run signal handlers there."""
    word = None if thread == threading.main_thread().ident else _main_thread_word()
    if word is None:
        yield
        return
    before = word.value
    word.value = thread
    try:
        yield
    finally:
        word.value = before


@cache
def _main_thread_word() -> ctypes.c_ulong | None:
    """The word of the interpreter that says which thread is the main one, if it is found.

    It is the only one that holds the main thread's identity, and to change it has the effect that
    it should have.
    """
    size = ctypes.sizeof(ctypes.c_ulong)
    words = ctypes.c_ulong * (_SEARCHED // size)
    try:
        found = words.in_dll(ctypes.pythonapi, "_PyRuntime")
    except ValueError:
        return None
    main = threading.main_thread().ident
    places = [place for place, value in enumerate(found) if value == main]
    if len(places) != 1:
        return None
    word = ctypes.c_ulong.from_buffer(found, places[0] * size)
    return word if _decides(word) else None


def _decides(word: ctypes.c_ulong) -> bool:
    """Whether a thread that is not named by the word may set no signal handler, and one that is may."""
    before = word.value
    try:
        answers = []
        for value in (0, threading.get_ident()):
            word.value = value
            answers.append(_may_set_handlers())
    finally:
        word.value = before
    return answers == [False, True]


def _may_set_handlers() -> bool:
    try:
        signal.signal(INTERRUPT_SIGNAL, _Handler.handle)
    except ValueError:
        return False
    return True
