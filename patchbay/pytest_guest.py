"""Running a session of pytest in a guest, or each worker of pytest-xdist in one of its own."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from actors.errors import PatchbayError
from patchbay import clock
from patchbay.guest.arguments import add_options, guest_of
from patchbay.guest.host import this_host
from patchbay.guest.launch import check_kernel
from patchbay.guest.options import Guest
from patchbay.guest.usual import pytest_temporary

_REPORTS = ("xmlpath", "log_file", "report_log", "htmlpath")
"""The options that name a report: pytest's own, those of pytest-reportlog and pytest-html."""


def is_wanted(config: pytest.Config, kind: clock.TimeKind, options: Sequence[str]) -> bool:
    """Whether a guest has yet to be started for a session.

    Raises:
        pytest.UsageError: this is a guest already, and of another kind; or none can be started, or
            not with these options.
    """
    if clock.in_guest():
        if clock.kind() != kind:
            raise pytest.UsageError(
                f"--patchbay-guest={kind}: this is a guest already, in {clock.kind()} time, and a "
                "guest has none of its own: give this option or `patchbay guest`, and not both"
            )
        return False
    guest = guest_for(kind, options)
    try:
        host = this_host()
        check_kernel(host, qemu=not host.has_uml or guest.needs_qemu)
    except PatchbayError as error:
        raise pytest.UsageError(f"--patchbay-guest={kind}: {error}") from error
    return True


class _Options(argparse.ArgumentParser):
    """Reads options of `patchbay guest` where it is pytest that tells what is wrong with them."""

    def error(self, message: str) -> NoReturn:
        raise pytest.UsageError(f"--patchbay-guest-options: {message}")


def guest_for(kind: clock.TimeKind, options: Sequence[str]) -> Guest:
    """The guest that a session asks for, before many guests say what is wrong with it.

    Args:
        kind: how time passes there.
        options: further ones of `patchbay guest`.

    Raises:
        pytest.UsageError: they are no options, or ask for a guest that there cannot be.
    """
    parser = _Options(add_help=False)
    add_options(parser)
    parsed = parser.parse_args([f"--time={kind}", *options])
    try:
        return guest_of(parsed)
    except PatchbayError as error:
        parser.error(str(error))


def become_guest(config: pytest.Config, kind: clock.TimeKind, options: Sequence[str]) -> NoReturn:
    """Run the command line of this process in a guest, in the place of this process.

    Whatever runs pytest runs there: `coverage run -m pytest` measures what the tests do.

    Raises:
        pytest.UsageError: this process has not been started with pytest's arguments.
    """
    command = command_line(config.invocation_params.args)
    arguments = [*_guest(config, kind, options), *command]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(arguments[0], arguments)


def command_line(arguments: Sequence[str | os.PathLike[str]]) -> list[str]:
    """What started this process, if that ends with pytest's arguments.

    Raises:
        pytest.UsageError: it does not.
    """
    given = [os.fspath(each) for each in arguments]
    started = sys.orig_argv[1:]
    if started[len(started) - len(given) :] != given:
        raise pytest.UsageError(
            "--patchbay-guest runs the command line of this process again, in a guest; this one "
            "calls pytest.main() with other arguments: run it as a whole in one, "
            "patchbay guest -- python ..."
        )
    return [sys.executable, *started]


def put_workers_in_guests(
    config: pytest.Config, kind: clock.TimeKind, options: Sequence[str], specs: Iterable[Any]
) -> None:
    """Have pytest-xdist start those workers that run on this machine in a guest each.

    Args:
        config: of the session.
        kind: how time passes there.
        options: further ones of `patchbay guest`.
        specs: how workers are started (`execnet.XSpec`).
    """
    guest = shlex.join([*_guest(config, kind, options), "--quiet", "--"])
    for spec in specs:
        if spec.popen:
            spec.python = f"{guest} {spec.python or shlex.quote(sys.executable)}"


def _guest(config: pytest.Config, kind: clock.TimeKind, options: Sequence[str]) -> list[str]:
    """The command line of a guest, up to its own command."""
    writes = [f"--write={each}" for each in written_directories(config)]
    return [sys.executable, "-m", "patchbay", "guest", f"--time={kind}", *writes, *options]


def written_directories(config: pytest.Config) -> list[Path]:
    """Where a session leaves something: the project, temporary directories, reports elsewhere.

    Those that are missing are made, as pytest would do it.
    """
    here = config.invocation_params.dir
    base = config.getoption("basetemp", None)
    temporary = Path(base).parent if base else pytest_temporary()
    with contextlib.suppress(OSError):  # pytest says that it cannot
        temporary.mkdir(mode=0o700, exist_ok=True)
    found = [config.rootpath, here, temporary]
    for report in _reports(config):
        directory = (here / report).parent
        with contextlib.suppress(OSError):  # whoever writes the report says that it cannot
            directory.mkdir(parents=True, exist_ok=True)
        found.append(directory)
    usable = sorted({each.resolve() for each in found if each.is_dir()} - {Path("/")})
    return [each for each in usable if not any(above in usable for above in each.parents)]


def _reports(config: pytest.Config) -> Iterator[str]:
    """The files that pytest and its plugins are told to write, and those that outlast a session."""
    files = [config.getoption(name, None) for name in _REPORTS]
    files += (config.getoption("cov_report", None) or {}).values()  # of pytest-cov: by their kinds
    files.append(os.environ.get("COVERAGE_FILE"))
    if config.pluginmanager.has_plugin("cacheprovider"):
        files.append(config.getini("cache_dir"))
    yield from filter(None, files)
