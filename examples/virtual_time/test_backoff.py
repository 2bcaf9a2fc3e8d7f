"""A service is down for an hour; its client tries again, ever more rarely."""

import asyncio
import socket
import time

import pytest

from patchbay import Lab

PORT = 9000
LONGEST = 900  # seconds between two tries


def connect(host: str, port: int) -> list[float]:
    """Connect, however long it takes; return when each try began, the one that succeeded last."""
    begun, pause, tries = time.monotonic(), 1.0, []
    while True:
        tries.append(time.monotonic() - begun)
        try:
            socket.create_connection((host, port), timeout=10).close()
            return tries
        except OSError:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)


async def come_back_after(seconds: float) -> None:
    await asyncio.sleep(seconds)
    server = await asyncio.start_server(lambda _, writer: writer.close(), port=PORT)
    async with server:
        await server.serve_forever()


def test_the_client_backs_off_and_finds_the_service_again(lab: Lab):
    server = lab.add_device("server", lab.add_router("dc", preset="public"))
    laptop = lab.add_device("laptop", lab.add_router("home", preset="home"))
    service = server.spawn(come_back_after, 3600)

    tries = laptop.call(connect, str(server.ip), PORT)

    assert tries == pytest.approx(
        [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1923, 2823, 3723], abs=0.1
    )
    service.cancel()
