"""Whoever dies, at whatever moment: nothing is left, and who waits is told who died and why."""

import asyncio
import os
import random
import signal
import threading
import time

import pytest

from actors.connection import Connection
from actors.errors import NodeDied, NodeGone
from actors.launching import Launcher
from actors.node import Node
from tests.actors.clients import PATIENCE, Client, kill, run, wait_until

BUSY = """
def daemonise():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open("/proc/self/comm", "w").write("daemon")
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        os._exit(0)
    os.wait()

try:
    connection = lab()
    connection.request("add", names=["a", "b"])
    a, b = Node(connection, "a"), Node(connection, "b")
    program = a.popen(["sleep", "1000"])
    a.call(daemonise)
    task = b.submit(time.sleep, 1000)
    print("up", flush=True)
    while True:
        for _ in range(10):
            a.call(os.getpid)
            task.done() and task.result()
        time.sleep(0.005)  # without any wait, virtual time would never pass
except PatchbayError as error:
    print("failed:", error, flush=True)
    try:
        connection.close()
    except NameError:
        pass
"""
"""A lab with a program, a daemon that ignores SIGTERM, a task and calls; it ends when one fails."""

WHO = ["client", "pb-launcher", "pb-supervisor", "a", "b", "sleep", "daemon"]


def victims(client, who):
    if who == "client":
        return [client.pid]
    return client.named(who)[:1]


@pytest.mark.parametrize("who", WHO)
def test_a_kill_of_anyone_in_a_busy_lab_leaves_nothing(who):
    with Client(BUSY) as client:
        client.says("up")
        assert wait_until(lambda: victims(client, who))
        for pid in victims(client, who):
            kill(pid)
        if who in ("sleep", "daemon"):
            client.process.send_signal(signal.SIGKILL)
        client.process.wait(PATIENCE)

        assert client.left() is True
        if who not in ("client", "sleep", "daemon"):
            assert client.process.returncode == 0, client.process.stderr.read()


@pytest.mark.parametrize("round_", range(10))
def test_a_kill_at_a_random_moment_leaves_nothing(round_):
    """Five moments each, from before the launcher to a busy lab, and anyone who is there then."""
    seed = int(os.environ.get("PATCHBAY_TEST_SEED", random.randrange(1 << 32)))
    print(f"PATCHBAY_TEST_SEED={seed}")
    dice = random.Random(seed * 10 + round_)
    for _ in range(5):
        with Client(BUSY) as client:
            time.sleep(dice.uniform(0.0, 0.8))
            victim, name = dice.choice(sorted(client.processes().items()) or [(client.pid, "")])
            kill(victim)
            if not wait_until_ended(client, 1.0):
                client.process.kill()  # nothing that it waits for was killed
            client.process.wait(PATIENCE)

            assert client.left() is True, f"{name} was killed"
            assert client.process.returncode in (0, -signal.SIGKILL), client.process.stderr.read()


def wait_until_ended(client, patience):
    deadline = time.monotonic() + patience
    while client.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return client.process.returncode is not None


# --- who waits


def start(function):
    """Run something in a thread; what returns its error, and the moment it was raised."""
    outcome = []

    def body():
        try:
            function()
        except BaseException as error:
            outcome.append((error, time.monotonic()))

    thread = threading.Thread(target=body)
    thread.start()

    def finish():
        thread.join(PATIENCE)
        assert outcome, "it still waits, or has returned"
        return outcome[0]

    return finish


def wait_for_ever():
    print("begun")
    time.sleep(1000)


def wait_for_everything(connection):
    """One pending request of each kind, and what they come to."""
    a = Node(connection, "a")
    program = a.popen(["sleep", "1000"])
    task = a.submit(wait_for_ever)
    coroutine = a.spawn(asyncio.sleep, 1000)
    pending = {
        "call": start(lambda: a.call(wait_for_ever)),
        "task": start(task.result),
        "coroutine": start(coroutine.result),
    }
    assert wait_until(lambda: len(a.output()) == 2)
    return program, pending


@pytest.fixture
def lab():
    connection = Connection("test", "actors.bare:Bare", {})
    connection.request("add", names=["a", "b"])
    yield connection
    connection.close()


