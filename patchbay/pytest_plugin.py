"""The pytest plugin: labs as fixtures, tests that name what they need, and what went wrong.

pytest imports this module in every run on a machine where patchbay is installed, so it imports
next to nothing itself; the library is loaded by the first test that uses it.
"""

from __future__ import annotations

import os
import random
import shlex
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import patchbay.pytest_timing as pytest_timing

if TYPE_CHECKING:
    from patchbay import Lab
    from patchbay.clock import TimeKind
    from patchbay.doctor import Capability

NEEDS = "patchbay_needs"
"""The marker of a test that needs more than a lab."""

_GUESTS = ("off", "real", "virtual", "virtual-cpu")
_GUEST_OPTIONS = pytest.StashKey[list[str]]()
"""What the guests of this session are given, besides their kind of time."""

PATIENCE = 5.0
"""Seconds that the labs of a failed test have to say what they are like."""

LONGEST_SECTION = 8000
LONGEST_LINE = 300
"""Characters of what is reported."""

OUTPUT_LINES = 20
EVENTS = 30
"""The last lines of each node, and the last events of each lab, that are reported."""


# -- what is asked for


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    text = "fail a test that this host cannot run, instead of skipping it"
    group = parser.getgroup("patchbay", "labs of network stacks")
    group.addoption("--patchbay-require", action="store_true", help=text)
    parser.addini("patchbay_require", f"{text} (as --patchbay-require)", type="bool", default=False)
    text = (
        "run the tests in a guest, a kernel of our own with every feature; virtual time skips waits"
    )
    group.addoption("--patchbay-guest", choices=_GUESTS, help=f"{text}; off by default")
    parser.addini("patchbay_guest", f"{text} (as --patchbay-guest)", default="off")
    text = "further options of `patchbay guest`, such as '--memory 2G --seed 7'"
    group.addoption("--patchbay-guest-options", metavar="OPTIONS", help=text)
    parser.addini("patchbay_guest_options", text, type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker."""
    config.addinivalue_line(
        "markers",
        f"{NEEDS}(*capabilities): skip the test where the host lacks one of these, such as "
        "'netem'; `patchbay doctor` lists them, and --patchbay-require makes a failure of it",
    )
    config.addinivalue_line(
        "markers",
        f"{pytest_timing.MARKER}(*, lag_ms=5, stalled_pct=20, steal_pct=2): a test that measures "
        "times; if it fails while the host was slower than that, its outcome is "
        f"'{pytest_timing.TOO_SLOW}', and no failure",
    )
    config.stash[_FACTORY] = LabFactory(config)


def pytest_report_header(config: pytest.Config) -> str:
    """Say on which kernel, and as whom."""
    user = "root" if os.geteuid() == 0 else "an ordinary user"
    required = ", what the host lacks fails" if _required(config) else ""
    header = f"patchbay: Linux {os.uname().release}, as {user}{required}"
    if kind := _guest(config):
        from patchbay.clock import in_guest

        whose = "in a guest" if in_guest() else "each worker in a guest"
        options = config.stash.get(_GUEST_OPTIONS, list[str]())
        header += ", ".join(["", whose, f"{kind} time", *options])
    return header


def pytest_report_collectionfinish(items: Sequence[pytest.Item]) -> list[str]:
    """Say what this host lacks, where tests ask for more than a lab."""
    if not any(item.get_closest_marker(NEEDS) for item in items):
        return []
    from patchbay.doctor import capabilities

    lacking = capabilities().lacking
    return [f"patchbay: this host lacks {', '.join(lacking)}"] if lacking else []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs what this host lacks."""
    pytest_timing.begin(item)
    marks = list(item.iter_markers(NEEDS))
    if not marks:
        return
    if any(mark.kwargs or not mark.args for mark in marks):
        pytest.fail(f"{NEEDS} takes names of capabilities: {NEEDS}('tun')", pytrace=False)
    from patchbay.doctor import capabilities

    known = capabilities()
    needed, mistakes = [], []
    for name in dict.fromkeys(name for mark in marks for name in mark.args):
        try:
            needed.append(known.capability(str(name)))
        except ValueError as error:
            mistakes.append(f"{NEEDS}: {error}")
    if mistakes:
        pytest.fail("\n".join(mistakes), pytrace=False)
    lacking = [capability for capability in needed if not capability.works]
    if lacking:
        _refuse(item.config, lacking)


def _required(config: pytest.Config) -> bool:
    return bool(config.getoption("patchbay_require") or config.getini("patchbay_require"))


def _refuse(config: pytest.Config, lacking: Sequence[Capability]) -> NoReturn:
    """Skip the test for what the host lacks, or fail it."""
    names = ", ".join(capability.name for capability in lacking)
    reasons = "; ".join(capability.reason for capability in lacking)
    if not _required(config):
        pytest.skip(f"this host lacks {names} ({reasons})")
    lines = [f"this host lacks {names}, and --patchbay-require is given"]
    for capability in lacking:
        lines += [f"  {capability.name}", f"    tried: {capability.reason}"]
        lines += [f"    to mend it: {capability.remedy}"]
    pytest.fail("\n".join(lines), pytrace=False)


# -- where it runs


def _guest(config: pytest.Config) -> TimeKind | None:
    """The kind of time of the guest that is asked for; None for none.

    Raises:
        pytest.UsageError: there is none of that name.
    """
    asked = config.getoption("patchbay_guest") or config.getini("patchbay_guest")
    if asked not in _GUESTS:
        raise pytest.UsageError(f"patchbay_guest: {asked!r} is none of {', '.join(_GUESTS)}")
    return None if asked == "off" else asked


def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the session in a guest, if one is asked for and pytest-xdist starts no workers."""
    kind = _guest(config)
    if kind is None or hasattr(config, "workerinput"):
        return
    from patchbay.pytest_guest import become_guest, is_wanted

    try:
        options = shlex.split(config.getoption("patchbay_guest_options") or "")
    except ValueError as error:
        raise pytest.UsageError(f"--patchbay-guest-options: {error}") from error
    options = options or list(config.getini("patchbay_guest_options"))
    if is_wanted(config, kind, options):
        if not config.getoption("tx", None):
            become_guest(config, kind, options)
        if kind != "real" and not any(each.startswith("--seed") for each in options):
            seed = random.SystemRandom().randrange(2**31)
            options.append(f"--seed={seed}")
            if config.get_verbosity() < 0:  # else the header says it
                print(f"patchbay guest: {kind} time, --seed {seed}", file=sys.stderr)
    config.stash[_GUEST_OPTIONS] = options


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Have pytest-xdist start each worker in a guest of its own, if guests are asked for."""
    kind = _guest(config)
    if kind is None:
        return
    from patchbay.clock import in_guest
    from patchbay.pytest_guest import put_workers_in_guests

    if not in_guest():
        options = config.stash[_GUEST_OPTIONS]
        put_workers_in_guests(config, kind, options, specs)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Before a worker tells that it is done, have its guest write the host's files."""
    result = yield
    if _guest(session.config) and hasattr(session.config, "workerinput"):
        os.sync()
    return result


# -- labs


class LabFactory:
    """Makes labs that close by themselves.

    A lab that a test asks for closes when the test ends; one that a fixture asks for closes after
    that fixture is torn down, whatever its scope. Closing one earlier is fine.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._made: list[tuple[Lab, str, object]] = []
        """Labs, with who asked for it and in which test."""
        self._askers: list[pytest.FixtureDef[Any] | pytest.Item] = []

    def __call__(self, name: str | None = None, **options: Any) -> Lab:
        """Start a lab; the test is skipped if this host cannot run any.

        Args:
            name: its name; that of the test or the fixture that asks if not given.
            options: those of `patchbay.Lab`.
        """
        from patchbay import HostNotCapable, Lab

        if not self._askers:
            raise RuntimeError("lab_factory makes labs for tests and fixtures, while they run")
        asker = self._askers[-1]
        if pytest_timing.limits(self._askers[0]) is not None:
            options.setdefault("max_lag_ms", pytest_timing.LAG_MS)
        asker_name = asker.name if isinstance(asker, pytest.Item) else asker.argname
        try:
            lab = Lab(asker_name if name is None else name, **options)
        except HostNotCapable as error:
            self._give_up(error)
        self._made.append((lab, asker_name, self._askers[0]))
        asker.addfinalizer(lambda: self._close(lab))
        return lab

    def asked_by(self, asker: pytest.FixtureDef[Any] | pytest.Item) -> _Asking:
        """A context in which this test or fixture is the one that asks."""
        return _Asking(self._askers, asker)

    def used_by(self, item: pytest.Item) -> list[Lab]:
        """The open labs that a test, or a fixture of it, has asked for."""
        fixtures = getattr(item, "fixturenames", ())
        return [
            lab
            for lab, asker_name, during in self._made
            if (during is item or asker_name in fixtures) and not lab.closed
        ]

    def _close(self, lab: Lab) -> None:
        self._made = [made for made in self._made if made[0] is not lab]
        lab.close()

    def _give_up(self, error: Exception) -> NoReturn:
        from patchbay.doctor import capabilities

        known = capabilities()
        if not known.can_run:
            _refuse(
                self._config,
                [each for each in known.capabilities if each.needed and not each.works],
            )
        if _required(self._config):
            raise error
        pytest.skip(str(error))


class _Asking:
    def __init__(self, askers: list[Any], asker: object) -> None:
        self._askers = askers
        self._asker = asker

    def __enter__(self) -> None:
        self._askers.append(self._asker)

    def __exit__(self, *_: object) -> None:
        self._askers.pop()


_FACTORY = pytest.StashKey[LabFactory]()


@pytest.fixture(scope="session")
def lab_factory(pytestconfig: pytest.Config) -> LabFactory:
    """Makes labs: `lab_factory(name=None, **options)`, with the options of `patchbay.Lab`.

    A lab closes when the test ends, or after the teardown of the fixture that asked for it: a
    fixture of module scope that builds a network has it for the module.
    """
    return pytestconfig.stash[_FACTORY]


@pytest.fixture
def lab(lab_factory: LabFactory, request: pytest.FixtureRequest) -> Lab:
    """A lab with nothing in it, named after the test; it closes when the test ends."""
    return lab_factory(request.node.name)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Note which fixture is set up: labs that are asked for meanwhile are its own."""
    with request.config.stash[_FACTORY].asked_by(fixturedef):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note which test runs: labs that it asks for are its own."""
    with item.config.stash[_FACTORY].asked_by(item):
        return (yield)


# -- times on a host that may be too slow for them


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, str] | None:
    """Give tests whose host was too slow an outcome of their own."""
    return pytest_timing.outcome(report)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which tests these were, and why."""
    for report in terminalreporter.stats.get(pytest_timing.TOO_SLOW, ()):
        terminalreporter.write_line(pytest_timing.line(report))


# -- what went wrong


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what its labs were like at that moment."""
    report = yield
    if report.failed:
        labs = item.config.stash[_FACTORY].used_by(item)
        pytest_timing.excuse(item, report, labs, PATIENCE)
    if report.failed:
        for lab in item.config.stash[_FACTORY].used_by(item):
            report.sections += _describe(lab)
    return report


def _describe(lab: Lab) -> list[tuple[str, str]]:
    """Titles and texts about a lab, of bounded size, in bounded time: it may be what hangs."""
    sections: list[tuple[str, str]] = []
    thread = threading.Thread(target=_collect, args=[lab, sections], daemon=True)
    thread.start()
    thread.join(PATIENCE)
    found = list(sections)
    if thread.is_alive():
        found.append((f"lab {lab.name}", f"it says nothing more within {PATIENCE:g} s"))
    return [(_printable(title), _printable(_tail(text))) for title, text in found]


def _collect(lab: Lab, sections: list[tuple[str, str]]) -> None:
    for title, tell in (
        ("", lambda: str(lab).splitlines()),
        (", last output of its nodes", lambda: _output(lab)),
        (", last events", lambda: [str(event) for event in lab.events()[-EVENTS:]]),
    ):
        lines = _told(tell)
        if lines:
            sections.append((f"lab {lab.name}{title}", "\n".join(lines)))


def _told(tell: Callable[[], list[str]]) -> list[str]:
    try:
        return tell()
    except Exception as error:  # the test's own failure matters more
        return [f"not known: {type(error).__name__}: {error}"]


def _output(lab: Lab) -> list[str]:
    def lines() -> Iterator[str]:
        for node in (lab.ix, *lab.regions, *lab.routers, *lab.devices):
            printed = _told(lambda node=node: [str(each) for each in node.output()[-OUTPUT_LINES:]])  # type: ignore[misc]
            if printed:
                yield f"{node.name}:"
                yield from (f"  {line}" for line in printed)

    return list(lines())


def _tail(text: str) -> str:
    lines = [
        line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}..."
        for line in text.splitlines()
    ]
    text = "\n".join(lines)
    if len(text) <= LONGEST_SECTION:
        return text
    return (
        f"(the first {len(text) - LONGEST_SECTION} characters are left out)\n"
        + text[-LONGEST_SECTION:]
    )


def _printable(text: str) -> str:
    """The text without what a terminal would obey, and what a report could not carry."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )
