"""A STUN server's sockets: runs on a node, in a thread of its process."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address

from patchbay.stun.answering import Position, answer
from patchbay.stun.attributes import Endpoint, endpoint_of

_running: dict[int, tuple[int, threading.Thread]] = {}
"""The servers of this process: what ends each, and its thread."""
_numbers = itertools.count()


def start(pairs: Sequence[Sequence[str]], ports: Sequence[int]) -> int:
    """Start a server in this process; it serves when this returns. Gives its number.

    Args:
        pairs: for each version of IP, the first and the second address, or only the first.
        ports: the first and the second port.
    """
    groups: list[dict[Position, socket.socket]] = []
    with contextlib.ExitStack() as opened:
        for pair in pairs:
            groups.append({})
            for second_address, host in enumerate(pair):
                for second_port, port in enumerate(ports):
                    made = opened.enter_context(_bound(host, port))
                    groups[-1][Position(bool(second_address), bool(second_port))] = made
        end = os.eventfd(0)
        number = next(_numbers)
        thread = threading.Thread(target=_serve, args=[groups, end], daemon=True, name="stun")
        _running[number] = end, thread
        opened.pop_all()
        thread.start()
    return number


def stop(number: int) -> None:
    """End a server of this process, and free its ports; ending it again does nothing."""
    if number in _running:
        end, thread = _running.pop(number)
        os.eventfd_write(end, 1)
        thread.join()
        os.close(end)


def _bound(host: str, port: int) -> socket.socket:
    version = socket.AF_INET if ip_address(host).version == 4 else socket.AF_INET6
    made = socket.socket(version, socket.SOCK_DGRAM)
    try:
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def _serve(groups: list[dict[Position, socket.socket]], end: int) -> None:
    poll = select.poll()
    poll.register(end, select.POLLIN)
    found = {
        made.fileno(): (position, made, group)
        for group in groups
        for position, made in group.items()
    }
    for descriptor in found:
        poll.register(descriptor, select.POLLIN)
    with contextlib.ExitStack() as opened:
        for _, made, _ in found.values():
            opened.enter_context(made)
        while end not in (ready := [descriptor for descriptor, _ in poll.poll()]):
            for descriptor in ready:
                _answer(*found[descriptor])


def _answer(position: Position, asked: socket.socket, group: dict[Position, socket.socket]) -> None:
    with contextlib.suppress(OSError):  # an ICMP error about an answer before, or no way there
        data, source = asked.recvfrom(1 << 16, socket.MSG_DONTWAIT)
        endpoints: dict[Position, Endpoint] = {
            each: endpoint_of(made.getsockname()) for each, made in group.items()
        }
        said = answer(data, endpoint_of(source), position, endpoints)
        if said is not None:
            group[said.position].sendto(said.data, (str(said.target.ip), said.target.port))