def test_the_death_of_an_actor_fails_its_requests_alone(lab):
    program, pending = wait_for_everything(lab)
    pid = Node(lab, "a").pid

    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)

    for what, finish in pending.items():
        error, moment = finish()
        assert isinstance(error, NodeDied), what
        assert str(error).startswith("node 'a' died: its process was killed by SIGKILL"), what
        assert moment - killed < PATIENCE / 2
    assert program.poll() is None, "a program outlives the process that started it"
    program.kill()
    assert program.wait() == -signal.SIGKILL
    assert Node(lab, "b").call(os.getpid) > 0
    (note,) = lab.request("died")
    assert note == "a: its process was killed by SIGKILL"


@pytest.mark.parametrize("who", ["supervisor", "launcher"])
def test_the_death_of_a_lab_fails_all_that_is_asked_of_it(lab, who):
    program, pending = wait_for_everything(lab)
    pending["program"] = start(lambda: 1 / program.wait())  # it returns a status
    launcher = Launcher.shared().pid

    killed = time.monotonic()
    os.kill(lab.pid if who == "supervisor" else launcher, signal.SIGKILL)

    for what, finish in pending.items():
        if what == "program":
            continue
        error, moment = finish()
        assert isinstance(error, NodeDied), what
        assert error.node == "a"
        assert f"{who} was killed by signal 9" in str(error) or "supervisor ends" in str(error)
        assert moment - killed < PATIENCE / 2
    assert program.wait(PATIENCE) == -signal.SIGKILL
    with pytest.raises(NodeDied, match="'test' died"):
        lab.request("died")
    lab.close()
    with pytest.raises(NodeGone, match="closed"):
        lab.request("died")
    with_another = Connection("another", "actors.bare:Bare", {})
    with_another.request("add", names=["a"])
    assert Node(with_another, "a").call(os.getpid) > 0
    with_another.close()


def test_a_control_request_fails_with_the_supervisor():
    connection = Connection("test", "actors.bare:Bare", {})
    os.kill(connection.pid, signal.SIGSTOP)
    finish = start(lambda: connection.request("died"))

    os.kill(connection.pid, signal.SIGKILL)

    error, _ = finish()
    assert isinstance(error, NodeDied)
    assert "lab's supervisor was killed by signal 9" in str(error)
    connection.close()


# --- ends that nobody asked for


def test_a_lab_ends_when_nobody_holds_it_any_more():
    code = """
connection = lab()
connection.request("add", names=["a"])
Node(connection, "a").call(os.getpid)
pid = connection.pid
del connection
deadline = time.monotonic() + 60
while os.path.exists(f"/proc/{pid}"):
    assert time.monotonic() < deadline
    time.sleep(0.01)
open_ones = (os.readlink(f"/proc/self/fd/{n}") for n in "0123456789" if os.path.exists(f"/proc/self/fd/{n}"))
# libffi keeps its own file open, which some of its versions map trampolines from
print(sorted(link.partition(":")[0] for link in open_ones if "/libffi.so" not in link))
"""
    assert run(code, "-X", "dev", "-W", "error") == (0, ["['pipe', 'pipe', 'pipe', 'socket']"], "")


@pytest.mark.parametrize(
    "work",
    [
        "pass",
        "Node(connection, 'a').submit(time.sleep, 1000)",
        "Node(connection, 'a').popen(['sleep', '1000'])",
        "task = Node(connection, 'a').submit(time.sleep, 1000); "
        "threading.Thread(target=Node(connection, 'a').call, args=(time.sleep, 1000), daemon=True).start()",
    ],
)
@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_an_interpreter_that_exits_ends_its_labs_quietly(work, ending):
    code = f"connection = lab(); connection.request('add', names=['a']); {work}\n{ending}"

    status, _, errors = run(code)

    assert status == {"": 0, "sys.exit(3)": 3}.get(ending, -signal.SIGINT)
    assert errors == "" or errors.endswith("KeyboardInterrupt\n")
    assert "Exception ignored" not in errors


def test_a_thread_that_is_late_when_the_interpreter_exits_says_nothing():
    """It calls when its lab has ended with the launcher, and nobody is left to be told."""
    code = """
import actors.launching, actors.node
connection = lab()
connection.request("add", names=["a"])
closed, kept = threading.Event(), threading.Event()
close = actors.launching.Launcher._close

def close_and_wait(launcher):
    close(launcher)
    closed.set()
    print(kept.wait(60), flush=True)

def stay():
    kept.set()
    threading.Event().wait()

def call_late():
    closed.wait()
    Node(connection, "a").call(os.getpid)

actors.launching.Launcher._close = close_and_wait
actors.node.stay_if_exiting = stay
threading.Thread(target=call_late, daemon=True).start()
"""
    assert run(code) == (0, ["True"], "")
