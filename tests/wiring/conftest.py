"""Tests with the argument `kernel` run in a process of their own, as root of fresh namespaces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_NO_NAMESPACE = 77
_PATIENCE = 600
"""Seconds for one test: many times what it takes on a busy machine."""

sys.path.append(str(_HERE))  # for the modules that the tests here share


@pytest.fixture
def kernel() -> None:
    """Stands for the `Kernel` that `run_in_namespace` hands to the test."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if "kernel" not in pyfuncitem.fixturenames:
        return None
    done = subprocess.run(
        [sys.executable, _HERE / "run_in_namespace.py", pyfuncitem.path, pyfuncitem.originalname],
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    if done.returncode == _NO_NAMESPACE:
        pytest.skip(done.stderr.strip())
    if done.returncode:
        pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)
    return True
