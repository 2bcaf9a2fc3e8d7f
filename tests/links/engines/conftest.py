"""One suite for all that makes link conditions: the kernel's engine, and that in user space.

It runs on the host, where a kernel without netem makes rates alone, and in a guest in real and in
virtual time (`test_in_guest`), where both engines make everything.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from traffic import cross

from patchbay import Lab, LinkCondition
from patchbay.doctor import capabilities


@pytest.fixture(scope="module", params=["user", "kernel"])
def shaper(request):
    """The name of an engine, for tests of rates: every kernel can make those."""
    return request.param


@pytest.fixture
def engine(shaper):
    """The name of an engine that can make any condition."""
    netem = capabilities().capability("netem")
    if shaper == "kernel" and not netem.works:
        pytest.skip(f"this kernel has no netem, a guest has: {netem.reason}")
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
