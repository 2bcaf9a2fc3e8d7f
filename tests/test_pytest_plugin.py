"""The pytest plugin, from outside: what other people's tests see of it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
PATIENT = """
def pytest_configure():
    import patchbay.pytest_plugin
    patchbay.pytest_plugin.PATIENCE = 100.0
"""
"""A plugin that waits for the last words of a lab as long as a busy machine may need."""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in a process of its own, with patchbay installed as its users have it."""
    installed = pytester.mkdir("installed") / "patchbay-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: patchbay\nVersion: 0\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plugins = project["entry-points"]["pytest11"]
    lines = [f"{name} = {value}" for name, value in plugins.items()]
    (installed / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    (installed.parent / "patient.py").write_text(PATIENT)
    monkeypatch.setenv("PYTHONPATH", f"{installed.parent}:{ROOT}")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(*arguments, **files):
        pytester.makepyfile(**files)
        plugins = ("-p", "no:cacheprovider", "-p", "patient")
        return pytester.runpytest_subprocess("-W", "error", *plugins, *arguments)

    return run


def test_the_plugin_imports_next_to_nothing():
    """pytest imports it in every run on the machine, also of those who make no labs."""
    code = (
        "import sys, pytest; before = set(sys.modules); import patchbay.pytest_plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    told = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)

    assert set(told.split()) <= {
        "patchbay",
        "patchbay.lazily",
        "patchbay.pytest_plugin",
        "patchbay.pytest_timing",
    }


def test_a_run_without_labs_loads_no_lab(run):
    result = run(
        test_it="""
        import sys

        def test_nothing():
            assert not sorted({"zmq", "patchbay.lab", "patchbay.doctor"} & set(sys.modules))
        """
    )

    result.assert_outcomes(passed=1)


def test_the_header_says_where_it_runs(run):
    result = run(test_it="def test_nothing(): pass")

    result.stdout.re_match_lines([r"patchbay: Linux \S+, as (root|an ordinary user)$"])


def test_each_test_has_a_lab_of_its_own_that_closes(run):
    result = run(
        test_it="""
        import pytest

        seen = []

        @pytest.mark.parametrize("number", [1, 2])
        def test_lab(lab, number):
            assert lab.name == f"test_lab[{number}]"
            assert lab.devices == []
            lab.add_device("laptop", lab.add_router("home"))
            assert all(each.closed for each in seen)
            seen.append(lab)

        def test_closed():
            assert [each.closed for each in seen] == [True, True]
        """
    )

    result.assert_outcomes(passed=3)


@pytest.mark.parametrize("mode", ["prepend", "append", "importlib"])
def test_functions_of_a_test_module_run_on_nodes(run, mode):
    """In every import mode, with the asserts that pytest rewrites."""
    result = run(
        f"--import-mode={mode}",
        test_it="""
        import pytest

        FACTOR = 2

        def double(number):
            assert number < 5
            return FACTOR * number

        def test_call(lab):
            laptop = lab.add_device("laptop", lab.add_router("home"))
            assert laptop.call(double, 2) == 4
            with pytest.raises(AssertionError, match="assert 7 < 5"):
                laptop.call(double, 7)
        """,
    )

    result.assert_outcomes(passed=1)


def test_labs_of_a_factory_close_with_the_scope_that_asked(run):
    result = run(
        test_it="""
        import pytest

        made = {}

        @pytest.fixture(scope="module")
        def network(lab_factory):
            lab = made["network"] = lab_factory()
            assert lab.name == "network"
            yield lab
            assert not lab.closed, "it outlives the fixture's own teardown"

        def test_one(network, lab_factory):
            made["own"] = lab_factory()
            made["named"] = lab_factory("other", seed=5)
            assert [made["own"].name, made["named"].name] == ["test_one", "other"]
            assert made["named"].seed == 5

        def test_two(network):
            assert made["own"].closed and made["named"].closed and not network.closed
        """,
        test_later="""
        from test_it import made

        def test_three():
            assert made["network"].closed
        """,
    )

    result.assert_outcomes(passed=3)


FAILING = """
    import pytest

    @pytest.fixture
    def laptop(lab):
        laptop = lab.add_device("laptop", lab.add_router("home", preset="home"))
        laptop.popen(["echo", "a program"]).wait()
        laptop.call(print, "code \\udcff \\x1b[31m \\N{SNOWMAN}")
        lab.emit("half_time", score=1)
        return laptop

    def test_fails(laptop):
        assert False, "as it should"
"""


@pytest.mark.parametrize("options", [(), ("-n1",)])
def test_a_failure_shows_the_lab(run, options):
    """The tree, what nodes printed and what happened; also from a worker of pytest-xdist."""
    result = run(*options, test_it=FAILING)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*as it should*",
            "*- lab test_fails -*",
            "ix *198.18.0.0/24*",
            "*laptop*eth0*10.0.*",
            "*- lab test_fails, last output of its nodes -*",
            "laptop:",
            "*stdout a program",
            "*stdout code *udcff \\x1b[[]31m \N{SNOWMAN}",
            "*- lab test_fails, last events -*",
            "*lab_created*",
            "*half_time score=1",
        ]
    )


