"""What the documents say is so: their Python prints what they show, and their lists are whole."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path

import pytest

import patchbay
from patchbay import (
    Lab,
    clock,
    director,
    events,
    link_requests,
    nat_requests,
    observer,
    player,
    rebindings,
)
from patchbay.doctor.facts import NAMES, Facts, Outcome
from patchbay.doctor.verdict import diagnose

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
PATIENCE = 300
"""Seconds for the Python of a page: many times what it takes."""


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The code blocks of a page in a language, each with the number of its first line."""
    found: list[tuple[int, str]] = []
    inside, start, lines = "", 0, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r"```(.*)$", line)
        if fence and inside:
            if inside == language:
                found.append((start, "\n".join(lines) + "\n"))
            inside = ""
        elif fence:
            inside, start, lines = fence[1].strip() or "text", number + 1, []
        elif inside:
            lines.append(line)
    return found


def as_program(page: Path) -> str:
    """The Python of a page in one piece, each line where it stands on the page."""
    program: list[str] = []
    for start, code in blocks(page, "python"):
        program += [""] * (start - 1 - len(program)) + code.splitlines()
    return "\n".join(program)


def shown_output(page: Path) -> list[str]:
    """What the page says that its Python prints: comments that begin with an arrow."""
    lines = "".join(code for _, code in blocks(page, "python")).splitlines()
    return re.findall(r"^ *# -> *(.*?) *$", "\n".join(lines), re.MULTILINE)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, where patchbay can be imported."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=None if clock.is_virtual() else PATIENCE,  # a page may let hours pass
    )


def plugin() -> list[str]:
    """What pytest has to be told where patchbay is not installed."""
    installed = any(each.name == "patchbay" for each in entry_points(group="pytest11"))
    return [] if installed else ["-p", "patchbay.pytest_plugin"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_a_page_runs_and_prints_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    """What looks like a test is run by pytest too."""
    program = tmp_path / f"{page.stem.replace('-', '_')}.py"
    program.write_text(as_program(page))
    done = run("-W", "error", program.name, cwd=tmp_path)
    assert done.returncode == 0, f"{page.name}, lines as on the page:\n{done.stderr}"
    assert [line.strip() for line in done.stdout.splitlines()] == shown_output(page)
    if re.search(r"^def test_", program.read_text(), re.MULTILINE):
        done = run("-m", "pytest", "-p", "no:cacheprovider", *plugin(), program.name, cwd=tmp_path)
        assert done.returncode == 0, f"{page.name}, lines as on the page:\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_topologies_on_a_page_can_be_loaded(page: Path, tmp_path: Path) -> None:
    for start, text in blocks(page, "toml"):
        if "[device." in text or "[[router]]" in text:
            file = tmp_path / f"{page.stem}-{start}.toml"
            file.write_text(text)
            Lab.load(file).close()


def test_readme_shows_what_the_demo_prints() -> None:
    """All of it but the times, which differ."""
    shown = next(text for _, text in blocks(ROOT / "README.md", "text") if "HTTP through" in text)
    done = run("examples/demo.py", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert without_times(done.stdout) == without_times(shown)


def without_times(text: str) -> list[str]:
    """The lines that are the same each time: markers below code differ between Pythons too."""
    lines = (re.sub(r" +[\d.]+ m?s$", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line and set(line) - set("^~ ")]


def test_readme_begins_with_what_it_is_and_the_two_commands() -> None:
    opening = (ROOT / "README.md").read_text()[:1500]
    assert opening.startswith("# patchbay\n")
    assert "\nmake demo " in opening
    assert "\nmake test " in opening


def test_every_relative_link_leads_somewhere() -> None:
    dead = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


def test_every_public_name_is_in_the_reference() -> None:
    reference = (ROOT / "docs/api.md").read_text()
    documented = set(re.findall(r"auto\w+:: patchbay\.(\w+)", reference))
    assert set(patchbay.__all__) - {"__version__"} - documented == set()


def test_every_kind_of_event_is_described() -> None:
    """With the fields that it has."""
    page = (ROOT / "docs/files.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| (.*) \|$", page, re.MULTILINE))
    described = {kind: set(re.findall(r"`(\w+)`", fields)) for kind, fields in rows.items()}
    for kind, fields in logged_events().items():
        assert kind in described, f"docs/files.md does not know the event {kind!r}"
        assert fields <= described[kind], kind
    assert {"opid", "timestamp", "kind"} <= set(re.findall(r"`(\w+)`", page))


def logged_events() -> dict[str, set[str]]:
    """The events that the sources note, by kind, with the fields named there."""
    found: dict[str, set[str]] = {}
    modules = director, link_requests, nat_requests, observer, player, rebindings
    trees = [ast.parse(inspect.getsource(each)) for each in modules]
    for call in chain.from_iterable(map(ast.walk, trees)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        helper = call.func.attr == "_iface_event"
        if not helper and ast.unparse(call.func) != "self._log.add":
            continue
        kinds = [each for each in ast.walk(call.args[0]) if isinstance(each, ast.Constant)]
        names = {each.arg for each in call.keywords if each.arg}
        for kind in kinds:
            if isinstance(kind.value, str) and not kind.value.startswith("_"):
                found[kind.value] = names | ({"node", "iface", "state"} if helper else set())
    assert len(found) > 15, "the director's source is written in another way now"
    return found


def test_run_directory_is_described() -> None:
    page = (ROOT / "docs/files.md").read_text()
    for name in re.findall(r"^  ([\w.]+)(?:/NAME\.log)? ", events.__doc__ or "", re.MULTILINE):
        assert name in page


def test_doctor_page_explains_every_capability() -> None:
    page = (ROOT / "docs/doctor.md").read_text()
    explained = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert explained == list(NAMES)


def test_doctor_page_shows_what_the_doctor_says() -> None:
    """Of the host that the page is about."""
    netem = Outcome("refused", 2, "put a netem queue on lo: Specified qdisc kind is unknown")
    host = Facts(
        outcomes={name: netem if name == "netem" else Outcome("works") for name in NAMES},
        python="3.12.3",
        kernel="6.8.0-45-generic",
        root=False,
        modules=frozenset({"sch_netem"}),
        open_files=1_048_576,
        processes=62_000,
        neighbours=1_024,
    )
    _, shown = blocks(ROOT / "docs/doctor.md", "text")[0]
    assert shown.strip() == str(diagnose(host)).strip()
