"""What nodes print: kept with time and stream, in memory and in a file, shown in their errors."""

from __future__ import annotations

import faulthandler
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import NodeDied
from actors.node import Node
from actors.output import LONGEST_LINE, RING_LINES, Lines, OutputLine, Record


def texts(node: Node) -> list[str]:
    return [line.text for line in node.output()]


def wait_for(node: Node, condition: Callable[[list[str]], bool]) -> list[str]:
    deadline = time.monotonic() + 60
    while not condition(found := texts(node)):
        assert time.monotonic() < deadline, found
        time.sleep(0.005)
    return found


# --- of a node -----------------------------------------------------------------------------------


def test_prints_are_there_when_the_call_is_done(a: Node, b: Node) -> None:
    before = time.time()
    for i in range(20):
        a.call(print, i)
        assert texts(a)[-1] == str(i)
    a.call(lambda: print("to stderr", file=sys.stderr))
    last = a.output()[-1]

    assert (last.stream, last.text) == ("stderr", "to stderr")
    assert before <= last.time <= time.time()
    assert f"{last}".endswith(" stderr to stderr")
    assert b.output() == []


def test_prints_without_a_line_end_are_there_too(a: Node) -> None:
    a.call(print, "par", end="")
    assert texts(a) == ["par"]
    a.call(print, "tial")
    assert texts(a) == ["partial"]


def test_prints_of_tasks_threads_and_programs(a: Node) -> None:
    async def say() -> None:
        print("coroutine", end="")

    def say_in_thread() -> None:
        threading.Thread(target=print, args=["thread"]).start()

    a.submit(print, "task").result(60)
    assert texts(a) == ["task"]
    a.spawn(say()).result(60)
    a.call(print, "")
    a.call(say_in_thread)
    wait_for(a, lambda found: "thread" in found)
    a.run(["sh", "-c", "echo program"], capture_output=False)
    a.call(os.write, 1, b"descriptor\n")

    assert texts(a) == ["task", "coroutine", "thread", "program", "descriptor"]


def test_output_comes_while_the_code_runs(a: Node) -> None:
    def say_and_block() -> None:
        print("begun")
        time.sleep(3600)

    task = a.submit(say_and_block)
    wait_for(a, lambda found: found == ["begun"])
    assert not task.done()


def test_standard_input_is_empty(a: Node) -> None:
    assert a.call(lambda: sys.stdin.read()) == ""


def test_the_last_thousand_lines_are_kept(a: Node) -> None:
    a.call(lambda: [print(i) for i in range(RING_LINES + 500)] and None)

    assert texts(a) == [str(i) for i in range(500, RING_LINES + 500)]


def test_long_lines_come_in_pieces_and_whole(a: Node) -> None:
    line = "é" * (1 << 19)
    a.call(lambda: print("é" * (1 << 19)) or print("after"))
    found = texts(a)

    assert "".join(found[:-1]) == line
    assert found[-1] == "after"
    assert max(len(text.encode()) for text in found) <= LONGEST_LINE


def test_what_is_no_utf8_is_shown(a: Node) -> None:
    a.call(os.write, 1, b"\xffx\xc3\n")

    assert texts(a) == ["\\xffx\\xc3"]


def test_node_that_prints_without_end_is_no_burden(a: Node, b: Node) -> None:
    with a.popen(["yes"]) as process:
        wait_for(a, lambda found: len(found) == RING_LINES)
        assert b.call(lambda: 1) == 1
        b.restart()
        process.kill()


def test_error_of_a_dead_node_shows_its_last_lines(a: Node) -> None:
    def die() -> None:
        faulthandler.disable()  # it is on in a guest, and has words of its own
        for i in range(30):
            print("line", i)
        print("last words", end="", flush=True)
        os.abort()

    with pytest.raises(NodeDied) as caught:
        a.call(die)

    assert caught.value.output[-2:] == ("line 29", "last words")
    assert len(caught.value.output) == 20
    assert "    last words" in str(caught.value)
    assert texts(a)[-1] == "last words"


def test_crash_shows_nothing_of_another_process(a: Node) -> None:
    """Output of dead processes is kept, and goes on with that of the next."""
    with pytest.raises(NodeDied):
        a.call(lambda: print("first") or os._exit(1))
    a.restart()
    a.call(print, "second")

    assert texts(a) == ["first", "second"]


# --- cutting lines -------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_lines_are_the_same_wherever_reads_end(data: bytes, cuts: list[int]) -> None:
    lines = Lines("stdout")
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found = [
        line.text
        for start, end in itertools.pairwise(edges)
        for line in lines.feed(data[start:end], 1.0)
    ]
    found += [line.text for line in lines.finish()]
    expected = [line.decode(errors="backslashreplace") for line in data.split(b"\n")]

    assert found == (expected if expected[-1] else expected[:-1])
    assert lines.finish() == []


@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("offset", range(4))
def test_long_lines_are_cut_between_characters(character: str, offset: int) -> None:
    text = "-" * offset + character * LONGEST_LINE
    lines = Lines("stdout")
    found = lines.feed(text.encode() + b"\n", 1.0)

    assert "".join(line.text for line in found) == text
    assert all(len(line.text.encode()) <= LONGEST_LINE for line in found)


def test_long_lines_of_garbage_are_cut_as_well() -> None:
    found = Lines("stdout").feed(b"\x80" * (LONGEST_LINE * 3) + b"\n", 1.0)

    assert "".join(line.text for line in found) == "\\x80" * (LONGEST_LINE * 3)


# --- the record ----------------------------------------------------------------------------------


def test_record_is_written_to_a_file_at_once(tmp_path: Path) -> None:
    record = Record(str(tmp_path / "made" / "a.log"))
    out, err = record.open("stdout"), record.open("stderr")
    assert not (tmp_path / "made").exists()
    record.feed(out, b"one\ntw")
    record.feed(err, b"oops\n")
    record.finish(out)
    lines = (tmp_path / "made" / "a.log").read_text().splitlines()
    record.close()
    record.close()

    assert [line.split(" ", 1)[1] for line in lines] == ["stdout one", "stderr oops", "stdout tw"]
    assert datetime.fromisoformat(lines[0].split()[0]).tzinfo is not None


def test_record_shows_unfinished_lines_last() -> None:
    record = Record(None)
    out, err = record.open("stdout"), record.open("stderr")
    record.feed(out, b"promp")
    record.feed(err, b"whole\n")

    assert [line.text for line in record.lines()] == ["whole", "promp"]
    assert record.last(1) == ["promp"]
    record.feed(out, b"t\n")
    assert [line.text for line in record.lines()] == ["whole", "prompt"]
    assert isinstance(record.lines()[0], OutputLine)
