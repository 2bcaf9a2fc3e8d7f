"""What is interrupted by `timeout=` and `Task.cancel()`, and what is said of what is not."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import queue
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from actors import attachment, interruption, pump
from actors.errors import CallTimeout
from actors.interruption import Interrupted, Run
from actors.node import Node
from actors.tasks import Task
from patchbay import clock
from tests.actors.clients import PATIENCE, wait_until

a_turn = time.monotonic if clock.kind() == "virtual" else int
"""What code does that only computes; in virtual time nothing but a look at the clock takes any."""

LONG = 3600.0


def receive() -> None:
    here, _there = socket.socketpair()
    here.recv(1)


def accept() -> None:
    with socket.create_server(("", 0), family=socket.AF_INET) as server:
        server.accept()


def sleep() -> None:
    time.sleep(LONG)


def lock() -> None:
    held = threading.Lock()
    held.acquire()
    held.acquire()


def recursive_lock() -> None:
    held = threading.RLock()
    other = threading.Thread(target=held.acquire)
    other.start()
    other.join()
    held.acquire()


def condition() -> None:
    with (changed := threading.Condition()):
        changed.wait()


def get_from_queue() -> None:
    queue.Queue[int]().get()


def join() -> None:
    thread = threading.Thread(target=time.sleep, args=[LONG], daemon=True)
    thread.start()
    thread.join()


def poll() -> None:
    select.select([], [], [], LONG)


def read() -> None:
    reader, _writer = os.pipe()
    os.read(reader, 1)


def wait_for_program() -> None:
    process = subprocess.Popen(["sleep", str(LONG)])
    try:
        process.wait()
    finally:
        process.kill()
        process.wait()


def event_loop() -> None:
    asyncio.run(asyncio.sleep(LONG))


def compute() -> None:
    while True:
        a_turn()


def finalizer() -> None:
    """Waits where the interpreter drops what is raised, and after that where it does not."""

    class Waiting:
        def __del__(self) -> None:
            time.sleep(LONG)

    Waiting()
    time.sleep(LONG)


BLOCKING = [
    receive, accept, sleep, lock, recursive_lock, condition, get_from_queue, join, poll, read,
    wait_for_program, event_loop, compute, finalizer,
]  # fmt: skip


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is said to ignore an interruption because the machine is busy."""
    for module in (attachment, pump):
        monkeypatch.setattr(module, "INTERRUPTION", PATIENCE)


def timed_out(node: Node, function: Callable[..., object], *arguments: object) -> CallTimeout:
    """The error of a call whose time is over when its code was under way."""
    for timeout in (0.1, 1, 10, PATIENCE):
        with pytest.raises(CallTimeout) as caught:
            node.call(function, *arguments, timeout=timeout)
        if f"in {function.__name__}\n" in caught.value.stack + "\n":
            return caught.value
    raise AssertionError(caught.value)


Occupy: TypeAlias = Callable[[Node], Task[None]]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("function", BLOCKING)
def test_timeout_interrupts_in_the_main_thread(a: Node, function: Callable[[], None]) -> None:
    assert timed_out(a, function).interrupted
    assert a.call(threading.active_count) >= 1


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("function", BLOCKING)
def test_timeout_interrupts_beside_the_main_thread(
    a: Node, occupy: Occupy, function: Callable[[], None]
) -> None:
    main = occupy(a)

    assert timed_out(a, function).interrupted
    assert not main.done()


@pytest.mark.usefixtures("patient")
def test_thread_that_was_not_let_run_to_notice_the_signal_is_reminded(
    a: Node, occupy: Occupy
) -> None:
    def send_none_at_first() -> None:
        wake = Run._wake

        def restore(*_: object) -> None:
            Run._wake = wake  # type: ignore[method-assign]

        Run._wake = restore  # type: ignore[method-assign]

    main = occupy(a)
    for function in (sleep, receive, lock):
        a.call(send_none_at_first)
        assert timed_out(a, function).interrupted
    assert not main.done()


