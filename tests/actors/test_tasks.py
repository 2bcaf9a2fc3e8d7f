"""`submit`, `spawn` and `Task`: a `concurrent.futures.Future` that can be awaited."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from actors import pump
from actors.connection import Connection
from actors.errors import NodeDied, NodeGone, TravelError
from actors.node import Node
from actors.tasks import Task
from tests.actors.clients import PATIENCE, wait_until


async def double(x: int, *, plus: int = 0) -> int:
    await asyncio.sleep(0.001)
    return 2 * x + plus


async def forever() -> None:
    await asyncio.sleep(3600)


def divide(x: int) -> float:
    return 1 / x


# --- submit --------------------------------------------------------------------------------------


def test_submit_gives_the_value_or_the_exception(a: Node) -> None:
    assert a.submit(divide, 4).result(PATIENCE) == 0.25
    assert isinstance(a.submit(divide, 0).exception(PATIENCE), ZeroDivisionError)
    assert a.submit(divide, 4).exception(PATIENCE) is None
    with pytest.raises(ZeroDivisionError):
        a.submit(divide, 0).result(PATIENCE)


def test_submit_says_at_once_what_cannot_travel(a: Node) -> None:
    with pytest.raises(TravelError):
        a.submit(print, threading.Lock())
    with pytest.raises(TravelError):
        a.submit(threading.Lock).result(PATIENCE)


def test_states(a: Node) -> None:
    task = a.submit(time.sleep, 3600)
    assert (task.running(), task.done(), task.cancelled()) == (True, False, False)
    assert repr(task) == "<Task on 'a' running>"
    with pytest.raises(TimeoutError):
        task.result(0.01)
    with pytest.raises(TimeoutError):
        task.exception(0.01)
    assert task.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        task.result(PATIENCE)

    assert (task.running(), task.done(), task.cancelled()) == (False, True, True)
    assert repr(task) == "<Task on 'a' cancelled>"
    assert not task.cancel()
    done = a.submit(int)
    done.result(PATIENCE)
    assert repr(done) == "<Task on 'a' done>"
    assert not done.cancel()


def test_wait_and_as_completed(a: Node, b: Node) -> None:
    tasks = [node.submit(lambda i=i: i) for i in range(20) for node in (a, b)]
    found = [task.result() for task in concurrent.futures.as_completed(tasks, PATIENCE)]
    assert sorted(found) == sorted([*range(20), *range(20)])
    slow, cancelled = a.submit(time.sleep, 3600), b.submit(time.sleep, 3600)
    cancelled.cancel()
    done, rest = concurrent.futures.wait(
        [slow, cancelled], PATIENCE, concurrent.futures.FIRST_COMPLETED
    )
    assert (done, rest) == ({cancelled}, {slow})


def test_done_callbacks(a: Node) -> None:
    called: list[object] = []
    everything = threading.Event()
    task = a.submit(time.sleep, 0.05)
    task.add_done_callback(called.append)
    task.add_done_callback(lambda _: everything.set())
    assert everything.wait(PATIENCE)
    task.add_done_callback(called.append)

    assert called == [task, task]


def test_callback_may_call_submit_and_cancel(a: Node, b: Node) -> None:
    found: concurrent.futures.Future[list[int]] = concurrent.futures.Future()

    def go_on(task: concurrent.futures.Future[int]) -> None:
        other = b.submit(forever_blocked)
        other.cancel()
        following = b.submit(int.__add__, task.result(), 1)
        following.add_done_callback(
            lambda last: found.set_result([b.call(lambda: 10), last.result()])
        )

    def forever_blocked() -> None:
        time.sleep(3600)

    a.submit(lambda: 1).add_done_callback(go_on)
    assert found.result(PATIENCE) == [10, 2]


def test_callback_may_close_the_lab(connection: Connection, a: Node, b: Node) -> None:
    closed = threading.Event()
    other = b.submit(time.sleep, 3600)

    def close(_: object) -> None:
        connection.close()
        closed.set()

    a.submit(lambda: time.sleep(0.05)).add_done_callback(close)
    assert closed.wait(PATIENCE)
    with pytest.raises(NodeGone):
        other.result(PATIENCE)


def test_exactly_one_result_each_in_a_crowd(a: Node, b: Node) -> None:
    """More than may be in flight, some fail, some are cancelled, and each ends once."""
    counts: list[concurrent.futures.Future[int]] = []
    tasks = []
    for i in range(300):
        node = (a, b)[i % 2]
        task = node.submit(divide, i % 3) if i % 5 else node.submit(time.sleep, 3600)
        task.add_done_callback(counts.append)
        tasks.append(task)
    for task in tasks[::5]:
        task.cancel()

    assert not concurrent.futures.wait(tasks, PATIENCE).not_done
    # who waits is woken before the callbacks are called
    assert wait_until(lambda: len(counts) >= len(tasks))
    assert sorted(map(id, counts)) == sorted(map(id, tasks))
    for i, task in enumerate(tasks):
        if i % 5 == 0:
            assert task.cancelled()
        elif i % 3 == 0:
            assert isinstance(task.exception(), ZeroDivisionError)
        else:
            assert task.result() == 1 / (i % 3)


def test_task_that_waits_for_a_slot_can_be_cancelled(a: Node) -> None:
    blocking = [a.submit(time.sleep, 3600) for _ in range(64)]
    waiting, last = a.submit(divide, 1), a.submit(divide, 2)
    waiting.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result(PATIENCE)
    assert not last.done()
    blocking[0].cancel()

    assert last.result(PATIENCE) == 0.5
    assert a.call(lambda: 1) == 1


def test_tasks_of_a_node_that_dies(a: Node, b: Node) -> None:
    """Those that wait for a slot fail as well."""
    tasks = [a.submit(time.sleep, 3600) for _ in range(70)]
    other = b.submit(time.sleep, 3600)
    with pytest.raises((NodeDied, TimeoutError)):
        tasks[0].result(0.05)
    a.restart()

    assert not concurrent.futures.wait(tasks, PATIENCE).not_done
    assert all(isinstance(task.exception(), NodeDied) for task in tasks)
    assert not other.done()
    assert a.submit(divide, 1).result(PATIENCE) == 1.0


def test_tasks_of_a_lab_that_closes(connection: Connection, a: Node) -> None:
    tasks = [a.submit(time.sleep, 3600) for _ in range(70)]
    tasks.append(a.spawn(forever()))
    connection.close()

    assert all(isinstance(task.exception(0), NodeGone) for task in tasks)


def test_submit_while_another_thread_closes_the_lab(
    connection: Connection, a: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close_first(*arguments: Any) -> Task[object]:
        connection.close()
        return Task(*arguments)

    a.submit(int).result(PATIENCE)
    monkeypatch.setattr(pump, "Task", close_first)

    with pytest.raises(NodeGone):
        a.submit(int)


# --- spawn ---------------------------------------------------------------------------------------


def test_spawn_takes_a_function_with_arguments_and_a_coroutine(a: Node) -> None:
    assert a.spawn(double, 4, plus=1).result(PATIENCE) == 9
    assert a.spawn(double(4, plus=1)).result(PATIENCE) == 9
    assert a.spawn(functools.partial(double, 5)).result(PATIENCE) == 10


def test_spawn_runs_all_on_one_loop(a: Node) -> None:
    async def loop() -> tuple[int, str]:
        return id(asyncio.get_running_loop()), threading.current_thread().name

    assert len({a.spawn(loop()).result(PATIENCE) for _ in range(5)}) == 1


def test_spawned_coroutines_meet_on_the_loop(a: Node) -> None:
    async def named(name: str) -> None:
        asyncio.current_task().set_name(name)  # type: ignore[union-attr]
        await asyncio.sleep(3600)

    async def names() -> set[str]:
        return {task.get_name() for task in asyncio.all_tasks()}

    a.spawn(named, "one")
    a.spawn(named, "two")
    assert wait_until(lambda: {"one", "two"} <= a.spawn(names).result(PATIENCE))


def test_spawn_beside_calls(a: Node) -> None:
    blocked = a.submit(time.sleep, 3600)
    tasks = [a.spawn(double, i) for i in range(50)]

    assert [task.result(PATIENCE) for task in tasks] == [2 * i for i in range(50)]
    assert not blocked.done()


def test_spawn_of_something_else_is_a_type_error(a: Node) -> None:
    with pytest.raises(TypeError, match="runs coroutines"):
        a.spawn(divide, 1).result(PATIENCE)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        a.spawn(5)  # type: ignore[call-overload]
    coroutine = double(1)
    with pytest.raises(TypeError, match="has its arguments already"):
        a.spawn(coroutine, 5)  # type: ignore[call-overload]
    coroutine.close()


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyboardInterrupt(), SystemExit(2), StopIteration(1)]
)
def test_errors_of_coroutines(a: Node, error: BaseException) -> None:
    async def throw() -> None:
        await asyncio.sleep(0)
        raise error

    raised = a.spawn(throw()).exception(PATIENCE)
    assert isinstance(raised, RuntimeError if isinstance(error, StopIteration) else type(error))
    assert a.spawn(double, 1).result(PATIENCE) == 2


def test_coroutine_that_is_cancelled_on_its_own_is_a_cancelled_task(a: Node) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(concurrent.futures.CancelledError):
        a.spawn(give_up()).result(PATIENCE)


# --- from asyncio --------------------------------------------------------------------------------


def test_task_can_be_awaited(a: Node, b: Node) -> None:
    async def main() -> list[object]:
        first = await a.submit(divide, 4)
        rest = await asyncio.gather(a.submit(divide, 2), b.spawn(double, 1), b.spawn(double(2)))
        task = a.submit(divide, 1)
        return [first, *rest, await task, await task]

    assert asyncio.run(main()) == [0.25, 0.5, 2, 4, 1.0, 1.0]


def test_awaited_errors(a: Node) -> None:
    async def outcome(task: object) -> type[BaseException]:
        try:
            await task  # type: ignore[misc]
        except BaseException as error:
            return type(error)
        return type(None)

    def stop() -> None:
        raise StopIteration

    async def main() -> list[type[BaseException]]:
        cancelled = a.submit(time.sleep, 3600)
        cancelled.cancel()
        return [await outcome(each) for each in (a.submit(divide, 0), cancelled, a.submit(stop))]

    assert asyncio.run(main()) == [ZeroDivisionError, asyncio.CancelledError, RuntimeError]


@pytest.mark.parametrize("function", [time.sleep, asyncio.sleep])
def test_cancelling_the_awaiting_task_interrupts_the_work(
    a: Node, function: Callable[..., object]
) -> None:
    started = a.spawn if function is asyncio.sleep else a.submit

    async def main() -> None:
        task = started(function, 3600)  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.ensure_future(task), 0.05)
        with pytest.raises(concurrent.futures.CancelledError):
            task.result(PATIENCE)

    asyncio.run(main())


def test_the_65th_task_does_not_block_the_loop(a: Node) -> None:
    async def main() -> None:
        blocking = [a.submit(time.sleep, 3600) for _ in range(64)]
        waiting = asyncio.ensure_future(a.submit(divide, 2))
        turns = 0
        while turns < 20:
            await asyncio.sleep(0.001)
            turns += 1
        assert not waiting.done()
        blocking[7].cancel()
        assert await asyncio.wait_for(waiting, PATIENCE) == 0.5

    asyncio.run(main())


def test_two_hundred_awaited_at_once(a: Node) -> None:
    async def main() -> list[float]:
        return await asyncio.gather(*(a.submit(divide, i + 1) for i in range(200)))

    assert asyncio.run(main()) == [1 / (i + 1) for i in range(200)]


def test_loop_that_is_closed_before_the_result_comes(a: Node) -> None:
    task = a.submit(time.sleep, 0.2)

    async def main() -> None:
        asyncio.ensure_future(task)  # noqa: RUF006
        await asyncio.sleep(0.01)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    for waiting in asyncio.all_tasks(loop):
        waiting.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()

    concurrent.futures.wait([task], PATIENCE)
    assert task.done()
