"""What `import patchbay` gives, and what it costs those who do not use it."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import patchbay
from patchbay import Lab, exports
from patchbay.director import LabDirector


def test_every_exported_name_is_there():
    for name in patchbay.__all__:
        assert getattr(patchbay, name) is not None
    assert patchbay.__all__ == sorted((*exports.HOME, *exports.MODULES))
    assert set(patchbay.__all__) <= set(dir(patchbay))


def test_type_checkers_are_told_the_same():
    stub = ast.parse(Path(patchbay.__file__).with_suffix(".pyi").read_text())
    imports = [each for each in stub.body if isinstance(each, ast.ImportFrom)]
    home = {name.name: each.module for each in imports for name in each.names}
    (names,) = [each.value for each in stub.body if isinstance(each, ast.Assign)]

    assert all(name.asname == name.name for each in imports for name in each.names)
    assert home == {**exports.HOME, **dict.fromkeys(exports.MODULES, "patchbay")}
    assert ast.literal_eval(names) == patchbay.__all__


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Labb'") as caught:
        patchbay.Labb  # noqa: B018, to see it fail

    assert (caught.value.name, caught.value.obj) == ("Labb", patchbay)
    assert not hasattr(patchbay, "__wrapped__")


@pytest.mark.parametrize(
    ("code", "loads"),
    [
        ("import patchbay", False),
        ("import patchbay.pytest_plugin", False),
        ("import patchbay; patchbay.Lab", True),
        ("from patchbay import Lab", True),
        ("from patchbay import *; Lab", True),
    ],
)
def test_the_library_is_loaded_with_the_first_name(code, loads):
    ask = "import sys; print('patchbay.lab' in sys.modules, 'zmq' in sys.modules)"
    told = subprocess.check_output([sys.executable, "-c", f"{code}\n{ask}"], text=True)

    assert told.split() == [str(loads)] * 2


def loaded_by(code):
    """The modules that an interpreter has after it was told something."""
    ask = f"{code}\nimport sys; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", ask], text=True).split())


def test_a_program_waits_for_no_more_than_it_uses():
    """What everybody imports, everybody waits for: in each run of their tests."""
    rooms = ("aio", "director", "doctor", "drawing", "guest", "meter", "services", "wiring")
    for_some = {f"patchbay.{room}" for room in rooms} | {"patchbay.links.userspace"}

    assert not loaded_by("from patchbay import Lab") & (for_some | {"asyncio", "ssl", "shutil"})


def test_the_first_lab_waits_for_no_more_than_it_takes():
    loaded = loaded_by("import patchbay.director")

    assert not loaded & {*LabDirector.later, "http", "xml", "urllib.request", "email"}
    assert loaded_by("\n".join(f"import {name}" for name in LabDirector.later))


def test_later_labs_find_everything_loaded():
    """The launcher loads it while nobody asks."""

    def lacks():
        return set(LabDirector.later) - set(sys.modules)

    deadline = time.monotonic() + 60
    while True:
        with Lab() as lab:
            missing = lab.ix.call(lacks)
        if not missing:
            return
        assert time.monotonic() < deadline, missing
