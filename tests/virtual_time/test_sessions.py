"""`pytest --patchbay-guest`: a session in a guest behaves as one without."""

import re
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points

import pytest

from patchbay.pytest_guest import guest_for, written_directories
from patchbay.pytest_plugin import pytest_cmdline_main
from tests.virtual_time.conftest import CACHE, ROOT

pytest_plugins = ["pytester"]

SESSION = """
    import os
    import time
    from pathlib import Path

    import pytest
    from patchbay import clock

    @pytest.mark.parametrize("hours", [1, 2, 3, 4])
    def test_waits(hours, tmp_path):
        begun = time.monotonic()
        time.sleep(hours * 3600)
        assert hours * 3600 <= time.monotonic() - begun < hours * 3600 + 1
        (tmp_path / "kept").write_text(f"{clock.kind()} {os.uname().release}")

    def test_lab(lab):
        device = lab.add_device("laptop", lab.add_router("home"))
        lab.advance(86400)
        assert device.call(clock.kind) == "virtual"

    def test_wrong():
        time.sleep(3600)
        Path("artifact").write_text("kept")
        assert clock.kind() == "real"
"""


@pytest.fixture
def run(guest, pytester, monkeypatch):
    """Run pytest in a process of its own, with the plugin; its outcomes."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("XDG_CACHE_HOME", CACHE)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def run(*arguments, **files):
        pytester.makepyfile(**files)
        installed = ("-p", "patchbay.pytest_plugin") if not _is_installed() else ()
        return pytester.runpytest_subprocess(*installed, *arguments)

    return run


def _is_installed():
    return any(each.name == "patchbay" for each in entry_points(group="pytest11"))


def releases(pytester):
    """What the tests have left in their temporary directories, which are the host's."""
    return {path.read_text() for path in pytester.path.glob("kept-*/**/kept")}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_reports_artifacts_and_status_are_those_of_any_session(run, pytester, workers):
    result = run(
        *("--patchbay-guest=virtual", "--junitxml=report.xml", "--basetemp=kept-here", *workers),
        test_it=SESSION,
    )

    result.assert_outcomes(passed=5, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["patchbay: Linux *in a guest, virtual time*"])
    cases = ET.parse(pytester.path / "report.xml").getroot().iter("testcase")
    assert {case.get("name"): float(case.get("time")) >= 3600 for case in cases} == {
        **{f"test_waits[{hours}]": True for hours in (1, 2, 3, 4)},
        "test_lab": True,
        "test_wrong": True,
    }
    (told,) = releases(pytester)
    assert told.startswith("virtual ")
    assert (pytester.path / "artifact").read_text() == "kept"
    assert (pytester.path / ".pytest_cache" / "v" / "cache" / "lastfailed").exists()


def test_a_session_stops_at_the_first_failure(run):
    result = run(
        *("--patchbay-guest=virtual", "-p", "no:cacheprovider", "-x"),
        "-k",
        "wrong or lab",
        test_it="""
        def test_wrong():
            assert False

        def test_lab_after_it():
            assert True
    """,
    )

    result.assert_outcomes(failed=1)


def test_coverage_is_that_of_the_tests(run, guest, pytester, monkeypatch):
    pytester.makepyfile(
        measured="def half(x):\n    if x:\n        return 1\n    return 2\n",
        test_it="import measured\n\ndef test_half():\n    assert measured.half(1) == 1\n",
    )

    pytester.run(
        *(pytester._getpytestargs()[0], "-m", "coverage", "run", "-m", "pytest"),
        *("-p", "patchbay.pytest_plugin") if not _is_installed() else (),
        "--patchbay-guest=virtual",
    )
    told = pytester.run(
        *(pytester._getpytestargs()[0], "-m", "coverage", "report", "--include=measured.py")
    )

    told.stdout.fnmatch_lines(["measured.py*4*1*75%"])


def test_reports_are_written_where_they_are_asked_for(pytester, tmp_path):
    config = pytester.parseconfig(
        f"--junitxml={tmp_path}/new/junit/report.xml", "--basetemp=here", "-p", "no:cacheprovider"
    )
    config.option.cov_report = {"xml": f"{tmp_path}/coverage/report.xml", "term": None}
    config.option.htmlpath = f"{tmp_path}/html/report.html"

    written = written_directories(config)

    elsewhere = {tmp_path / "coverage", tmp_path / "html", tmp_path / "new" / "junit"}
    assert set(written) == {pytester.path, *elsewhere}
    assert all(each.is_dir() for each in written)


def test_the_seed_is_told_to_those_who_want_little_output_too(pytester, monkeypatch, capsys):
    monkeypatch.setattr("patchbay.pytest_guest.is_wanted", lambda *_: True)

    for verbosity, told in (("-q", 1), ("-v", 0)):
        pytest_cmdline_main(
            pytester.parseconfig("--patchbay-guest=virtual", "--tx=popen", verbosity)
        )

        assert len(re.findall(r"virtual time, --seed \d+\n", capsys.readouterr().err)) == told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["word"], "unrecognized arguments: word"),
        (["--seed", "x"], "invalid int value: 'x'"),
        (["--seed", "-1", "--memory", "1M"], "2 mistakes"),
        (["--write", "/nonexistent"], "/nonexistent is no directory"),
    ],
)
def test_options_of_a_guest_are_checked_before_it_starts(options, message):
    guest_for("virtual", ["--memory", "2G", "--seed=7"])
    with pytest.raises(pytest.UsageError, match=f"--patchbay-guest-options: .*{message}"):
        guest_for("virtual", options)


def test_options_of_a_guest_are_words_as_of_a_shell(pytester):
    config = pytester.parseconfig("--patchbay-guest=real", "--patchbay-guest-options=--memory '2G")

    with pytest.raises(pytest.UsageError, match="No closing quotation"):
        pytest_cmdline_main(config)


def test_the_configuration_can_ask_for_it_and_the_command_line_refuse(run, pytester):
    pytester.makeini("[pytest]\npatchbay_guest = virtual\npatchbay_guest_options = --seed 7\n")
    test = "from patchbay import clock\n\ndef test_it():\n    print('it is', clock.kind())\n"

    for arguments, kind in ((), "virtual"), (("--patchbay-guest=off",), "real"):
        result = run("-s", *arguments, test_it=test)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines([f"*it is {kind}*"])


def test_mistakes_are_told_before_anything_runs(run, pytester, monkeypatch):
    pytester.makeini("[pytest]\npatchbay_guest = imaginary\n")
    result = run(test_it="def test_it(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'imaginary' is none of off, real, virtual, virtual-cpu"])

    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.mkdir("empty")))
    monkeypatch.delenv("PATCHBAY_KERNEL", raising=False)
    result = run("--patchbay-guest=real", test_it="def test_it(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--patchbay-guest=real: *", "*patchbay kernel build*"])


def test_a_program_that_calls_pytest_is_told_what_to_do(run, pytester):
    pytester.makepyfile(test_it="def test_it(): pass")
    program = pytester.makepyfile(
        program="import pytest\nraise SystemExit(pytest.main(['--patchbay-guest=virtual']))\n"
    )

    result = pytester.runpython(program)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*run it as a whole in one, patchbay guest -- python*"])
