"""Sockets of a node in the client's process, by themselves or for all that is opened in a context.

A socket belongs to the network namespace it was made in, whoever holds it: the node makes it and
passes its descriptor. Only names and interface names must be looked up on the node, so that is
done before the kernel sees an address.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from actors.lookups import NAMES, look_up

if TYPE_CHECKING:
    import asyncio

    from actors.node import Node

_stack: ContextVar[tuple[Network, ...]] = ContextVar("patchbay_networks", default=())
"""The networks that this thread or task is in, the innermost last."""

_ON_WIRE = {socket.AF_INET, socket.AF_INET6, socket.AF_PACKET, socket.AF_NETLINK}
"""Address families that belong to a network namespace; a unix socket's path does not."""


class Network:
    """The network of a node, for sockets of this process. A reusable context manager."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __enter__(self) -> Self:
        _Hooks.enter()
        _stack.set((*_stack.get(), self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _stack.set(_stack.get()[:-1])
        _Hooks.leave()

    def socket(self, family: int, kind: int, protocol: int) -> NodeSocket:
        """A socket of the node."""
        descriptor = self.descriptor(family, kind, protocol)
        try:
            made = NodeSocket(family, kind, protocol, fileno=descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        _networks[made] = self
        return made

    def descriptor(self, family: int, kind: int, protocol: int) -> int:
        """The descriptor of a new socket of the node; closing it is the caller's business."""
        (made,) = self._node.ask_door(
            {"operation": "socket", "arguments": [int(family), int(kind), int(protocol)]}
        )
        return made

    def look_up(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Have the node answer a function of `socket`."""
        return self._node.call(look_up, name, *arguments, **keywords)

    async def look_up_async(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        """The same, without blocking the event loop."""
        return await self._node.submit(look_up, name, *arguments, **keywords)

    def numeric(self, sock: NodeSocket, address: Any) -> Any:
        """An address in which names are replaced by what the node takes them for."""
        family = sock.family
        if family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return address
        host, *rest = address
        if isinstance(host, bytes | bytearray):
            host = host.decode("ascii")
        if not isinstance(host, str) or host in ("", "<broadcast>") or _is_numeric(family, host):
            return address
        found = self.look_up("getaddrinfo", host, None, family, sock.type)[0][4]
        # the port, flow and scope that were given, and the scope that the name implies
        return (found[0], *rest, *found[1 + len(rest) :]) if len(rest) < 3 else (found[0], *rest)


def _is_numeric(family: int, host: str) -> bool:
    try:
        socket.inet_pton(family, host)
    except OSError:
        return False
    return True


_networks: weakref.WeakKeyDictionary[socket.socket, Network] = weakref.WeakKeyDictionary()


class NodeSocket(socket.socket):
    """A socket of a node: `socket.socket`, with names looked up there."""

    __slots__ = ()

    def connect(self, address: Any, /) -> None:
        """Connect; a name in the address is the node's."""
        super().connect(_networks[self].numeric(self, address))

    def connect_ex(self, address: Any, /) -> int:
        """Connect, and return an error number; a name in the address is the node's."""
        return super().connect_ex(_networks[self].numeric(self, address))

    def bind(self, address: Any, /) -> None:
        """Bind; a name in the address is the node's."""
        super().bind(_networks[self].numeric(self, address))

    def sendto(self, data: Any, *rest: Any) -> int:
        """Send; a name in the address is the node's."""
        if rest:
            *flags, address = rest
            rest = (*flags, _networks[self].numeric(self, address))
        return super().sendto(data, *rest)

    def sendmsg(self, *arguments: Any) -> int:
        """Send; a name in the address is the node's."""
        if len(arguments) > 3 and arguments[3] is not None:
            address = _networks[self].numeric(self, arguments[3])
            arguments = (*arguments[:3], address)
        return super().sendmsg(*arguments)

    def dup(self) -> NodeSocket:
        """A second socket for the same connection."""
        copy = super().dup()
        _networks[copy] = _networks[self]
        return copy


class _Hooks:
    """Has `socket` and asyncio ask for the current network, while anybody is in one."""

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _users: ClassVar[int] = 0
    _undo: ClassVar[list[Callable[[], None]]] = []

    @classmethod
    def enter(cls) -> None:
        from asyncio.base_events import BaseEventLoop  # loaded by those who enter a network

        with cls._lock:
            cls._users += 1
            if cls._users == 1:
                cls._replace(socket.socket, "__init__", _make_init)
                for name in NAMES:
                    cls._replace(socket, name, _make_lookup)
                for name in ("getaddrinfo", "getnameinfo"):
                    cls._replace(BaseEventLoop, name, _make_async_lookup)

    @classmethod
    def leave(cls) -> None:
        with cls._lock:
            cls._users -= 1
            if cls._users == 0:
                while cls._undo:
                    cls._undo.pop()()

    @classmethod
    def _replace(cls, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        hook = wraps(original)(make(original))
        setattr(owner, name, hook)

        def undo() -> None:
            if getattr(owner, name) is hook:  # else somebody hooked it after us: leave it alone
                setattr(owner, name, original)

        cls._undo.append(undo)


def _make_init(original: Any) -> Any:
    def __init__(  # noqa: N807
        self: socket.socket,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        stack = _stack.get()
        family_or_default = socket.AF_INET if family == -1 else family
        if not stack or fileno is not None or family_or_default not in _ON_WIRE:
            original(self, family, type, proto, fileno)
            return
        kind = socket.SOCK_STREAM if type == -1 else type
        descriptor = stack[-1].descriptor(family_or_default, kind, max(proto, 0))
        original(self, family_or_default, kind, proto, descriptor)
        if self.__class__ is socket.socket:
            self.__class__ = NodeSocket
            _networks[self] = stack[-1]

    return __init__


def _make_lookup(original: Any) -> Any:
    def lookup(*arguments: Any, **keywords: Any) -> Any:
        stack = _stack.get()
        if not stack:
            return original(*arguments, **keywords)
        return stack[-1].look_up(original.__name__, *arguments, **keywords)

    return lookup


def _make_async_lookup(original: Any) -> Any:
    async def lookup(loop: asyncio.AbstractEventLoop, *arguments: Any, **keywords: Any) -> Any:
        stack = _stack.get()
        if not stack:
            return await original(loop, *arguments, **keywords)
        return await stack[-1].look_up_async(original.__name__, *arguments, **keywords)

    return lookup
