"""The directories that a command really writes when nobody says which: where results are kept."""

from __future__ import annotations

import contextlib
import getpass
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

_ROOT_MARKS = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg", "setup.py")


def usual_directories(command: Sequence[str], directory: Path) -> tuple[Path, ...]:
    """`artifacts` and pytest's cache and temporary directories, as far as they exist.

    The directories of pytest are made if it is pytest that is run.

    Args:
        command: what is run.
        directory: where.
    """
    cache = _root(directory) / ".pytest_cache"
    temporary = pytest_temporary()
    if is_pytest(command):
        with contextlib.suppress(
            OSError
        ):  # pytest does without a cache, as in a read-only directory
            if not cache.is_dir():
                cache.mkdir()
                (cache / ".gitignore").write_text("*\n")  # as pytest does it
        with contextlib.suppress(OSError):  # pytest says that it cannot
            temporary.mkdir(mode=0o700, exist_ok=True)
    return tuple(each for each in (directory / "artifacts", cache, temporary) if each.is_dir())


def pytest_temporary() -> Path:
    """Where pytest makes temporary directories; it need not exist."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # nobody has told the system of this user, as in containers
        user = "unknown"
    root = os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir()
    return Path(root) / f"pytest-of-{user}"


def is_pytest(command: Sequence[str]) -> bool:
    """Whether a command is pytest, by its own name or as a module of Python."""
    names = [Path(word).name for word in command]
    return names[:1] in (["pytest"], ["py.test"]) or (
        names[:1] != [] and names[0].startswith("python") and names[1:3] == ["-m", "pytest"]
    )


def _root(directory: Path) -> Path:
    """Where pytest would take the project to begin."""
    for each in (directory, *directory.parents):
        if any((each / mark).exists() for mark in _ROOT_MARKS):
            return each
    return directory
