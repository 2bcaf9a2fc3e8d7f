"""Traffic that tells what it met: functions that run on nodes."""

from __future__ import annotations

import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

_HEAD = struct.Struct("=Qq")
"""number, time of sending in nanoseconds; all nodes of a lab have one clock"""


@dataclass(frozen=True)
class Arrivals:
    """Datagrams in the order of their arrival: number, milliseconds on the way, time, payload."""

    numbers: list[int]
    delays: list[float]
    times: list[float]
    intact: list[bool]


def receive(sock: socket.socket, quiet: float) -> Arrivals:
    """Take datagrams until none came for a while."""
    got = Arrivals([], [], [], [])
    sock.settimeout(quiet)
    while True:
        try:
            data = sock.recv(65535)
        except TimeoutError:
            return got
        now = time.monotonic_ns()
        number, sent = _HEAD.unpack_from(data)
        got.numbers.append(number)
        got.delays.append((now - sent) / 1e6)
        got.times.append(now / 1e9)
        got.intact.append(not any(data[_HEAD.size :]))


def send(address: str, port: int, count: int, size: int, gap: float) -> None:
    """Send numbered datagrams at even distances of time, in seconds; 0 for as fast as can be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        begin = time.monotonic()
        for number in range(count):
            if gap:
                time.sleep(max(0.0, begin + number * gap - time.monotonic()))
            data = _HEAD.pack(number, time.monotonic_ns())
            sock.send(data + bytes(size - len(data)))


def flow(sender, receiver, count, *, size=200, gap=0.001, quiet=1.0, during=None) -> Arrivals:
    """Send datagrams from a node to another, whatever the link between them does.

    Args:
        sender: the node that sends.
        receiver: the node that gets them.
        count: how many.
        size: bytes of payload.
        gap: seconds from one to the next; 0 for as fast as can be.
        quiet: seconds without any after which no more are waited for.
        during: called with the task that sends, while it does.
    """
    with (
        receiver.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        ThreadPoolExecutor(1) as pool,
    ):
        sock.bind((str(receiver.ip), 0))
        port = sock.getsockname()[1]
        sending = sender.submit(send, str(receiver.ip), port, count, size, gap)
        receiving = pool.submit(receive, sock, quiet)
        if during is not None:
            during(sending)
        sending.result()
        return receiving.result()


def take_stream(address: str, port: int) -> tuple[int, float]:
    """Take a stream to its end; bytes, and seconds between its first and its last byte."""
    with socket.create_server((address, port)) as server:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(60)
            taken = len(connection.recv(1 << 16))
            begin = time.monotonic()
            while data := connection.recv(1 << 16):
                taken += len(data)
            return taken, time.monotonic() - begin


def give_stream(address: str, port: int, size: int) -> None:
    """Send so many bytes once the server is there, and end the stream."""
    while True:
        try:
            connection = socket.create_connection((address, port), timeout=60)
            break
        except ConnectionRefusedError:
            time.sleep(0.001)
    with connection:
        connection.sendall(bytes(size))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def goodput(sender, receiver, size) -> float:
    """Kilobits per second of a TCP stream of so many bytes, as the receiver sees them."""
    address = str(receiver.ip)
    taking = receiver.submit(take_stream, address, 9001)
    sender.call(give_stream, address, 9001, size)
    taken, seconds = taking.result()
    assert taken == size
    return taken * 8 / 1000 / seconds
