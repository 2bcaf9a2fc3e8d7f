"""Guests: a day in seconds, timing tests that repeat to the letter, and what the guest costs.

Needs the guest kernel: `make kernel`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.guest_work import costs
from benchmarks.report import Row

RUNS = 20
TESTS = 40
BUSY = 2
SPIN = "while True: pass"


def run() -> list[Row]:
    return [*a_day(), *timing_tests(), *ratios()]


def in_guest(kind: str, *command: str) -> str:
    """What a command prints in a guest with 2 GB of memory."""
    options = ["--time", kind, "--memory", "2G", "--quiet"]
    guest = [sys.executable, "-m", "patchbay", "guest", *options, "--", sys.executable]
    done = subprocess.run(
        [*guest, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    return done.stdout


def a_day() -> Iterator[Row]:
    begin = time.perf_counter()
    told = json.loads(in_guest("virtual", "-m", "benchmarks.guest_work", "keep_alives"))
    took = time.perf_counter() - begin
    ways = list(zip(told["sent"], told["received"], told["lost"], strict=True))
    missing = sum(abs(sent - received - lost) for sent, received, lost in ways)
    yield Row("24 h of keep-alives each way, every 25 s", took, "s", limit=60)
    note = "".join(f"  {sent} sent, {came} came, {lost} lost" for sent, came, lost in ways)
    yield Row("  packets not accounted for", missing, "", limit=0, note=note)


def timing_tests() -> Iterator[Row]:
    with busy():
        begin = time.perf_counter()
        outputs = Counter(suite("virtual") for _ in range(RUNS))
        took = (time.perf_counter() - begin) / RUNS
    output, same = outputs.most_common(1)[0]
    errors = [float(each) for each in re.findall(r"RTT error ([\d.]+) ms", output)]
    assert f"{TESTS} passed" in output, output
    yield Row(
        f"{TESTS} timing tests, other than the most frequent output",
        RUNS - same,
        f"of {RUNS}",
        limit=0,
    )
    yield Row("  largest RTT error, virtual time, busy machine", max(errors), "ms", limit=0.1)
    yield Row("  wall time of the suite, virtual time, busy machine", took, "s")
    begin = time.perf_counter()
    suite("virtual")
    virtual = time.perf_counter() - begin
    begin = time.perf_counter()
    output = suite("real")
    real = time.perf_counter() - begin
    errors = [float(each) for each in re.findall(r"RTT error ([\d.]+) ms", output)]
    yield Row("  the same, virtual time, nothing else runs", virtual, "s")
    yield Row("  the same, real time, nothing else runs", real, "s")
    yield Row("  largest RTT error, real time", max(errors), "ms")


def suite(kind: str) -> str:
    """What the suite prints; with a seed, so that virtual time repeats it.

    Its temporary directory is its own, for a number that another session of pytest takes first
    would be a difference between two runs.
    """
    options = f"--patchbay-guest-options=--quiet --memory 1G{' --seed 7' * (kind == 'virtual')}"
    base = Path(tempfile.gettempdir(), f"patchbay-timing-suite-{os.getpid()}")
    command = ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", f"--basetemp={base}"]
    done = subprocess.run(
        [
            sys.executable,
            *command,
            "benchmarks/timing_suite.py",
            f"--patchbay-guest={kind}",
            options,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    shutil.rmtree(base, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(f"the timing tests failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def busy() -> Iterator[None]:
    """Keep two processors busy meanwhile."""
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for each in others:
            each.send_signal(signal.SIGKILL)
            each.wait()


def ratios() -> Iterator[Row]:
    here = costs()
    there = json.loads(in_guest("real", "-m", "benchmarks.guest_work", "costs"))
    for name, what, unit, scale in (
        ("call", "a call, in a guest against the host", "us", 1),
        ("lab", "a lab, in a guest against the host", "ms", 1000),
        ("star", "star of 100, in a guest against the host", "s", 1),
    ):
        yield Row(what, there[name] / scale, unit, floor=here[name] / scale)
