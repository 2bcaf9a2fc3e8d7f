"""Tests of the kernel's engine; those that need netem are skipped where the kernel has none."""

from __future__ import annotations

import pytest

from patchbay.doctor import capabilities


@pytest.fixture
def netem():
    """For tests that need netem; `test_in_guest` runs them in a kernel that has it."""
    capability = capabilities().capability("netem")
    if not capability.works:
        pytest.skip(f"this kernel has no netem: {capability.reason}")
