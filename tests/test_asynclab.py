"""The lab for asyncio code: the same names as the blocking one, awaited, and a loop that runs on."""

import asyncio
import contextlib
import inspect
import os
import socket
import subprocess
import sys
import threading

import pytest

from actors.process import Process
from patchbay import (
    AsyncCapture,
    AsyncDevice,
    AsyncIface,
    AsyncIx,
    AsyncLab,
    AsyncLinkRecording,
    AsyncPartition,
    AsyncProcess,
    AsyncReflector,
    AsyncRegion,
    AsyncRouter,
    AsyncStunServer,
    CallTimeout,
    Capture,
    ConfigError,
    Device,
    Iface,
    Ix,
    Lab,
    LinkRecording,
    NodeDied,
    NodeGone,
    Partition,
    Reflector,
    Region,
    Router,
    StunServer,
)
from patchbay.aio.twin import Twin, awaited

TWINS = [
    (Lab, AsyncLab),
    (Device, AsyncDevice),
    (Router, AsyncRouter),
    (Region, AsyncRegion),
    (Partition, AsyncPartition),
    (Ix, AsyncIx),
    (Iface, AsyncIface),
    (Reflector, AsyncReflector),
    (Capture, AsyncCapture),
    (LinkRecording, AsyncLinkRecording),
    (StunServer, AsyncStunServer),
]
INTERNAL = {"request", "request_with", "add_name", "look_up", "ask_door", "start"}
"""What handles ask of each other; not for users."""
AT_ONCE = {
    "node",
    "device",
    "router",
    "router_of",
    "region",
    "region_of",
    "iface",
    "network",
    "submit",
    "spawn",
    "load",
    "batch",
}
"""Methods that are not awaited: they hand out something to go on with."""


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")} - INTERNAL


@pytest.mark.parametrize(("blocking", "twin"), TWINS, ids=lambda kind: kind.__name__)
def test_twins_have_the_same_names(blocking, twin):
    assert public(blocking) - public(twin) == set()
    assert public(twin) - public(blocking) - {"sync", "protocol", "port"} == set()


@pytest.mark.parametrize(("blocking", "twin"), TWINS, ids=lambda kind: kind.__name__)
def test_twins_take_the_same_arguments(blocking, twin):
    names = {"__init__"} if blocking is Lab else set()
    for name in names | public(blocking):
        one, other = inspect.getattr_static(blocking, name), inspect.getattr_static(twin, name)
        if callable(one) or isinstance(one, classmethod):
            assert shape(getattr(twin, name)) == shape(getattr(blocking, name)), name
        else:
            assert not callable(other), f"{name} is a property"


def shape(function):
    """Names, kinds and defaults of parameters, but for the handle's."""
    parameters = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in parameters if each.name != "self"]


@pytest.mark.parametrize(("blocking", "twin"), TWINS, ids=lambda kind: kind.__name__)
def test_methods_are_awaited_but_for_those_that_hand_out_handles(blocking, twin):
    for name in public(blocking):
        if inspect.isfunction(method := inspect.getattr_static(twin, name)):
            is_awaited = inspect.iscoroutinefunction(method)
            assert is_awaited == (name not in AT_ONCE), name


def test_a_process_has_the_names_of_the_blocking_one():
    names = {"args", "communicate", "kill", "node_pid", "pid", "poll", "returncode"}
    names |= {"send_signal", "terminal", "terminate", "wait"}

    assert names <= public(AsyncProcess) | {"returncode"}
    assert {"wait", "communicate", "poll", "kill", "terminate", "send_signal"} <= public(Process)
    assert shape(AsyncProcess.communicate) == shape(Process.communicate)
    assert shape(AsyncProcess.wait) == shape(Process.wait)


@contextlib.asynccontextmanager
async def small_lab():
    """A server and a laptop behind one router."""
    async with AsyncLab("small") as lab:
        async with lab.batch():
            home = await lab.add_router("home", preset="home")
            server = await lab.add_device("server", home)
            laptop = await lab.add_device("laptop", home)
        yield lab, server, laptop


def in_lab(test):
    """Run a test, which is an async function, with a small lab."""

    def run():
        async def main():
            async with small_lab() as (lab, server, laptop):
                await test(lab, server, laptop)

        asyncio.run(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


def interrupted(path):
    """Block, and leave a mark when that is interrupted."""
    try:
        with open(path, "w") as file:
            file.write("running")
        one, _other = socket.socketpair()
        one.recv(1)
    finally:
        os.unlink(path)


async def until(condition):
    """Let the loop run until something is so."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110, the kernel sets no asyncio.Event
            await asyncio.sleep(0.001)


@in_lab
async def test_a_lab_is_built_and_changed(lab, server, laptop):
    home = lab.router("home")
    assert isinstance(home, AsyncRouter)
    assert home.lab is lab
    assert [each.name for each in lab.devices] == ["server", "laptop"]
    assert lab.node("laptop") == laptop != server
    assert laptop.iface("eth0").router == home
    assert laptop.iface("eth0").ip == laptop.ip
    assert isinstance(lab.ix, AsyncIx)

    office = await lab.add_router("office")
    second = await laptop.add_iface("eth1", office)
    assert isinstance(second, AsyncIface)
    assert second.node is laptop
    await second.down()
    assert not second.is_up
    await laptop.iface("eth0").replug(office)
    assert laptop.iface("eth0").router == office
    await lab.dns_entry("www", server)
    assert await laptop.resolve("www") == server.ip
    await lab.emit("half_time", score=1)
    assert [event.kind for event in await lab.events()][-1] == "half_time"
    assert "laptop" in await lab.to_toml()
    assert "laptop" in str(lab)
    await lab.remove(server)
    with pytest.raises(NodeGone):
        await server.call(len, [])
    with pytest.raises(ConfigError, match="did you mean 'laptop'"):
        lab.device("lapptop")


@in_lab
async def test_packets_flow(lab, server, laptop):
    assert await laptop.ping(server, timeout=30)
    async with await server.reflector() as reflector:
        assert (await reflector.observe(laptop, timeout=30)).ip == laptop.ip
    reader, writer = None, None

    async def greet(_, client):
        client.write(b"hello")
        client.close()

    async with await server.start_server(greet, "", 8000):
        reader, writer = await laptop.open_connection(server, 8000)
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
        with laptop.network():
            reader, writer = await asyncio.open_connection("server", 8000)
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
    with await laptop.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect((str(server.ip), 9))
        assert sock.getsockname()[0] == str(laptop.ip)


@in_lab
async def test_a_link_is_recorded(lab, server, laptop):
    eth0 = laptop.iface("eth0")
    async with await eth0.record_conditions() as recording:
        await eth0.set_condition("wifi", "up")
        assert (await recording.trace()).changes[-1][1] == await eth0.condition("up")
    assert await recording.stop() == await recording.trace()
    await eth0.set_condition(await recording.stop())
    assert await eth0.schedule() == await recording.trace()


@in_lab
async def test_handles_may_be_awaited_too(lab, server, laptop):
    assert await lab.device("laptop") is not None
    assert await (await laptop.iface("eth0")).condition() is None


@in_lab
async def test_code_runs_on_nodes(lab, server, laptop):
    async def later(value):
        return value

    assert await server.call(lambda one, *, two: one + two, 1, two=2) == 3
    assert await server.submit(len, "four") == 4
    assert await server.spawn(later, 5) == 5
    assert await server.spawn(later(6)) == 6
    with pytest.raises(ZeroDivisionError) as caught:
        await server.call(divmod, 1, 0)
    assert any("server" in note for note in caught.value.__notes__)
    with pytest.raises(NodeDied):
        await server.call(os._exit, 3)
    await server.restart()
    assert await server.call(len, []) == 0


@in_lab
async def test_many_calls_are_under_way_at_once(lab, server, laptop):
    """More of them than a node takes at a time, and than there are threads in the pool."""
    calls = [server.call(pow, 2, number) for number in range(200)]

    assert await asyncio.gather(*calls) == [2**number for number in range(200)]


def test_cancelling_a_call_interrupts_the_code(tmp_path):
    mark = tmp_path / "mark"

    @in_lab
    async def test(lab, server, laptop):
        call = asyncio.create_task(server.call(interrupted, str(mark)))
        await until(mark.exists)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not mark.exists())

    test()


def test_cancelling_the_first_call_leaves_nothing_running(tmp_path):
    """Also while the way to the node is still looked for."""

    @in_lab
    async def test(lab, server, laptop):
        for turns in range(6):
            call = asyncio.create_task(server.call(interrupted, str(tmp_path / str(turns))))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await until(lambda: not list(tmp_path.iterdir()))

    test()


def test_a_timeout_interrupts_the_code_and_says_where_it_was(tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    monkeypatch.setattr("patchbay.aio.nodes.INTERRUPTION", 60.0)

    @in_lab
    async def test(lab, server, laptop):
        for timeout in (0.3, 3, 30):  # until the code has begun before
            with pytest.raises(CallTimeout) as caught:
                await server.call(interrupted, str(mark), timeout=timeout)
            if "in interrupted" in str(caught.value):
                break
        assert caught.value.interrupted
        assert "in interrupted" in str(caught.value)
        assert not mark.exists()
        with pytest.raises(TimeoutError, match="mine"):
            await server.call(raise_timeout, timeout=60)
        assert await server.call(len, [], timeout=60) == 0

    test()


def raise_timeout():
    raise TimeoutError("mine")


@in_lab
async def test_the_loop_runs_on_while_the_network_is_changed(lab, server, laptop):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    office = await lab.add_router("office")
    async with lab.batch():
        for number in range(10):
            before = turns
            await lab.add_device(f"d{number}", office)
        before = turns
    assert turns > before
    counting.cancel()


@in_lab
async def test_a_batch_that_raises_builds_nothing(lab, server, laptop):
    async def leave_early():
        async with lab.batch():
            await lab.add_router("office")
            raise KeyError

    async def mistype():
        async with lab.batch():
            await lab.add_router("office")
            await lab.add_device("printer", "offfice")

    with pytest.raises(KeyError):
        await leave_early()
    with pytest.raises(ConfigError, match="did you mean 'office'"):
        await mistype()
    assert [router.name for router in lab.routers] == ["home"]


def test_a_change_whose_waiter_is_cancelled_completes():
    began, may_end = threading.Event(), threading.Event()

    class Thing:
        changed = False

        def change(self):
            began.set()
            may_end.wait()
            self.changed = True

    class AsyncThing(Twin):
        change = awaited(Thing.change)

    async def main():
        change = asyncio.create_task(AsyncThing(thing).change())
        await until(began.is_set)
        change.cancel()
        with pytest.raises(asyncio.CancelledError):
            await change
        may_end.set()

    thing = Thing()
    asyncio.run(main())

    assert thing.changed


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"input": "two\r\nlines"},
        {"input": b"bytes\r\n"},
        {"capture_output": True},
        {"capture_output": True, "text": True, "input": "text\r\n"},
        {"capture_output": True, "encoding": "latin-1", "input": "\xe4"},
        {"capture_output": False},
        {"stderr": subprocess.STDOUT},
        {"text": False},
    ],
    ids=str,
)
def test_run_is_the_blocking_run(options):
    command = [
        sys.executable,
        "-c",
        "import sys; print(sys.stdin.read()); print(1, file=sys.stderr)",
    ]
    if "input" not in options:
        options = options | {"stdin": subprocess.DEVNULL}

    @in_lab
    async def test(lab, server, laptop):
        expected = await asyncio.to_thread(server.sync.run, command, **options)
        assert vars(await server.run(command, **options)) == vars(expected)

    test()


@in_lab
async def test_programs_end_as_they_should(lab, server, laptop):
    done = await server.run(["echo", server, laptop.ip])
    assert done.stdout == f"{server.ip} {laptop.ip}\n"
    with pytest.raises(subprocess.CalledProcessError):
        await server.run(["false"], check=True)
    with pytest.raises(FileNotFoundError):
        await server.run(["no-such-program"])
    for timeout in (0.3, 3, 30):  # until there was time to say something
        with pytest.raises(subprocess.TimeoutExpired) as caught:
            await server.run("echo before; sleep 1000", shell=True, timeout=timeout)
        if caught.value.stdout:
            break
    assert caught.value.stdout == "before\n"


@in_lab
async def test_a_process_has_streams(lab, server, laptop):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    async with await server.popen(["cat"], **pipes) as cat:
        cat.stdin.write(b"one\n")
        assert await cat.stdout.readline() == b"one\n"
        assert cat.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            await cat.wait(timeout=0.01)
        assert await cat.communicate(bytes(1 << 20)) == (bytes(1 << 20), None)
    assert cat.returncode == 0
    async with await server.popen("cat; sleep 1000", shell=True, **pipes) as slow:
        with pytest.raises(subprocess.TimeoutExpired):
            await slow.communicate(b"a few words", timeout=0.1)
        with pytest.raises(ValueError, match="after starting"):
            await slow.communicate(b"some more")
        while "sleep" not in children_of(slow.pid):  # until all was said
            with pytest.raises(subprocess.TimeoutExpired):
                await slow.communicate(timeout=0.1)
        slow.kill()
        assert await slow.communicate() == (b"a few words", None)
    async with await server.popen(["cat"], **pipes) as cat:
        cat.kill()
        assert await asyncio.gather(cat.wait(), cat.wait()) == [-9, -9]


@in_lab
async def test_a_cancelled_run_kills_the_program(lab, server, laptop):
    run = asyncio.create_task(server.run(["sleep", "1000"]))
    await until(lambda: "sleep" in children_of(server.pid))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(lambda: "sleep" not in children_of(server.pid))


def children_of(process):
    """The programs that a process has started, and that run."""
    found = []
    for task in os.listdir(f"/proc/{process}/task"):
        pids = []
        with (
            contextlib.suppress(FileNotFoundError),
            open(f"/proc/{process}/task/{task}/children") as children,
        ):
            pids = children.read().split()
        for pid in pids:
            ended = FileNotFoundError, ProcessLookupError
            with contextlib.suppress(*ended), open(f"/proc/{pid}/comm") as comm:
                found.append(comm.read().strip())
    return found


def test_a_lab_can_be_awaited_instead_of_entered(tmp_path):
    async def main():
        lab = AsyncLab("kept", seed=7)
        assert repr(lab) == "<AsyncLab not started>"
        with pytest.raises(RuntimeError, match="await AsyncLab"):
            assert lab.devices
        await lab.close()
        assert await lab is lab
        try:
            assert (lab.name, lab.seed) == ("kept", 7)
            await lab.add_router("home")
            path = tmp_path / "lab.toml"
            path.write_text(await lab.to_toml())
        finally:
            await lab.close()
        assert lab.closed
        with pytest.raises(NodeGone):
            await lab.add_router("office")
        await lab.close()
        async with AsyncLab.load(path) as copy:
            assert [router.name for router in copy.routers] == ["home"]

    asyncio.run(main())


def test_mistakes_are_told_when_the_lab_starts():
    async def main():
        with pytest.raises(ConfigError, match="did you mean 'kernel'"):
            await AsyncLab(link_engine="kernal")
        with pytest.raises(FileNotFoundError):
            await AsyncLab.load("/no/such.toml")

    asyncio.run(main())


@pytest.mark.parametrize("turns", [1, 3, 50])
def test_a_lab_whose_start_is_cancelled_is_closed(turns):
    """Whenever that is: the check for what a test left behind sees to it."""

    async def main():
        start = asyncio.create_task(AsyncLab().__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await start).close()

    asyncio.run(main())


def test_a_lab_outlives_the_thread_that_started_it():
    """The pool's threads end with their loop; the launcher and later labs do not."""
    for _ in range(2):
        asyncio.run(ping_once())


async def ping_once():
    async with small_lab() as (_, server, laptop):
        assert await laptop.ping(server, timeout=30)