@pytest.mark.parametrize("function", BLOCKING)
def test_cancel_interrupts_many_at_once(a: Node, function: Callable[[], None]) -> None:
    tasks = [a.submit(function) for _ in range(5)]
    started = re.compile(rf'test_timeouts\.py", line \d+ in {function.__name__}$', re.MULTILINE)
    assert wait_until(lambda: len(started.findall(a.stack())) == 5)

    for task in tasks:
        assert task.cancel()

    assert not concurrent.futures.wait(tasks, timeout=PATIENCE).not_done
    assert all(task.cancelled() for task in tasks)


@pytest.mark.usefixtures("patient")
def test_interrupted_code_runs_its_finally_blocks(a: Node, occupy: Occupy, tmp_path: Path) -> None:
    def block(path: str) -> None:
        try:
            time.sleep(LONG)
        finally:
            with open(path, "w") as file:
                file.write(threading.current_thread().name)

    names = []
    timed_out(a, block, f"{tmp_path}/main")
    names.append((tmp_path / "main").read_text())
    busy = occupy(a)
    timed_out(a, block, f"{tmp_path}/beside")
    names.append((tmp_path / "beside").read_text())

    assert names == ["MainThread", "call"]
    assert not busy.done()


@pytest.mark.usefixtures("patient")
def test_an_interruption_that_was_dropped_comes_again(a: Node) -> None:
    stack = timed_out(a, finalizer).stack

    assert "in finalizer\n" in stack
    assert "in __del__\n" not in stack


def test_other_threads_are_not_interrupted(a: Node) -> None:
    """Only the call whose time is over ends, whatever the others of the node wait for."""
    others = [a.submit(function) for function in (sleep, receive, lock, sleep)]
    for _ in range(20):
        with pytest.raises(CallTimeout):
            a.call(sleep, timeout=0.01)

    assert not any(task.done() for task in others)


@pytest.mark.usefixtures("patient")
def test_main_thread_stays_the_main_thread_after_interruptions(a: Node, occupy: Occupy) -> None:
    busy = occupy(a)
    for _ in range(3):
        with pytest.raises(CallTimeout):
            a.call(sleep, timeout=0.01)
    busy.cancel()
    concurrent.futures.wait([busy])

    a.call(lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL) and None)


@pytest.mark.usefixtures("patient")
def test_call_that_ends_when_it_is_interrupted_has_one_result(a: Node, occupy: Occupy) -> None:
    """The race of a result with its interruption ends in one of the two."""
    outcomes: set[bool] = set()
    for beside in (False, True):
        busy = occupy(a) if beside else None
        for i in range(200):
            delay = 0.004 + (i % 20) * 0.0001
            try:
                assert a.call(lambda d=delay: time.sleep(d) or "done", timeout=0.005) == "done"
            except CallTimeout as error:
                outcomes.add(error.interrupted)
        if busy is not None:
            busy.cancel()
    assert outcomes <= {True}
    assert a.call(lambda: 1) == 1


def test_coroutine_is_cancelled(a: Node) -> None:
    async def inner() -> None:
        await asyncio.sleep(LONG)

    async def outer(path: str) -> None:
        try:
            await inner()
        finally:
            print("cleaned up", flush=True)

    task = a.spawn(outer, "x")
    a.spawn(asyncio.sleep, 0).result(PATIENCE)
    task.cancel()

    with pytest.raises(concurrent.futures.CancelledError):
        task.result(PATIENCE)
    assert task.cancelled()
    assert [line.text for line in a.output()] == ["cleaned up"]


def test_coroutine_is_cancelled_once(a: Node, tmp_path: Path) -> None:
    """What it awaits while it cleans up is not cancelled, whoever asks again."""

    async def clean_up_slowly(end: Path) -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            print("interrupted", flush=True)
            while not end.exists():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.01)
            print("cleaned up", flush=True)

    task = a.spawn(clean_up_slowly(tmp_path / "end"))
    a.spawn(asyncio.sleep, 0).result(PATIENCE)
    task.cancel()
    assert wait_until(a.output)
    task.cancel()
    a.spawn(asyncio.sleep, 0).result(PATIENCE)  # so the node has heard of it
    (tmp_path / "end").touch()
    concurrent.futures.wait([task], PATIENCE)

    assert [line.text for line in a.output()] == ["interrupted", "cleaned up"]


