"""Leases of a day, held for a week; the server is away from the third day to the fifth."""

import dhcp
import pytest

from patchbay import Device, Lab, Router

DAY = 86400


@pytest.fixture
def home(lab: Lab) -> Router:
    return lab.add_router("home", preset="home")


@pytest.fixture
def laptop(lab: Lab, home: Router) -> Device:
    return lab.add_device("laptop", home)


def start_server(home: Router):
    own = str(next(home.downstream.hosts()))
    return home.submit(dhcp.serve, "lan", own, "10.0.1.100", DAY)


def hold_a_lease(mac: str, seconds: float) -> list[tuple[int, str]]:
    return dhcp.Client("eth0", mac).run(seconds)


def test_a_lease_is_renewed_twice_a_day(home: Router, laptop: Device):
    server = start_server(home)
    diary = laptop.call(hold_a_lease, laptop.iface("eth0").mac, 7 * DAY - 1)
    server.cancel()

    assert diary == [(0, "got 10.0.1.100"), *((hour, "renewed") for hour in range(12, 169, 12))]


def test_a_server_that_is_away_costs_the_lease(lab: Lab, home: Router, laptop: Device):
    server = start_server(home)
    holding = laptop.submit(hold_a_lease, laptop.iface("eth0").mac, 6 * DAY - 1)
    lab.advance(2 * DAY + 3600)
    server.cancel()
    lab.advance(2 * DAY)
    server = start_server(home)
    diary = holding.result()
    server.cancel()

    assert diary == [
        *((0, "got 10.0.1.100"), (12, "renewed"), (24, "renewed"), (36, "renewed")),
        *((48, "renewed"), (72, "lost"), (97, "got 10.0.1.100"), (109, "renewed")),
        *((121, "renewed"), (133, "renewed"), (145, "renewed")),
    ]
