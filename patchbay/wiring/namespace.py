"""A network namespace held from outside: its descriptor, and connections to the kernel in it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from fcntl import ioctl
from struct import Struct

from actors.linux import CLONE_NEWNET, setns, unshare
from patchbay.wiring.connection import NETLINK_ROUTE, Connection
from patchbay.wiring.sysctl import Sysctls

_SIOCGIFINDEX = 0x8933
_SIOCGSKNS = 0x894C
_IFREQ = Struct("=16si20x")


class Namespace:
    """One network namespace.

    A connection is made when it is first needed: the process enters the namespace for that once,
    and from then on talks to the namespace from wherever it is. The descriptor is closed on exec.
    """

    def __init__(self, descriptor: int, enter: Callable[[int], None]) -> None:
        self.descriptor = descriptor
        self._enter = enter
        self._connections: dict[int, Connection] = {}
        self._sysctls = Sysctls()

    def connection(self, protocol: int) -> Connection:
        """The connection of a netlink protocol, opened if it is not yet."""
        connection = self._connections.get(protocol)
        if connection is None:
            self._enter(self.descriptor)
            connection = self._connections[protocol] = Connection(protocol)
        return connection

    @property
    def route(self) -> Connection:
        """The connection for links, addresses, routes, rules and neighbours."""
        return self.connection(NETLINK_ROUTE)

    def listen(self, group: int) -> socket.socket:
        """A socket that is told of every change of a kind; the caller closes it.

        Args:
            group: the kind, one of the `RTNLGRP_` numbers of rtnetlink.
        """
        self._enter(self.descriptor)
        told = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE
        )
        told.bind((0, 1 << (group - 1)))
        return told

    def index(self, interface: str) -> int:
        """The index of an interface.

        Raises:
            OSError: ENODEV, there is none of that name.
        """
        name = interface.encode()
        if not 0 < len(name) < 16:
            raise OSError(19, f"no interface can have the name {interface!r}")
        found: int = _IFREQ.unpack(ioctl(self.route, _SIOCGIFINDEX, _IFREQ.pack(name, 0)))[1]
        return found

    def write_sysctl(self, key: str, value: str) -> str | None:
        """Set a sysctl; None, or why this host lets nobody set it.

        Raises:
            OSError: it is there and refuses the value.
        """
        self._enter(self.descriptor)
        return self._sysctls.write(key, value)

    def release_sysctls(self) -> None:
        """Keep nothing open for more sysctls: few namespaces need any after their first ones."""
        self._sysctls.close()

    def close(self) -> None:
        """Close everything; the kernel ends the namespace once nobody else holds it either."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._sysctls.close()
        os.close(self.descriptor)


class Whereabouts:
    """Which namespace the process is in, so that it changes only where it must."""

    def __init__(self) -> None:
        self.home = current_namespace()
        self._here = self.home

    def enter(self, descriptor: int) -> None:
        """Be in the namespace of a descriptor from now on."""
        if descriptor != self._here:
            setns(descriptor, CLONE_NEWNET)
            self._here = descriptor

    def enter_new(self) -> int:
        """Make a namespace, be in it, and return its descriptor."""
        self._here = -1
        unshare(CLONE_NEWNET)
        self._here = current_namespace()
        return self._here

    def leave(self, descriptor: int) -> None:
        """Be anywhere but in the namespace of a descriptor, which is about to be closed."""
        if descriptor == self._here:
            self.go_home()

    def go_home(self) -> None:
        """Be in the namespace that the process was in at first."""
        self.enter(self.home)

    def close(self) -> None:
        """Go home and close the descriptor of it."""
        self.go_home()
        os.close(self.home)


def current_namespace() -> int:
    """A new descriptor of the network namespace that this thread is in, closed on exec.

    Asks a socket and not `/proc`, which may be hidden or be that of another pid namespace.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as anyone:
        return ioctl(anyone, _SIOCGSKNS)