def stubborn(until: Path | None = None) -> str:
    """Go on whatever comes, until there is a file: for ever without one."""
    try:
        return stubborn_wait(until)
    except BaseException:  # an interruption comes once
        return stubborn_wait(until)


def stubborn_wait(until: Path | None) -> str:
    while until is None or not until.exists():
        time.sleep(0.01)
    return "at last"


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if each.levelno == logging.WARNING]


def test_code_that_ignores_its_timeout_is_shown(a: Node) -> None:
    error = timed_out(a, stubborn)

    assert not error.interrupted
    assert "stubborn" in error.stack.splitlines()[1]
    assert "actors/" not in error.stack.replace("tests/actors/", "")
    assert "ignores" in str(error)


def test_code_that_ignores_cancel_is_logged_and_may_end(
    a: Node, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    task = a.submit(stubborn, tmp_path / "end")
    assert wait_until(lambda: "in stubborn" in a.stack())
    task.cancel()
    assert wait_until(lambda: warnings(caplog))
    (tmp_path / "end").touch()

    assert task.result(PATIENCE) == "at last"
    (record,) = warnings(caplog)
    assert "'a'" in record.getMessage()
    assert "in stubborn" in record.getMessage()


def test_coroutine_that_ignores_cancel_is_logged(
    a: Node, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    async def stubborn_coroutine(end: Path) -> str:
        while not end.exists():  # noqa: ASYNC240
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return "at last"

    task = a.spawn(stubborn_coroutine(tmp_path / "end"))
    a.spawn(asyncio.sleep, 0).result(PATIENCE)
    task.cancel()
    assert wait_until(lambda: warnings(caplog))
    (tmp_path / "end").touch()

    assert task.result(PATIENCE) == "at last"
    (record,) = warnings(caplog)
    assert "in stubborn_coroutine" in record.getMessage()


def test_code_that_ignores_everything_dies_with_its_node(a: Node) -> None:
    pid = a.pid
    task = a.submit(stubborn)
    with pytest.raises(CallTimeout):
        a.call(stubborn, timeout=0.01)
    a._connection.close()

    assert not os.path.exists(f"/proc/{pid}")
    assert task.done()


def test_timeout_of_a_call_with_time_left_changes_nothing(a: Node) -> None:
    assert a.call(lambda: 5, timeout=60) == 5


@pytest.mark.usefixtures("patient")
def test_timeout_tells_the_function_when_there_is_no_stack(a: Node) -> None:
    with pytest.raises(CallTimeout, match="built-in function sleep"):
        a.call(time.sleep, LONG, timeout=0.01)


def test_timeout_is_also_a_builtin_timeout(a: Node) -> None:
    with pytest.raises(TimeoutError):
        a.call(time.sleep, LONG, timeout=0.01)


# --- how it is done ------------------------------------------------------------------------------


def test_without_the_word_of_the_interpreter_python_code_is_interrupted_still(
    a: Node, occupy: Occupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where CPython's state is not as expected, only a system call beside the main thread goes on."""

    def break_it() -> None:
        interruption._main_thread_word = lambda: None  # type: ignore[assignment]

    a.call(break_it)
    with monkeypatch.context() as patch:
        patch.setattr(attachment, "INTERRUPTION", PATIENCE)
        for function in (sleep, compute):
            assert timed_out(a, function).interrupted
        occupy(a)
        assert timed_out(a, compute).interrupted
    assert not timed_out(a, sleep).interrupted


def test_the_word_of_this_interpreter_is_found(a: Node) -> None:
    assert a.call(lambda: interruption._main_thread_word() is not None)


def test_run_that_is_interrupted_before_it_begins_does_not_begin() -> None:
    run = Run()
    run.interrupt()
    run.interrupt()
    with pytest.raises(Interrupted):
        run.run(lambda: pytest.fail("it has begun"))


def test_run_that_is_interrupted_after_its_end_is_left_alone() -> None:
    run = Run()
    assert run.run(lambda: 5) == 5
    run.interrupt()
