"""One suite for all that makes link conditions: the kernel's engine, and that in user space.

It runs on the host, where a kernel without netem makes rates alone, and in a guest in real and in
virtual time (`test_in_guest`), where both engines make everything. Tests that could only run there
are left out here: those of a kernel's engine that it lacks, those marked `netem`, and those marked
`exact`, which need a clock that is never late.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest
from traffic import cross

from patchbay import Lab, LinkCondition, clock
from patchbay.doctor import capabilities

HERE = Path(__file__).parent


def pytest_configure(config):
    for name, meaning in (
        ("exact", "needs a clock that is never late"),
        ("netem", "needs a kernel with netem"),
        ("no_netem", "does for a kernel without netem what others with it do themselves"),
    ):
        config.addinivalue_line("markers", f"{name}: {meaning}; left out elsewhere")


def pytest_collection_modifyitems(config, items):
    out = {each for each in items if each.path.is_relative_to(HERE) and _runs_elsewhere(each)}
    if out:
        config.hook.pytest_deselected(items=list(out))
        items[:] = [each for each in items if each not in out]


def _runs_elsewhere(item):
    """Whether it is a test for another clock than this, or for another kernel."""
    marks = {each.name for each in item.iter_markers()}
    if "exact" in marks and not clock.is_virtual():
        return True
    if "engine" in item.fixturenames and item.callspec.params["shaper"] == "kernel":
        marks.add("netem")
    wanted = {"netem": True, "no_netem": False}.items()
    return any(_has_netem() is not has for name, has in wanted if name in marks)


def _has_netem():
    return capabilities().capability("netem").works


@pytest.fixture(scope="module", params=["user", "kernel"])
def shaper(request):
    """The name of an engine, for tests of rates: every kernel can make those."""
    return request.param


@pytest.fixture
def engine(shaper):
    """The name of an engine that can make any condition."""
    return shaper


@contextmanager
def made_by(engine):
    """A laptop and a server, each at a router of its own.

    Nodes know their routers without asking (ARP), so that nothing but a test's packets is sent.
    """
    with Lab("links", seed=7, link_engine=engine) as lab:
        with lab.batch():
            lab.add_device("server", lab.add_router("dc"))
            lab.add_device("laptop", lab.add_router("home"))
        yield lab


@pytest.fixture
def net(shaper, nothing_left_behind):
    """A lab of one test's own, whose dice fall as they always do."""
    with made_by(shaper) as lab:
        yield lab


@pytest.fixture(scope="module")
def lasting(shaper, temporary_files):
    """A lab for the tests of a module that throw no dice."""
    with made_by(shaper) as lab:
        # whatever is opened or started at the first use
        ends = lab.device("laptop"), lab.device("server")
        ends[0].iface("eth0").set_condition(LinkCondition(rate_kbit=100_000))
        for pair in (ends, ends[::-1]):
            cross(*pair, 1)
        ends[0].iface("eth0").set_condition(None)
        yield lab


@pytest.fixture
def laptop(net):
    return net.device("laptop")


@pytest.fixture
def server(net):
    return net.device("server")
