"""Results and arguments of 1 GiB pass, with no more copies than there have to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from actors.node import Node

numpy = pytest.importorskip("numpy")

T = TypeVar("T")

GIB = 1 << 30
SLACK = 256 << 20
"""Bytes for the memory that comes and goes with everything else."""


def available() -> int:
    """Bytes of memory that this machine has free."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


needs_memory = pytest.mark.skipif(available() < 5 * GIB, reason="5 GiB of free memory are needed")


def reset_peak() -> int:
    """Forget the most memory that this process had, and return what it has now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """The most memory that this process had, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def measured(node: Node, work: Callable[[], T]) -> tuple[T, int, int]:
    """Do some work; return its result and how much memory it took at most, here and there."""
    there, here = node.call(reset_peak), reset_peak()
    result = work()
    return result, peak() - here, node.call(peak) - there


@needs_memory
@pytest.mark.parametrize(
    ("make", "copies"),
    [
        # on the way in an array refers to the message, and bytes are copied from it
        pytest.param(lambda: numpy.ones(GIB // 8), 1, id="array"),
        pytest.param(lambda: b"x" * GIB, 2, id="bytes"),
    ],
)
def test_argument_of_a_gibibyte(a: Node, make: Callable[[], object], copies: int) -> None:
    value = make()
    length, here, there = measured(a, lambda: a.call(len, value))

    assert length == len(value)  # type: ignore[arg-type]
    assert here < SLACK
    assert there < copies * GIB + SLACK


@needs_memory
@pytest.mark.parametrize(
    ("make", "copies"),
    [
        pytest.param(lambda: numpy.ones(GIB // 8), 1, id="array"),
        pytest.param(lambda: b"x" * GIB, 2, id="bytes"),
    ],
)
def test_result_of_a_gibibyte(a: Node, make: Callable[[], object], copies: int) -> None:
    value, here, there = measured(a, lambda: a.call(make))

    assert value[-1] in (1.0, ord("x"))  # type: ignore[index]
    assert here < copies * GIB + SLACK
    assert there < GIB + SLACK


def test_large_values_leave_no_memory_behind(a: Node) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before, there = resident(), a.call(resident)
    for _ in range(5):
        assert len(a.call(bytes.upper, b"x" * (64 << 20))) == 64 << 20
        assert a.submit(lambda array: array + 1, numpy.ones(8 << 20)).result(60)[-1] == 2.0

    assert resident() - before < SLACK
    assert a.call(resident) - there < SLACK


def test_large_values_of_tasks_in_parallel(a: Node, b: Node) -> None:
    tasks = [node.submit(lambda i=i: bytes([i]) * (16 << 20)) for i in range(8) for node in (a, b)]

    for i, task in enumerate(tasks):
        value = task.result(60)
        assert (len(value), value[0], value[-1]) == (16 << 20, i // 2, i // 2)


def test_array_that_arrives_can_be_written_to(a: Node) -> None:
    def add_one(array: object) -> object:
        array += 1  # type: ignore[operator]
        return array

    found = a.call(add_one, numpy.zeros(1 << 20))
    found += 1
    assert found[0] == found[-1] == 2.0
