"""The command line, run as people run it."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from patchbay.cli import main
from patchbay.cli.kernel import COMMAND
from patchbay.doctor import capabilities
from patchbay.version import __version__


def patchbay(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "patchbay", *arguments], capture_output=True, text=True
    )


def test_doctor_reports_and_its_exit_status_says_whether_a_lab_can_run():
    done = patchbay("doctor")

    assert done.stdout == f"{capabilities()}\n"
    assert done.returncode == (0 if capabilities().can_run else 1)
    assert done.stderr == ""


def test_doctor_reports_for_programs(capsys):
    status = main(["doctor", "--json"])

    assert json.loads(capsys.readouterr().out)["can_run"] is (status == 0)


def test_version(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])

    assert capsys.readouterr().out == f"patchbay {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["docter"]])
def test_a_missing_or_unknown_command_is_answered_with_those_there_are(arguments, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)

    assert "COMMAND" in capsys.readouterr().err


def test_an_interruption_is_no_error(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("patchbay.cli.kernel.COMMAND", replace(COMMAND, run=interrupted))

    assert main(["kernel"]) == 130
    assert capsys.readouterr().err == ""


def test_help_says_what_every_command_does(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])

    assert "exit status 0 only if a lab can run" in " ".join(capsys.readouterr().out.split())
