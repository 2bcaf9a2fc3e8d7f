"""Where a module lives, and so whether another process can import it by its name."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PROGRAMS = ("__main__", "__mp_main__")
"""The names under which the program itself runs: they mean another file in every process."""

TEST_FILES = ("conftest.py", "test_*.py", "*_test.py")
"""Files that a test runner loads in its own way, under names of its own."""


def importable_elsewhere(name: str) -> bool:
    """Whether `import name` in a process with the same search path gives this module.

    Not so for the program itself, for test modules, for modules that a test runner or a tool
    loaded from a file, and for modules made at run time. The answer is kept for each module object.

    Args:
        name: the full name of a module that is loaded here; the answer for others is no.
    """
    module = sys.modules.get(name)
    if module is None:
        return False
    known = _answers.get(name)
    if known is not None and known[0] is module:
        return known[1]
    answer = _decide(name, module)
    _answers[name] = (module, answer)
    return answer


_answers: dict[str, tuple[ModuleType, bool]] = {}


def _decide(name: str, module: ModuleType) -> bool:
    if name in PROGRAMS:
        return False
    parent = name.rpartition(".")[0]
    if parent and not importable_elsewhere(parent):
        return False
    spec = getattr(module, "__spec__", None)
    origin = spec.origin if isinstance(spec, ModuleSpec) else None
    file = getattr(module, "__file__", None)
    if file is None:
        # A built-in or namespace package is found again; a part of an extension module
        # (`pyexpat.model`) has no finder, and comes with its parent.
        return bool(parent) or _find(name, parent) is not None
    found = _find(name, parent)
    if found is None:
        return bool(parent) and _has_a_name_of_its_own(name, module, spec)
    if _is_installed(file):
        # Not always the same file: an import may put another module in its own place, as that of
        # `collections.abc` does.
        return True
    if _is_test_file(file, module) or found.origin is None:
        return False
    return found.origin == origin or _same_file(found.origin, file)


def _has_a_name_of_its_own(name: str, module: ModuleType, spec: object) -> bool:
    """Whether a package has it for a part of itself, and it is found by another name.

    As `os.path` is; from Python 3.14 on `collections.abc` is such a one too.
    """
    own = spec.name if isinstance(spec, ModuleSpec) else name
    return own != name and sys.modules.get(own) is module and importable_elsewhere(own)


def _find(name: str, parent: str) -> ModuleSpec | None:
    """What an import would find if the module were not loaded yet.

    `importlib.util.find_spec` is no help: it returns what is in `sys.modules`.
    """
    path: Sequence[str] | None = getattr(sys.modules[parent], "__path__", ()) if parent else None
    for finder in tuple(sys.meta_path):
        if _is_of_pytest(finder):
            continue
        try:
            spec = finder.find_spec(name, path)
        except Exception:  # a finder that fails here fails in the other process too
            return None
        if spec is not None:
            return spec
    return None


def _is_of_pytest(part: object) -> bool:
    return type(part).__module__.partition(".")[0] == "_pytest"


def _is_test_file(file: str, module: ModuleType) -> bool:
    """Whether a test runner loads it in its own way, by its name or because it was told to.

    pytest also rewrites its plugins, and with each the whole package that it is in, which may be
    installed from where it is developed: those are modules like others.
    """
    if any(fnmatch(os.path.basename(file), pattern) for pattern in TEST_FILES):
        return True
    loader = getattr(module, "__loader__", None)
    if not _is_of_pytest(loader):
        return False
    plugins: Iterable[str] = getattr(loader, "_must_rewrite", ())
    name = module.__name__
    return not any(name == each or name.startswith(f"{each}.") for each in plugins)


def _is_installed(file: str) -> bool:
    """Whether a package manager put it there.

    pytest rewrites whole distributions that bring a plugin, and some ship their tests.
    """
    path = Path(file)
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts) or path.is_relative_to(
        _STANDARD_LIBRARY
    )


_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


def _same_file(one: str, other: str) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)
