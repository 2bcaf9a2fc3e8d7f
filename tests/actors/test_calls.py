"""`call`: one result each, in the main thread or beside it, from any number of threads."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from actors.connection import Connection
from actors.errors import CallTimeout, NodeDied, NodeGone, TravelError
from actors.exceptions import RemoteTraceback
from actors.node import Node
from actors.slots import Slots
from actors.tasks import Task
from tests.actors.clients import PATIENCE, wait_until
from tests.actors.ctrl_c import ctrl_c

Occupy: TypeAlias = Callable[[Node], Task[None]]


def is_in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def block() -> None:
    time.sleep(3600)


def fail(message: str) -> None:
    raise KeyError(message)


# --- results and errors --------------------------------------------------------------------------


def test_value_and_arguments(a: Node) -> None:
    assert a.call(lambda x, *rest, y=0: (x, rest, y), 1, 2, 3, y=4) == (1, (2, 3), 4)


def test_nodes_are_processes_of_their_own(a: Node, b: Node) -> None:
    assert len({a.call(os.getpid), b.call(os.getpid), os.getpid()}) == 3
    assert Path(f"/proc/{a.pid}/comm").read_text() == "a\n"
    assert a.call(lambda: [name for _, name in socket.if_nameindex()]) == ["lo"]


def test_state_of_a_node_stays(a: Node, b: Node) -> None:
    a.call(lambda: os.environ.update(MARK="here"))

    assert a.call(lambda: os.environ["MARK"]) == "here"
    assert b.call(lambda: os.environ.get("MARK")) is None


def test_exception_is_raised_as_itself(a: Node) -> None:
    with pytest.raises(KeyError, match="what is missing") as caught:
        a.call(fail, "what is missing")

    assert "on node 'a'" in caught.value.__notes__
    assert isinstance(caught.value.__cause__, RemoteTraceback)


def test_remote_traceback_begins_with_the_code_of_the_user(a: Node, occupy: Occupy) -> None:
    for beside in (False, True):
        task = occupy(a) if beside else None
        with pytest.raises(KeyError) as caught:
            a.call(fail, "x")
        text = str(caught.value.__cause__)

        assert "in fail\n" in text.splitlines()[3] + "\n"
        assert "serving.py" not in text
        if task is not None:
            task.cancel()
            concurrent.futures.wait([task])


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(5)]
)
def test_exceptions_that_usually_end_things_end_only_the_call(
    a: Node, error: BaseException
) -> None:
    def throw() -> None:
        raise error

    with pytest.raises(type(error)):
        a.call(throw)
    assert a.call(lambda: 1) == 1


def test_sigint_that_a_node_sends_itself_is_a_keyboard_interrupt_of_the_call(a: Node) -> None:
    """One that comes while the node does nothing is for nobody."""
    with pytest.raises(KeyboardInterrupt):
        a.call(lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(60))
    os.kill(a.pid, signal.SIGINT)
    assert a.call(lambda: 1) == 1


def test_what_cannot_travel_is_said_before_anything_runs(a: Node) -> None:
    with pytest.raises(TravelError):
        a.call(print, threading.Lock())
    with pytest.raises(TravelError):
        a.call(threading.Lock)
    assert a.call(lambda: 1) == 1


def test_dead_node(a: Node, b: Node) -> None:
    with pytest.raises(NodeDied) as caught:
        a.call(os._exit, 3)

    assert (caught.value.node, caught.value.status) == ("a", 3)
    with pytest.raises(NodeDied):
        a.call(int)
    assert b.call(int) == 0
    a.restart()
    assert a.call(int) == 0


def test_handle_of_a_removed_node_and_of_a_closed_lab(
    connection: Connection, a: Node, b: Node
) -> None:
    assert (a.call(int), b.call(int)) == (0, 0)
    connection.request("remove", names=["a"])
    for use in (lambda: a.call(int), lambda: a.submit(int).result(), a.output, a.socket):
        with pytest.raises((NodeGone, NodeDied)):
            use()
    assert a.name == "a"
    assert repr(a) == "<Node 'a'>"
    connection.close()
    for use in (lambda: b.call(int), lambda: b.submit(int), lambda: b.run(["true"]), b.socket):
        with pytest.raises(NodeGone, match="is closed"):
            use()
    assert b.name == "b"


def test_call_that_waits_when_its_lab_is_closed(connection: Connection, a: Node) -> None:
    def call() -> None:
        started.set()
        a.call(lambda: time.sleep(60))

    started = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(call)
        started.wait()
        assert wait_until(lambda: "test_calls.py" in a.stack())
        connection.close()

        with pytest.raises(NodeGone):
            waiting.result(PATIENCE)


# --- beside each other ---------------------------------------------------------------------------


def test_main_thread_is_used_when_it_is_free(a: Node) -> None:
    assert all(a.call(is_in_main_thread) for _ in range(20))


def test_call_beside_a_blocked_main_thread(a: Node, occupy: Occupy) -> None:
    task = occupy(a)

    assert [a.call(lambda i=i: i) for i in range(20)] == list(range(20))
    task.cancel()
    concurrent.futures.wait([task])
    assert a.call(is_in_main_thread)


def test_blocking_server_and_client_on_one_node_never_deadlock(a: Node) -> None:
    def serve(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            while True:
                with listener.accept()[0] as stream:
                    data = stream.recv(100)
                    stream.sendall(data.upper())
                    if data == b"end":
                        return

    def ask(path: str, data: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(path)
            stream.sendall(data)
            return stream.recv(100)

    with tempfile.TemporaryDirectory() as directory:  # with a short path, as a socket needs
        for i in range(20):
            path = os.path.join(directory, str(i))
            server = a.submit(serve, path)
            assert wait_until(lambda path=path: a.call(os.path.exists, path))
            while True:
                try:
                    assert a.call(ask, path, b"data") == b"DATA"
                except ConnectionRefusedError:  # bound and does not listen yet
                    continue
                break
            assert [a.call(ask, path, b"%d" % each) for each in range(5)] == [
                b"%d" % each for each in range(5)
            ]
            assert a.call(ask, path, b"end") == b"END"
            server.result(PATIENCE)


def test_calls_from_many_threads_have_each_their_result(a: Node, b: Node) -> None:
    def work(i: int) -> list[int]:
        return [(a if i % 2 else b).call(lambda x=x: x * 2) for x in range(i * 100, i * 100 + 30)]

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        found = list(threads.map(work, range(16)))

    assert found == [[x * 2 for x in range(i * 100, i * 100 + 30)] for i in range(16)]


def test_two_hundred_concurrent_calls(a: Node) -> None:
    with concurrent.futures.ThreadPoolExecutor(200) as threads:
        found = list(threads.map(lambda i: a.call(lambda: time.sleep(0.05) or i), range(200)))

    assert found == list(range(200))


def test_sixty_four_are_in_flight_and_the_next_one_waits(a: Node) -> None:
    """The 65th begins when one of the others ends, and not before."""
    under_way = [a.submit(time.sleep, 60) for _ in range(64)]
    with pytest.raises(CallTimeout, match="never started"):
        a.call(int, timeout=0.1)
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(a.call, is_in_main_thread)
        assert not concurrent.futures.wait([waiting], timeout=0.1).done
        under_way[5].cancel()

        assert waiting.result(PATIENCE) in (True, False)


def test_interrupted_caller_interrupts_the_call(a: Node, occupy: Occupy) -> None:
    """Ctrl-C here ends the code there, and the next call is right."""
    for beside in (False, True):
        main = occupy(a) if beside else None
        with ctrl_c(lambda: "in block" in a.stack()):
            a.call(block)
        assert a.call(lambda: 5) == 5
        assert wait_until(lambda: "in block" not in a.stack())
        assert main is None or not main.done()


# --- slots ---------------------------------------------------------------------------------------


def test_slots_are_given_in_turn() -> None:
    slots = Slots(1)
    begun: list[int] = []
    assert slots.take()
    for i in range(3):
        assert not slots.take_or_queue(lambda i=i: begun.append(i))
    assert not slots.take(0.01)
    for _ in range(3):
        slots.give()
    assert begun == [0, 1, 2]
    assert not slots.take(0.01)
    slots.give()
    assert slots.take()
