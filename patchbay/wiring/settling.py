"""Waiting until the kernel takes an interface's IPv6 addresses for its own.

It answers that an address is there before packets to it are: a worker of the kernel makes the
route that delivers them, when it finds the time. Until then they are lost, and where no time
passes while code runs, that is until somebody waits.
"""

from __future__ import annotations

import errno
import select
import socket
from contextlib import closing

from patchbay.wiring import readers
from patchbay.wiring.connection import Connection
from patchbay.wiring.messages import IFADDR, RTMSG, Kind, routing
from patchbay.wiring.namespace import Namespace
from patchbay.wiring.netlink import KernelError, attribute, attributes, u32

_PATIENCE_MS = 60_000
"""Far longer than the worker takes; a kernel that never does it is told of."""

_IFA_ADDRESS, _RTA_DST, _RTA_OIF = 1, 1, 4
_RTN_LOCAL = 2
_RTNLGRP_IPV6_ROUTE = 11


def await_own_addresses(namespace: Namespace, interface: str) -> None:
    """Return once all IPv6 addresses of an interface get what is sent to them.

    An interface that is down, or not connected, is let alone.

    Raises:
        OSError: there is none of that name, or the kernel does not get round to it.
    """
    link = readers.link(namespace.route, interface)
    index = link.index
    if not (link.up and link.running and _pending(namespace.route, index)):
        return
    with closing(namespace.listen(_RTNLGRP_IPV6_ROUTE)) as changes:
        poll = select.poll()
        poll.register(changes, select.POLLIN)
        while pending := _pending(namespace.route, index):
            if not poll.poll(_PATIENCE_MS):
                told = ", ".join(socket.inet_ntop(socket.AF_INET6, each) for each in pending)
                raise OSError(errno.ETIMEDOUT, f"{interface} does not get what is sent to {told}")
            changes.recv(1 << 16)


def _pending(route: Connection, index: int) -> list[bytes]:
    """The addresses of an interface that are not its own yet."""
    asked = IFADDR.pack(socket.AF_INET6, 0, 0, 0, index)
    bodies = route.dump(routing(Kind.RTM_GETADDR, 0, asked))
    every = [attributes(body, IFADDR.size)[_IFA_ADDRESS] for body in bodies]
    return [each for each in every if not _is_own(route, each, index)]


def _is_own(route: Connection, address: bytes, index: int) -> bool:
    header = RTMSG.pack(socket.AF_INET6, 128, 0, 0, 0, 0, 0, 0, 0)
    body = header + attribute(_RTA_DST, address) + u32(_RTA_OIF, index)
    try:
        answer = route.get(routing(Kind.RTM_GETROUTE, 0, body))
    except KernelError:  # nothing leads there yet
        return False
    kind: int = RTMSG.unpack_from(answer)[7]
    return kind == _RTN_LOCAL
