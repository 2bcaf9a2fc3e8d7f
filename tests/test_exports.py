"""What `import patchbay` gives, and what it costs those who do not use it."""

import subprocess
import sys

import pytest

import patchbay
from patchbay import exports


def test_every_exported_name_is_there():
    for name in patchbay.__all__:
        assert getattr(patchbay, name) is getattr(exports, name)
    assert patchbay.__all__ == sorted(set(exports.__all__))
    assert set(patchbay.__all__) <= set(dir(patchbay))


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
