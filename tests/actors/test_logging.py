"""Log records of a node reach the logging of the client, marked with the node."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from actors.node import Node

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield


def texts(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("lab")]


def log(*messages: str) -> None:
    for message in messages:
        logging.getLogger("lab.inner").info("said %s", message)


def test_records_are_there_before_the_result(a: Node, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(20):
        a.call(log, str(i))
        assert texts(caplog)[-1] == f"said {i}"
    (record,) = [each for each in caplog.records if each.getMessage() == "said 7"]

    assert record.node == "a"  # type: ignore[attr-defined]
    assert (record.name, record.levelno, record.funcName) == ("lab.inner", logging.INFO, "log")
    assert record.process == a.call(lambda: __import__("os").getpid())
    assert record.pathname == __file__


def test_records_of_tasks(a: Node, caplog: pytest.LogCaptureFixture) -> None:
    async def log_later() -> None:
        await asyncio.sleep(0)
        log("spawned")

    for make, text in (
        (lambda: a.submit(log, "submitted"), "said submitted"),
        (lambda: a.spawn(log_later()), "said spawned"),
    ):
        make().result(PATIENCE)
        assert texts(caplog)[-1] == text


def test_records_come_while_the_work_goes_on(a: Node, caplog: pytest.LogCaptureFixture) -> None:
    def log_and_block() -> None:
        log("now")
        time.sleep(3600)

    task = a.submit(log_and_block)
    deadline = time.monotonic() + PATIENCE
    while "said now" not in texts(caplog):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert not task.done()


def test_records_of_background_threads(a: Node, caplog: pytest.LogCaptureFixture) -> None:
    """They come at once where a task has been; else with the next result, and none is lost."""

    def log_in_background() -> None:
        thread = threading.Thread(target=log, args=["background"])
        thread.start()
        thread.join()

    a.call(log_in_background)
    assert texts(caplog) == ["said background"]
    a.submit(int).result(PATIENCE)
    a.call(lambda: threading.Timer(0.05, log, ["later"]).start())
    deadline = time.monotonic() + PATIENCE
    while "said later" not in texts(caplog):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert texts(caplog) == ["said background", "said later"]


def test_records_are_handled_once(a: Node, b: Node, caplog: pytest.LogCaptureFixture) -> None:
    for node in (a, b):
        node.submit(log, node.name).result(PATIENCE)
        node.call(log, node.name)
        node.submit(log, node.name).result(PATIENCE)

    assert texts(caplog) == ["said a"] * 3 + ["said b"] * 3


def test_levels_are_decided_here(a: Node, caplog: pytest.LogCaptureFixture) -> None:
    def all_levels() -> None:
        for level in (5, 10, 20, 30, 40, 50):
            logging.getLogger("lab.levels").log(level, "level %d", level)

    logger = logging.getLogger("lab.levels")
    logger.setLevel(logging.WARNING)
    try:
        a.call(all_levels)
    finally:
        logger.setLevel(logging.NOTSET)
    assert texts(caplog) == ["level 30", "level 40", "level 50"]
    caplog.clear()
    a.call(all_levels)
    assert texts(caplog) == ["level 10", "level 20", "level 30", "level 40", "level 50"]


def test_handlers_and_filters_of_this_process_are_used(a: Node) -> None:
    seen: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(self.format(record))

    logger = logging.getLogger("lab.inner")
    handler = Handler()
    handler.setFormatter(logging.Formatter("%(node)s/%(levelname)s/%(message)s"))
    logger.addHandler(handler)
    logger.addFilter(only_odd)
    try:
        a.call(log, "1", "2", "3")
    finally:
        logger.removeHandler(handler)
        logger.removeFilter(only_odd)
    assert seen == ["a/INFO/said 1", "a/INFO/said 3"]


def only_odd(record: logging.LogRecord) -> bool:
    return record.getMessage()[-1] in "13579"


def test_filter_that_raises_does_no_harm(
    a: Node, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("broken filter")

    logger = logging.getLogger("lab.inner")
    logger.addFilter(broken)
    try:
        assert a.call(lambda: log("1") or 5) == 5
        assert a.submit(lambda: log("2") or 6).result(PATIENCE) == 6
    finally:
        logger.removeFilter(broken)
    a.submit(log, "3").result(PATIENCE)

    assert capsys.readouterr().err.count("RuntimeError: broken filter") == 2
    assert texts(caplog) == ["said 3"]


def test_exceptions_are_logged_with_their_traceback(
    a: Node, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            logging.getLogger("lab").exception("it failed", stack_info=True)

    a.call(fail)
    (record,) = [each for each in caplog.records if each.name == "lab"]
    assert "ZeroDivisionError" in record.exc_text
    assert "in fail" in record.exc_text
    assert "in fail" in record.stack_info
    assert "ZeroDivisionError" in caplog.text


def test_extras(a: Node, caplog: pytest.LogCaptureFixture) -> None:
    """They travel; one that cannot becomes its text, and the others stay what they are."""

    class Local:
        def __eq__(self, other: object) -> bool:
            return type(other).__name__ == "Local"

        __hash__ = None  # type: ignore[assignment]

    def log_extras() -> None:
        extra = {"number": 5, "lock": threading.Lock(), "local": Local(), "things": [1, {"x": 2}]}
        logging.getLogger("lab").info("extras %s", threading.Lock(), extra=extra)

    a.call(log_extras)
    (record,) = [each for each in caplog.records if each.name == "lab"]
    assert record.number == 5  # type: ignore[attr-defined]
    assert record.things == [1, {"x": 2}]  # type: ignore[attr-defined]
    assert record.local == Local()  # type: ignore[attr-defined]
    assert "lock" in record.lock  # type: ignore[attr-defined]
    assert record.getMessage().startswith("extras <unlocked _thread.lock")


def test_arguments_that_do_not_fit_are_shown_by_the_node(a: Node) -> None:
    a.call(lambda: logging.getLogger("lab").info("%d numbers", "no"))
    assert any("Logging error" in line.text for line in a.output())
    assert a.call(lambda: 1) == 1


def test_warnings_module_and_root_logger(a: Node, caplog: pytest.LogCaptureFixture) -> None:
    a.call(lambda: logging.warning("of the root"))
    assert "of the root" in caplog.text
    assert a.output() == []
