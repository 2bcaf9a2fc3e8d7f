"""Where a node's threads are: told whatever they do, without harm to any of them."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors import inspection, interruption, linux, watcher
from actors.actor import STACK_SIGNAL
from actors.errors import NodeDied
from actors.node import Node
from actors.stacks import of_the_user, written
from actors.threads import (
    COMPUTED,
    ENOUGH,
    LOOKS,
    NOTICED,
    Standstill,
    Thread,
    thread_of,
    threads_of,
)
from patchbay import clock
from tests.actors.clients import PATIENCE, ROOT, wait_until

ASKS = 150
"""How often threads that compute are asked for: when a handler of theirs was asked, and walked the
frames of all, eleven processes in twelve died within so many."""


def receive() -> None:
    here, _there = socket.socketpair()
    here.recv(1)


def keep_the_interpreter(pipe: str) -> None:
    """Wait in C code, which does not let go of the interpreter, until somebody writes to a pipe."""
    libc = ctypes.PyDLL(None)
    libc.read(os.open(pipe, os.O_RDWR), ctypes.create_string_buffer(1), 1)


def compute_in_c() -> None:
    re.match(r"(a+)+$", "a" * 100 + "b")


takes_time = pytest.mark.skipif(
    clock.kind() == "virtual", reason="virtual time stands still while code computes"
)


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    return path


def tops(stacks: str) -> list[str]:
    """The innermost function of each thread."""
    return [text.split("\n")[1].rpartition(" in ")[2] for text in threads(stacks)]


def shows(node: Node, *functions: str) -> bool:
    """Whether a stack has all these functions, each as the innermost of a thread."""
    return set(functions) <= set(tops(node.stack()))


def threads(stacks: str) -> list[str]:
    return [text for text in stacks.split("\n\n") if text.startswith("Thread")]


# --- threads that run Python code ----------------------------------------------------------------


def test_stack_shows_where_user_code_is(a: Node) -> None:
    task = a.submit(receive)

    assert wait_until(lambda: shows(a, "receive"))
    assert not task.done()


def test_threads_have_their_names(a: Node) -> None:
    def begin() -> int:
        thread = threading.Thread(target=receive, name="the\n\nreceiver", daemon=True)
        thread.start()
        assert thread.native_id is not None
        return thread.native_id

    number = a.call(begin)
    a.submit(receive)
    assert wait_until(lambda: tops(a.stack()) == ["receive", "receive"])

    titles = {text.split("\n")[0] for text in threads(a.stack())}
    assert titles == {
        rf"Thread {number} [the\n\nreceiver] (most recent call first):",
        f"Thread {a.call(os.getpid)} [MainThread] (most recent call first):",
    }


def test_node_that_was_asked_nothing_has_no_stack(a: Node) -> None:
    assert a.stack() == ""


def test_stack_of_user_code_alone() -> None:
    here = os.path.dirname(interruption.__file__)
    text = f"""Thread 0x1 (most recent call first):
  File "{here}/serving.py", line 1 in _stand_in
  File "/usr/lib/python3/threading.py", line 2 in run

Thread 0x4 (most recent call first):
  File "{here}/interruption.py", line 1 in _wake
  File "{here}/serving.py", line 2 in _interrupt

Thread 0x2 (most recent call first):
  File "/usr/lib/python3/selectors.py", line 3 in select
  File "/usr/lib/python3/asyncio/base_events.py", line 4 in _run_once
  File "{here}/execution.py", line 5 in _serve

Thread 0x3 (most recent call first):
  File "{here}/interruption.py", line 5 in handle
  File "/home/user/code.py", line 6 in inner
  File "/home/user/code.py", line 7 in outer
  File "{here}/interruption.py", line 8 in run
  File "{here}/serving.py", line 9 in serve

