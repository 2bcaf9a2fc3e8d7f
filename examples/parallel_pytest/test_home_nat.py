"""Each test has a lab of its own, so all of them may run at once.

pytest -n auto examples/parallel_pytest

The plugin comes with patchbay: there is nothing to import or to set up.
"""

import pytest

from patchbay import Device, Lab, Router


@pytest.fixture
def home(lab: Lab) -> Router:
    return lab.add_router("home", preset="home")


@pytest.fixture
def server(lab: Lab) -> Device:
    return lab.add_device("server", lab.add_router("dc", preset="public"))


def test_server_sees_the_router(lab: Lab, home: Router, server: Device):
    laptop = lab.add_device("laptop", home)
    assert server.reflector("tcp").observe(laptop).ip == home.uplink_ip


def test_laptop_keeps_its_port(lab: Lab, home: Router, server: Device):
    laptop = lab.add_device("laptop", home)
    assert server.reflector("udp").observe(laptop, source_port=7000).port == 7000


@pytest.mark.parametrize(("preset", "reachable"), [("home", False), ("public", True)])
def test_who_can_be_reached(lab: Lab, server: Device, preset: str, reachable: bool):
    host = lab.add_device("host", lab.add_router("access", preset=preset))
    answer = server.ping(host.ip, timeout=30 if reachable else 0.2)  # at once, if there is one
    assert bool(answer) is reachable