def test_a_fixture_that_fails_half_way_shows_the_lab_too(run):
    result = run(
        test_it="""
        import pytest

        @pytest.fixture(scope="module")
        def network(lab_factory):
            lab = lab_factory("campus")
            lab.add_router("home")
            lab.add_router("home")

        def test_it(network):
            pass
        """
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*- lab campus -*", "*home*wan*"])


def test_a_lab_that_cannot_tell_does_not_hide_the_failure(run):
    """A lab that is dead, or closed, or endless: the report is still written, and short."""
    result = run(
        test_it="""
        import os, signal

        def test_dead(lab):
            os.kill(lab._connection.pid, signal.SIGKILL)
            assert False, "first"

        def test_closed(lab):
            lab.close()
            assert False, "second"

        def test_endless(lab):
            for number in range(2000):
                lab.emit("n", number=number, text="x" * 400)
            assert False, "third"
        """
    )

    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        ["*first*", "not known: NodeDied: *", "*second*", "*third*", "(the first * left out)"]
    )
    assert len(result.stdout.str()) < 40_000


NEEDING = """
    import pytest

    @pytest.mark.patchbay_needs("netns", "teleport")
    @pytest.mark.patchbay_needs("veth", "netem")
    def test_needs(lab):
        pass
"""

HOST = """
    import pytest
    import patchbay.doctor
    from patchbay.doctor import Capability, Report

    def capability(name, works, needed=False):
        return Capability(
            name=name, title=name, works=works, needed=needed,
            reason="" if works else f"ask for {name}: no", remedy=f"modprobe {name}",
        )

    host = Report(
        host="a host",
        capabilities=(capability("netns", CAN_RUN, needed=True), capability("veth", True),
                      capability("netem", False), capability("teleport", False)),
        limits=(),
    )

    def pytest_configure(config):
        patchbay.doctor.capabilities = lambda: host
        if not CAN_RUN:
            def Lab(*arguments, **options):
                raise patchbay.HostNotCapable("no", "yes")

            patchbay.Lab = Lab
"""


def able(pytester, can_run):
    """Have the next run see a host that lacks things, and perhaps all it takes for a lab."""
    pytester.makeconftest(HOST.replace("CAN_RUN", str(can_run)))


@pytest.mark.parametrize("options", [(), ("-n1",)])
def test_a_test_that_needs_what_the_host_lacks_is_skipped_with_the_reason(run, pytester, options):
    able(pytester, can_run=True)
    result = run("-rs", "--strict-markers", *options, test_it=NEEDING)

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED*this host lacks netem, teleport (ask for netem: no; ask for teleport: no)"]
    )
    if not options:
        result.stdout.fnmatch_lines(["patchbay: this host lacks netem, teleport"])


