"""What every test has: a check that it left nothing behind, and a bare lab for those that ask."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import hypothesis
import pytest
import zmq
from hypothesis.internal.conjecture import providers

from actors.connection import Connection
from actors.launching import Launcher
from actors.node import Node
from actors.tasks import Task

PATIENCE = 60.0
"""Seconds for what a test has closed to be gone: a thread or a killed process takes a moment."""

# A test says the same on a busy machine as on an idle one, and today as tomorrow.
hypothesis.settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")
# Examples are made of numbers that are in the source of the project, too: of those modules that
# happen to be imported by then, which is another choice in every process of every run.
providers._get_local_constants = providers.Constants


@dataclass(frozen=True)
class Holdings:
    """What this process has, each with how many of it: all that a test could leave behind."""

    descriptors: Counter[str]
    threads: Counter[str]
    processes: Counter[str]
    files: Counter[str]

    def since(self, before: Holdings) -> dict[str, list[str]]:
        """What there was not before."""
        return {
            field.name: list(more.elements())
            for field in fields(self)
            if (more := getattr(self, field.name) - getattr(before, field.name))
        }


def holdings(directory: Path) -> Holdings:
    """What this process has now, but for its launcher, which lives as long as it does."""
    launcher = Launcher._shared
    explained = set() if launcher is None else {launcher._channel.fileno()}
    descriptors: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in explained:
            try:
                descriptors[os.readlink(f"/proc/self/fd/{name}")] += 1
            except FileNotFoundError:
                continue  # the one of the listing itself
    python_threads = {each.native_id: each.name for each in threading.enumerate()}
    threads = Counter(
        python_threads.get(int(each), "a thread of the kernel's alone")
        for each in os.listdir("/proc/self/task")
    )
    processes = Counter(
        str(pid)  # and not its name, which it may change
        for pid in descendants(os.getpid())
        if launcher is None or pid != launcher.pid
    )
    return Holdings(descriptors, threads, processes, Counter(os.listdir(directory)))


def descendants(pid: int) -> Iterator[int]:
    """The process ids of children, of their children, and so on."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            children = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        for child in map(int, children):
            try:
                below = list(descendants(child))
            except (FileNotFoundError, ProcessLookupError):
                continue
            yield child
            yield from below


def names(processes: list[str]) -> list[str]:
    """What processes are called that still run."""
    found = []
    for pid in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(Path(f"/proc/{pid}/comm").read_text().strip())
    return found


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for temporary files that no other process uses."""
    directory = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(directory))
        patch.delenv("PYTEST_DEBUG_TEMPROOT", raising=False)  # goes before TMPDIR for pytest
        patch.setattr(tempfile, "tempdir", str(directory))
        yield directory


@pytest.fixture(scope="session", autouse=True)
def zmq_collector() -> None:
    """Start the threads that live as long as the process: numpy's, and pyzmq's for large messages."""
    if importlib.util.find_spec("numpy"):
        importlib.import_module("numpy")
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as two:
        one.bind("inproc://collector")
        two.connect("inproc://collector")
        one.send(bytes(1 << 20), copy=False)
        two.recv()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("patchbay_require"):
        report.outcome = "failed"  # also where it is not a capability of the host that is missing
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(autouse=True)
def nothing_left_behind(
    request: pytest.FixtureRequest, temporary_files: Path, zmq_collector: None
) -> Iterator[None]:
    """Descriptors, threads, child processes and temporary files are as before the test."""
    before = holdings(temporary_files)
    yield
    if request.node.stash.get(FAILED, False):
        return  # its traceback, which is kept to be shown, holds on to what was open
    deadline = time.monotonic() + PATIENCE
    while left := holdings(temporary_files).since(before):
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {left} {names(left.get('processes', []))}")
        gc.collect()
        time.sleep(0.01)


@pytest.fixture
def connection(nothing_left_behind: None) -> Iterator[Connection]:
    """A lab of two nodes, `a` and `b`, that are connected with nothing."""
    connection = Connection("t", "actors.bare:Bare", {})
    try:
        connection.request("add", names=["a", "b"])
        yield connection
    finally:
        connection.close()


@pytest.fixture
def a(connection: Connection) -> Node:
    """The node `a` of the lab."""
    return Node(connection, "a")


@pytest.fixture
def occupy() -> Callable[[Node], Task[None]]:
    """Put work in the main thread of a node, so that what comes next runs beside it."""

    def hold_main_thread(name: str) -> None:
        if threading.current_thread() is threading.main_thread():
            sys.main_thread_is_held_by = name  # type: ignore[attr-defined]
            time.sleep(3600)

    def is_held_by(name: str) -> bool:
        return getattr(sys, "main_thread_is_held_by", "") == name

    def occupy(node: Node) -> Task[None]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            name = uuid.uuid4().hex
            work = node.submit(hold_main_thread, name)
            while not work.done():
                if node.call(is_held_by, name):
                    return work
        raise AssertionError("the main thread is always taken")

    return occupy


@pytest.fixture
def b(connection: Connection) -> Node:
    """The node `b` of the lab."""
    return Node(connection, "b")