A remark.
"""
    assert of_the_user(text).splitlines() == [
        "Thread 0x3 (most recent call first):",
        '  File "/home/user/code.py", line 6 in inner',
        '  File "/home/user/code.py", line 7 in outer',
        "",
        "A remark.",
    ]


def test_names_that_could_be_taken_for_more_lines_are_written_on_one() -> None:
    text = written("1 [a\n\nb\udc80]", ['  File "ä\0", line 1 in é'])

    assert text.splitlines() == [
        r"Thread 1 [a\n\nb\udc80] (most recent call first):",
        r'  File "\xe4\x00", line 1 in \xe9',
    ]


def test_stack_is_told_up_to_a_depth() -> None:
    def descend(levels: int) -> str:
        if levels:
            return descend(levels - 1)
        told = []
        thread = threading.Thread(target=lambda: told.append(watcher.stacks()))
        thread.start()
        thread.join()
        return told[0]

    (mine,) = (text for text in threads(descend(200)) if "in descend" in text)
    assert mine.count("in descend") < watcher.MOST_FRAMES
    assert len(mine.splitlines()) == 1 + watcher.MOST_FRAMES + 1
    assert mine.endswith("\n  ...")


@takes_time
def test_threads_that_compute_are_asked_again_and_again_without_harm(a: Node) -> None:
    def descend(levels: int) -> int:
        here = [levels] * 10
        return descend(levels - 1) if levels else len(here)

    def work() -> None:
        while True:
            descend(80)
            exec("def make(n): return [lambda: i for i in range(n)]\nmake(50)", {})

    a.call(sys.setswitchinterval, 1e-4)  # nobody keeps the one who looks waiting for long
    tasks = [a.submit(work) for _ in range(4)]
    assert wait_until(lambda: a.stack().count(" in work") == 4)  # all have been unpacked

    for _ in range(ASKS):
        told = a.stack()
        assert told.count(" in work") == 4, told
    assert not any(task.done() for task in tasks)


def test_node_without_a_descriptor_left_tells_where_it_is(a: Node) -> None:
    def use_up() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, most))
        with contextlib.suppress(OSError):
            while True:
                os.dup(0)
        time.sleep(3600)

    a.submit(use_up)

    assert wait_until(lambda: shows(a, "use_up"))


def test_stack_that_cannot_be_told_says_why(a: Node) -> None:
    def break_it() -> None:
        def current_frames() -> None:
            raise RuntimeError("no frames today")

        sys._current_frames = current_frames  # type: ignore[assignment]

    a.call(break_it)

    for _ in range(2):
        assert "no frames today" in a.stack()


# --- threads that keep the interpreter to themselves ---------------------------------------------


def test_code_that_waits_without_letting_go_of_the_interpreter_is_shown(a: Node, pipe: str) -> None:
    waiting = a.submit(receive)
    assert wait_until(lambda: shows(a, "receive"))
    keeping = a.submit(keep_the_interpreter, pipe)

    assert wait_until(lambda: "Waiting for the interpreter" in a.stack())

    texts = []

    def shows_both() -> bool:
        """Not of a thread that has still to go back to sleep since it was asked the last time."""
        texts.append(a.stack())
        return {"receive", "keep_the_interpreter"} <= set(tops(texts[-1]))

    for _ in range(2):
        assert wait_until(shows_both)
        text = texts[-1]
        assert f"Thread {threads(text)[0].split()[1]} [MainThread] (" in text
        assert "Waiting for the interpreter" in text.splitlines()[-1]
        assert watcher.NAME not in text
    Path(pipe).write_bytes(b"x")
    assert keeping.result(PATIENCE) is None
    assert shows(a, "receive")
    assert "[MainThread]" in a.stack()
    assert not waiting.done()


@takes_time
def test_code_that_computes_without_letting_go_of_the_interpreter_is_shown(a: Node) -> None:
    a.submit(compute_in_c)

    assert wait_until(lambda: " in compute_in_c" in a.stack())
    a.restart()
    assert a.stack() == ""


def test_thread_that_blocks_signals_is_named(a: Node, pipe: str) -> None:
    def keep_without_signals() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        keep_the_interpreter(pipe)

    a.submit(keep_without_signals)

    assert wait_until(lambda: "<it blocks all signals>" in a.stack())
    Path(pipe).write_bytes(b"x")


def test_process_without_a_handler_is_not_sent_the_signal(a: Node, pipe: str) -> None:
    def keep_without_handler() -> None:
        faulthandler.unregister(STACK_SIGNAL)
        keep_the_interpreter(pipe)

    task = a.submit(keep_without_handler)

    assert wait_until(lambda: "no handler" in a.stack())
    Path(pipe).write_bytes(b"x")
    assert task.result(PATIENCE) is None


def test_node_that_dies_of_being_asked_for_its_stack_harms_nobody(a: Node, b: Node) -> None:
    def break_it() -> None:
        sys._current_frames = lambda: os._exit(3)  # type: ignore[assignment]

    a.call(break_it)
    a.stack()

    with pytest.raises(NodeDied, match="status 3"):
        a.call(os.getpid)
    assert b.stack() == ""  # the supervisor has time for others


def test_node_that_dies_of_the_signal_harms_nobody(a: Node, b: Node, pipe: str) -> None:
    def keep_with_another_handler() -> None:
        libc = ctypes.PyDLL(None)
        libc.signal(int(STACK_SIGNAL), libc._exit)
        keep_the_interpreter(pipe)

    a.submit(keep_with_another_handler)
    with pytest.raises(NodeDied, match=f"status {int(STACK_SIGNAL)}"):
        wait_until(lambda: a.stack() is None)

    assert b.stack() == ""


# --- how it is done ------------------------------------------------------------------------------

WATCHED = """
import faulthandler, sys
from actors import linux, watcher
from actors.actor import STACK_SIGNAL
path = sys.argv[1]
faulthandler.register(STACK_SIGNAL, file=linux.make_pipe(f"{path}.stack"), all_threads=False)
watcher.start(path)
print("ready", flush=True)
"""


@contextlib.contextmanager
def watched(path: Path, code: str) -> Iterator[tuple[int, str]]:
    """A process with a watcher, as a pidfd and what its paths begin with; it runs some code."""
    command = [sys.executable, "-c", WATCHED + code, str(path / "actor")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            pidfd = os.pidfd_open(process.pid)
            try:
                yield pidfd, str(path / "actor")
            finally:
                os.close(pidfd)
        finally:
            process.kill()


def test_process_that_was_stopped_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(tmp_path, "import time; time.sleep(3600)") as (pidfd, path):
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        name = str(linux.host_pid(pidfd))
        assert wait_until(lambda: all(each.state[0] == "T" for each in threads_of(name).values()))
        with monkeypatch.context() as patch:
            patch.setattr(inspection, "PATIENCE", 20)
            for _ in range(2):
                assert "No answer within 0.2 seconds" in inspection.stacks(pidfd, path)
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        assert "[MainThread]" in inspection.stacks(pidfd, path)  # not what was asked for before


def test_thread_that_does_not_take_the_signal_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is deep in the kernel: it is sent the signal, and there is no end of that."""
    sent = []
    monkeypatch.setattr(inspection, "ONE_PATIENCE", 5)
    monkeypatch.setattr(linux, "tgkill", lambda *who: sent.append(who))
    monkeypatch.setattr(
        inspection,
        "thread_of",
        lambda *names: replace(thread_of(*names), pending=inspection._MASK if sent else 0),
    )
    code = "import ctypes; ctypes.PyDLL(None).pause()"
    with watched(tmp_path, code) as (pidfd, path):
        assert wait_until(lambda: "<no answer: S" in inspection.stacks(pidfd, path))
    assert sent


def test_process_that_has_ended_says_nothing(tmp_path: Path) -> None:
    with watched(tmp_path, "") as (pidfd, path):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
        assert inspection.stacks(pidfd, path) == ""


def test_threads_of_this_process_are_found() -> None:
    found = threads_of(str(os.getpid()))[str(threading.get_native_id())]

    assert found.number == threading.get_native_id()
    assert found.process == os.getpid()
    assert found.runs
    assert found.caught >> (signal.SIGINT - 1) & 1
    assert threads_of("0") == {}


def thread(number: int, waits: int, used: int = 0, state: str = "S (sleeping)") -> Thread:
    return Thread(
        number=number, process=1, name="witness" if number == 9 else "t", state=state, waits=waits,
        used=used, pending=0, blocked=0, caught=0,
    )  # fmt: skip


def still(*looks: list[Thread], times: int = LOOKS) -> set[str] | None:
    """The threads that stand still after several times these looks; None if that is not certain."""
    standstill = Standstill("witness")
    for look in looks:
        for _ in range(times):
            standstill.look({str(each.number): each for each in look})
    return set(standstill.still) if standstill.certain else None


ASKED, WAITED = thread(9, NOTICED), thread(9, NOTICED + ENOUGH)
"""The witness once its demand is known, and after it has waited for long."""


def test_thread_that_sleeps_while_the_witness_waits_stands_still() -> None:
    since = [[thread(1, 5), thread(9, 0)], [thread(1, 5), ASKED]]

    assert still(*since, [thread(1, 5), WAITED]) == {"1"}
    assert still(*since, [thread(1, 6), WAITED]) == set()
    assert still(*since, [thread(1, 5), thread(9, NOTICED + ENOUGH - 1)]) is None
    assert still(*since, [thread(1, 5), WAITED], times=LOOKS // 2) is None


def test_thread_that_runs_stands_still_when_it_has_run_for_long() -> None:
    def run(used: int) -> set[str] | None:
        return still(
            [thread(1, 5, 0, "R (running)"), thread(9, 0)],
            [thread(1, 5, 7, "R (running)"), ASKED],
            [thread(1, 5, 7 + used, "R (running)"), WAITED],
        )

    assert run(COMPUTED - 1) is None  # it may not have been let run since it was asked to let go
    assert run(COMPUTED) == {"1"}


def test_while_the_interpreter_goes_round_nothing_is_certain() -> None:
    looks = [
        [thread(1, 0), thread(2, 5, 0), thread(9, 0)],
        [thread(1, 0), thread(2, 5, 7), ASKED],
        [thread(1, 0), thread(2, 6, 7 + COMPUTED), WAITED],
    ]
    assert still(*looks) is None

    # from then on it is as at the start
    later = [
        [thread(1, 0), thread(2, 6, 99), thread(9, NOTICED + ENOUGH + NOTICED)],
        [thread(1, 0), thread(2, 6, 99), thread(9, NOTICED + ENOUGH + NOTICED + ENOUGH)],
    ]
    assert still(*looks, *later[:1]) is None
    assert still(*looks, *later) == {"1", "2"}


def test_thread_that_is_new_is_not_known_to_stand_still() -> None:
    ends = [thread(3, 1, 1)]
    assert still([thread(9, 0)], [ASKED, *ends], [thread(2, 0), WAITED]) == set()


def test_without_a_witness_nothing_is_certain() -> None:
    assert still([thread(1, 5)], [thread(1, 5)]) is None