@pytest.mark.parametrize("how", ["option", "ini"])
def test_what_is_required_fails_with_the_remedy(run, pytester, how):
    able(pytester, can_run=True)
    if how == "ini":
        pytester.makeini("[pytest]\npatchbay_require = true")
    result = run(*["--patchbay-require"] * (how == "option"), test_it=NEEDING)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "patchbay: *, what the host lacks fails",
            "*tried: ask for netem: no",
            "*mend it: modprobe netem",
        ]
    )


def test_a_test_that_needs_what_the_host_has_runs(run, pytester):
    able(pytester, can_run=True)
    result = run(
        "--patchbay-require", test_it=NEEDING.replace(', "netem"', "").replace(', "teleport"', "")
    )

    result.assert_outcomes(passed=1)


def test_unknown_capabilities_are_all_told_with_the_nearest(run):
    result = run(
        test_it="""
        import pytest

        @pytest.mark.patchbay_needs("nettem", "tunn")
        def test_typo():
            pass

        @pytest.mark.patchbay_needs
        def test_empty():
            pass
        """
    )

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "*no capability is called 'nettem'; did you mean 'netem'?",
            "*no capability is called 'tunn'; did you mean 'tun'?",
            "*patchbay_needs takes names of capabilities: patchbay_needs('tun')",
        ]
    )


def test_where_no_lab_can_run_tests_are_skipped(run, pytester):
    able(pytester, can_run=False)
    test = "def test_lab(lab): pass\ndef test_factory(lab_factory): lab_factory()"
    skipped = run("-rs", test_it=test)
    required = run("--patchbay-require", test_it=test)

    skipped.assert_outcomes(skipped=2)
    skipped.stdout.fnmatch_lines(["SKIPPED*this host lacks netns (ask for netns: no)"])
    required.assert_outcomes(errors=1, failed=1)
    required.stdout.fnmatch_lines(["*to mend it: modprobe netns"])


def test_workers_share_nothing(run):
    result = run(
        "-n2",
        test_it="""
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_many(lab, number):
            server = lab.add_device("server", lab.add_router("home"))
            assert server.call(sum, [number, 1]) == number + 1
        """,
    )

    result.assert_outcomes(passed=4)


def test_it_can_be_switched_off(run):
    result = run("-p", "no:patchbay", test_it="def test_lab(lab): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'lab' not found"])


def test_labs_are_for_tests_and_fixtures_while_they_run(run):
    result = run(
        test_it="""
        import pytest
        from patchbay.pytest_plugin import LabFactory

        def test_it(pytestconfig):
            with pytest.raises(RuntimeError, match="while they run"):
                LabFactory(pytestconfig)()
        """
    )

    result.assert_outcomes(passed=1)


TIMED = """
    import pytest

    @pytest.mark.patchbay_timing({limits})
    def test_times(lab):
        lab.add_router("r")
        assert {outcome}, "the very words"
    """


def test_a_failure_on_a_slow_host_is_an_outcome_of_its_own(run):
    result = run("-rA", test_it=TIMED.format(limits="steal_pct=-1", outcome=False))

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["HOST TOO SLOW test_it.py::test_times - *", "*= 1 host too slow in *"]
    )


def test_on_a_host_that_keeps_time_a_failure_is_one(run):
    limits = "stalled_pct=101, steal_pct=101, lag_ms=1e9"
    result = run(test_it=TIMED.format(limits=limits, outcome=False))

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the very words*"])


def test_a_test_that_passes_on_a_slow_host_has_passed(run):
    result = run(test_it=TIMED.format(limits="steal_pct=-1", outcome=True))

    result.assert_outcomes(passed=1)


def test_a_slow_host_is_told_from_other_processes_too(run):
    text = TIMED.format(limits="steal_pct=-1", outcome=False)
    result = run("-n", "1", "--junitxml=a.xml", test_it=text)

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["HOST TOO SLOW test_it.py::test_times - *", "*= 1 host too slow in *"]
    )


def test_a_wrong_limit_is_told(run):
    result = run(test_it=TIMED.format(limits="lag=3", outcome=True))

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*patchbay_timing takes lag_ms=, stalled_pct=, steal_pct=*"])
