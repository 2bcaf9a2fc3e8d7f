"""A TCP connection through a home NAT says nothing for hours; then the server does.

The NAT forgets an open connection when nothing has passed for two hours and four minutes, the least
that RFC 5382 allows. Whom the server then writes to is nobody, and TCP gives up after a quarter of
an hour.
"""

import errno
import socket

import pytest

from patchbay import Device, Lab

PORT = 8000
REMEMBERED = 2 * 3600 + 4 * 60
"""Seconds for which a NAT remembers an idle connection (RFC 5382, REQ-5)."""


@pytest.fixture
def server(lab: Lab) -> Device:
    return lab.add_device("server", lab.add_router("dc", preset="public"))


@pytest.fixture
def connection(lab: Lab, server: Device):
    """Both ends: the laptop's, behind its NAT, and the server's."""
    laptop = lab.add_device("laptop", lab.add_router("home", preset="home"))
    with server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("", PORT))
        listener.listen()
        client = laptop.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.connect((str(server.ip), PORT))
        accepted, _ = listener.accept()
    with client, accepted:
        yield client, accepted


def test_it_survives_two_hours(lab: Lab, connection):
    client, accepted = connection
    lab.advance(2 * 3600)
    accepted.sendall(b"news")
    assert client.recv(100) == b"news"


def test_then_the_server_talks_to_nobody(lab: Lab, connection):
    client, accepted = connection
    lab.advance(REMEMBERED + 60)
    accepted.sendall(b"news")
    client.settimeout(3600)
    with pytest.raises(TimeoutError):
        client.recv(100)
    with pytest.raises(OSError) as gave_up:
        accepted.recv(100)
    assert gave_up.value.errno == errno.ETIMEDOUT


def test_keep_alive_probes_hold_it_for_a_day(lab: Lab, connection):
    client, accepted = connection
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3600)
    lab.advance(24 * 3600)
    accepted.sendall(b"news")
    assert client.recv(100) == b"news"
