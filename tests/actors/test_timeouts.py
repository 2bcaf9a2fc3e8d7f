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

from actors import interruption
from actors.errors import CallTimeout
from actors.interruption import Interrupted, Run
from actors.node import Node
from actors.stacks import of_the_user
from actors.tasks import Task
from patchbay import clock

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


BLOCKING = [
    receive, accept, sleep, lock, recursive_lock, condition, get_from_queue, join, poll, read,
    wait_for_program, event_loop, compute,
]  # fmt: skip


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


Occupy: TypeAlias = Callable[[Node], Task[None]]


@pytest.mark.parametrize("function", BLOCKING)
def test_timeout_interrupts_in_the_main_thread(a: Node, function: Callable[[], None]) -> None:
    with pytest.raises(CallTimeout) as caught:
        a.call(function, timeout=0.1)

    assert caught.value.interrupted
    assert f"in {function.__name__}\n" in caught.value.stack
    assert a.call(threading.active_count) >= 1


@pytest.mark.parametrize("function", BLOCKING)
def test_timeout_interrupts_beside_the_main_thread(
    a: Node, occupy: Occupy, function: Callable[[], None]
) -> None:
    main = occupy(a)

    with pytest.raises(CallTimeout) as caught:
        a.call(function, timeout=0.1)

    assert caught.value.interrupted
    assert f"in {function.__name__}\n" in caught.value.stack
    assert not main.done()


@pytest.mark.parametrize("function", BLOCKING)
def test_cancel_interrupts_many_at_once(a: Node, function: Callable[[], None]) -> None:
    tasks = [a.submit(function) for _ in range(5)]
    started = re.compile(rf'test_timeouts\.py", line \d+ in {function.__name__}$', re.MULTILINE)
    wait_until(lambda: len(started.findall(a.stack())) == 5)

    for task in tasks:
        assert task.cancel()

    assert not concurrent.futures.wait(tasks, timeout=20).not_done
    assert all(task.cancelled() for task in tasks)


def test_interrupted_code_runs_its_finally_blocks(a: Node, occupy: Occupy, tmp_path: Path) -> None:
    def block(path: str) -> None:
        try:
            time.sleep(LONG)
        finally:
            with open(path, "w") as file:
                file.write(threading.current_thread().name)

    names = []
    with pytest.raises(CallTimeout):
        a.call(block, f"{tmp_path}/main", timeout=0.05)
    names.append((tmp_path / "main").read_text())
    busy = occupy(a)
    with pytest.raises(CallTimeout):
        a.call(block, f"{tmp_path}/beside", timeout=0.05)
    names.append((tmp_path / "beside").read_text())

    assert names == ["MainThread", "call"]
    assert not busy.done()


def test_other_threads_are_not_interrupted(a: Node) -> None:
    """Only the call whose time is over ends, whatever the others of the node wait for."""
    others = [a.submit(function) for function in (sleep, receive, lock, sleep)]
    for _ in range(20):
        with pytest.raises(CallTimeout):
            a.call(sleep, timeout=0.01)

    assert not any(task.done() for task in others)


def test_main_thread_stays_the_main_thread_after_interruptions(a: Node, occupy: Occupy) -> None:
    busy = occupy(a)
    for _ in range(3):
        with pytest.raises(CallTimeout):
            a.call(sleep, timeout=0.01)
    busy.cancel()
    concurrent.futures.wait([busy])

    a.call(lambda: signal.signal(signal.SIGUSR1, signal.SIG_DFL) and None)


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
    a.spawn(asyncio.sleep, 0).result(10)
    task.cancel()

    with pytest.raises(concurrent.futures.CancelledError):
        task.result(10)
    assert task.cancelled()
    assert [line.text for line in a.output()] == ["cleaned up"]


def test_coroutine_is_cancelled_once(a: Node) -> None:
    """What it awaits while it cleans up is not cancelled, whoever asks again."""

    async def clean_up_slowly() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            print("interrupted", flush=True)
            await asyncio.sleep(0.2)
            print("cleaned up", flush=True)

    task = a.spawn(clean_up_slowly())
    a.spawn(asyncio.sleep, 0).result(10)
    task.cancel()
    wait_until(lambda: len(a.output()) == 1)
    task.cancel()
    concurrent.futures.wait([task], 10)

    assert [line.text for line in a.output()] == ["interrupted", "cleaned up"]


def stubborn(seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            time.sleep(0.01)
        except BaseException:
            continue
    return "at last"


def test_code_that_ignores_its_timeout_is_shown(a: Node) -> None:
    with pytest.raises(CallTimeout) as caught:
        a.call(stubborn, 1.5, timeout=0.05)

    assert not caught.value.interrupted
    assert "stubborn" in caught.value.stack.splitlines()[1]
    assert "actors/" not in caught.value.stack.replace("tests/actors/", "")
    assert "ignores" in str(caught.value)


def test_code_that_ignores_cancel_is_logged_and_may_end(
    a: Node, caplog: pytest.LogCaptureFixture
) -> None:
    task = a.submit(stubborn, 1.5)
    wait_until(lambda: "in stubborn" in a.stack())
    task.cancel()

    assert task.result(10) == "at last"
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "'a'" in record.getMessage()
    assert "in stubborn" in record.getMessage()


def test_coroutine_that_ignores_cancel_is_logged(a: Node, caplog: pytest.LogCaptureFixture) -> None:
    async def stubborn_coroutine() -> str:
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return "at last"

    task = a.spawn(stubborn_coroutine())
    a.spawn(asyncio.sleep, 0).result(10)
    task.cancel()

    assert task.result(10) == "at last"
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "in stubborn_coroutine" in record.getMessage()


def test_code_that_ignores_everything_dies_with_its_node(a: Node) -> None:
    pid = a.pid
    task = a.submit(stubborn, LONG)
    with pytest.raises(CallTimeout):
        a.call(stubborn, LONG, timeout=0.01)
    a._connection.close()

    assert not os.path.exists(f"/proc/{pid}")
    assert task.done()


def test_stack_shows_where_user_code_is(a: Node) -> None:
    task = a.submit(receive)

    wait_until(lambda: "in receive" in a.stack())
    assert "in receive" in a.stack().splitlines()[1]
    assert not task.done()


def test_timeout_of_a_call_with_time_left_changes_nothing(a: Node) -> None:
    assert a.call(lambda: 5, timeout=60) == 5


def test_timeout_tells_the_function_when_there_is_no_stack(a: Node) -> None:
    with pytest.raises(CallTimeout, match="built-in function sleep"):
        a.call(time.sleep, LONG, timeout=0.01)


def test_timeout_is_also_a_builtin_timeout(a: Node) -> None:
    with pytest.raises(TimeoutError):
        a.call(time.sleep, LONG, timeout=0.01)


# --- how it is done ------------------------------------------------------------------------------


def test_without_the_word_of_the_interpreter_python_code_is_interrupted_still(
    a: Node, occupy: Occupy
) -> None:
    """Where CPython's state is not as expected, only a system call beside the main thread goes on."""

    def break_it() -> None:
        interruption._main_thread_word = lambda: None  # type: ignore[assignment]

    a.call(break_it)
    for function in (sleep, compute):
        with pytest.raises(CallTimeout) as caught:
            a.call(function, timeout=0.05)
        assert caught.value.interrupted
    occupy(a)
    with pytest.raises(CallTimeout) as caught:
        a.call(compute, timeout=0.05)
    assert caught.value.interrupted
    with pytest.raises(CallTimeout) as caught:
        a.call(sleep, timeout=0.05)
    assert not caught.value.interrupted
    assert "in sleep\n" in caught.value.stack + "\n"


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


# --- stacks --------------------------------------------------------------------------------------


def test_stack_of_user_code_alone() -> None:
    here = os.path.dirname(interruption.__file__)
    dump = f"""Thread 0x1 (most recent call first):
  File "{here}/serving.py", line 1 in _stand_in
  File "/usr/lib/python3/threading.py", line 2 in run

Thread 0x2 (most recent call first):
  File "/usr/lib/python3/selectors.py", line 3 in select
  File "/usr/lib/python3/asyncio/base_events.py", line 4 in _run_once
  File "{here}/execution.py", line 5 in _serve

Current thread 0x3 (most recent call first):
  File "/home/user/code.py", line 6 in inner
  File "/home/user/code.py", line 7 in outer
  File "{here}/interruption.py", line 8 in run
  File "{here}/serving.py", line 9 in serve
"""
    assert of_the_user(dump).splitlines() == [
        "Current thread 0x3 (most recent call first):",
        '  File "/home/user/code.py", line 6 in inner',
        '  File "/home/user/code.py", line 7 in outer',
    ]
