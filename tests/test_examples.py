"""The examples run as they stand, and show what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from patchbay import clock

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
PATIENCE = 300
"""Seconds for an example: many times what it takes."""


def run(*command: str) -> str:
    """Run Python with these arguments, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=None if clock.is_virtual() else PATIENCE,  # days may pass there
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_every_example_is_run_by_a_test() -> None:
    here = Path(__file__).read_text()
    names = {path.name for path in EXAMPLES.iterdir() if not path.name.startswith("__")}
    assert {name for name in names if f'"examples/{name}' not in here} == set()


def test_demo_shows_the_main_job() -> None:
    shown = run("examples/demo.py")
    assert re.search(
        r"HTTP through NAT +the laptop is 10\.0\.1\.2, the server saw 198\.18\.0\.11", shown
    )
    assert re.search(r"an async echo +'hello'", shown)
    assert re.search(r"a subprocess +its host is called 'laptop'", shown)
    assert re.search(r"a socket in this process .*seen as 198\.18\.0\.11", shown)
    assert re.search(r"the phone, over Wi-Fi +seen as 198\.18\.0\.11", shown)
    assert re.search(r"the open connection says 'still here'", shown)
    assert re.search(r"a new connection +seen as 198\.18\.0\.12", shown)
    assert "No such file or directory: '/etc/laptop.toml'\n    on node 'laptop'" in shown
    assert re.search(r"^in all +[\d.]+ s$", shown, re.MULTILINE)


def test_demo_shows_of_a_remote_traceback_what_the_user_wrote() -> None:
    frames = re.findall(r'File "(.*)", line', run("examples/demo.py"))
    assert frames == ["examples/demo.py"]


def test_demo_fits_a_terminal() -> None:
    assert max(map(len, run("examples/demo.py").splitlines())) <= 100


def test_nat_hides_the_laptop() -> None:
    assert run("examples/nat_hides_the_laptop.py").splitlines() == [
        "the laptop is  10.0.1.2 port 5000",
        "the server saw 198.18.0.11 port 5000",
        "the router has 10.0.1.2:5000 as 198.18.0.11:5000 (udp)",
        "the laptop reaches the server: True",
        "the server reaches the laptop: False",
    ]


def test_packet_programs_lose_what_they_say() -> None:
    assert run("examples/packet_programs.py").splitlines() == [
        "of four QUIC Initials there arrive: 1 3 4",
        "a stream that lost a packet says: all of it",
        "a stream that lost a packet says: all of it",
        "packets that programs lost: 3",
    ]


def test_the_world_is_cut_and_gone_around() -> None:
    lines = dict(re.split(r" {2,}", line) for line in run("examples/world.py").splitlines())
    assert lines["the cable is cut"] == lines["a partition"] == "nothing comes back"
    told = [lines[when] for when in ("from eu to asia", "cut, and gone around", "mended")]
    direct, around, mended = (int(each.removesuffix(" ms")) for each in told)
    assert min(direct, mended) >= 240
    assert around >= 296


def test_handoff_keeps_the_session() -> None:
    lines = run("examples/handoff.py").splitlines()
    assert [line.partition(":")[2].split() for line in lines] == [
        ["198.18.0.11"],
        ["198.18.0.11", "->", "198.18.0.12"],
        ["198.18.0.11", "->", "198.18.0.12", "->", "198.18.0.12"],
    ]


def test_tunnel_cuts_the_link_and_is_played_again() -> None:
    lines = run("examples/tunnel.py").splitlines()
    assert [line[26:] for line in lines[:3]] == ["an answer", "no answer", "an answer"]
    assert re.fullmatch(r"recorded +\d+ changes", lines[3])
    assert lines[4:] == ["in the same tunnel        100 % are lost"]


def test_http_client_in_this_process_is_on_the_laptops_network() -> None:
    shown = run("examples/http_client_in_this_process.py")
    assert "in the block:    laptop, hello 198.18.0.11\n" in shown
    assert "after the block: laptop" not in shown
    assert "the server's log: 198.18.0.11 - - [" in shown


def test_crowd_is_seen_as_one() -> None:
    shown = run("examples/hundred_devices.py", "20")
    assert "20 devices, built in" in shown
    assert "whom the server saw: 198.18.0.11\n" in shown


def test_soak_stays_flat() -> None:
    """After the first lab, which starts what all labs share, files and threads stay as many."""
    table = [line.split() for line in run("examples/soak.py", "6").splitlines()[1:]]
    assert table[-1][0] == "6"
    assert {(files, threads) for _, files, threads, _ in table[1:]} == {tuple(table[1][1:3])}


@pytest.mark.patchbay_needs("guest")
def test_days_pass_in_seconds(tmp_path: Path) -> None:
    """In a guest, or where time is virtual already; the tests are those of the example."""
    if clock.in_guest() and clock.kind() != "virtual":
        pytest.skip("this is a guest in another kind of time, and a guest has none of its own")
    installed = any(each.name == "patchbay" for each in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "patchbay.pytest_plugin"]
    options = ["-p", "no:cacheprovider", "--basetemp", str(tmp_path), *plugin]
    options.append("--patchbay-guest-options=--quiet")
    shown = run("-m", "pytest", *options, "examples/virtual_time")
    days = re.search(r"\b9 passed in .*\((\d+) days, ", shown)
    assert days
    assert int(days[1]) >= 15


def test_tests_run_in_parallel(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    installed = any(each.name == "patchbay" for each in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "patchbay.pytest_plugin"]
    options = ["-p", "no:cacheprovider", "--basetemp", str(tmp_path), *plugin, "-n", "2"]
    shown = run("-m", "pytest", *options, "examples/parallel_pytest")
    assert re.search(r"\b4 passed\b", shown)
