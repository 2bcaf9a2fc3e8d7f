"""Many packets in one system call: recvmmsg(2) and sendmmsg(2), with arrays made once."""

from __future__ import annotations

import array
import ctypes
import errno
from collections.abc import Sequence

_libc = ctypes.CDLL(None, use_errno=True)

_MSG_DONTWAIT = 0x40

AT_ONCE = 64
"""Packets that one system call moves at most."""


class _IoVec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint),
        ("vector", ctypes.c_void_p),
        ("vector_size", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _Message(ctypes.Structure):
    _fields_ = [("header", _Header), ("size", ctypes.c_uint)]


_WORDS = ctypes.sizeof(_IoVec) // ctypes.sizeof(ctypes.c_size_t)
_STEP = ctypes.sizeof(_Message) // 4
_SIZE_AT = _Message.size.offset // 4

_libc.sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_libc.recvmmsg.argtypes = (*_libc.sendmmsg.argtypes, ctypes.c_void_p)


class Messages:
    """Places for as many packets as one system call moves."""

    def __init__(self) -> None:
        self._messages = (_Message * AT_ONCE)()
        self._vectors = (_IoVec * AT_ONCE)()
        first = ctypes.addressof(self._vectors)
        for index, message in enumerate(self._messages):
            message.header.vector = first + index * ctypes.sizeof(_IoVec)
            message.header.vector_size = 1
        self._address = ctypes.addressof(self._messages)
        words = memoryview(self._vectors).cast("B").cast("L")
        self._bases, self._capacities = words[0::_WORDS], words[1::_WORDS]
        self._sizes = memoryview(self._messages).cast("B").cast("I")[_SIZE_AT::_STEP]

    def point_to(self, addresses: Sequence[int], sizes: Sequence[int]) -> None:
        """Say where packets are, or shall be, and how many bytes each takes, or may take."""
        count = len(addresses)
        self._bases[:count] = memoryview(array.array("L", addresses))
        self._capacities[:count] = memoryview(array.array("L", sizes))

    def receive(self, socket: int, count: int) -> list[int]:
        """Receive at most so many packets, without waiting; return the size of each.

        Raises:
            OSError: the socket's interface is gone, or down.
        """
        received: int = _libc.recvmmsg(socket, self._address, count, _MSG_DONTWAIT, None)
        if received < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(number, "recvmmsg")
        return self._sizes[:received].tolist()

    def send(self, socket: int, first: int, count: int) -> int:
        """Send packets, from one on; return how many the kernel took, 0 if it refused the first."""
        address = self._address + first * ctypes.sizeof(_Message)
        sent: int = _libc.sendmmsg(socket, address, count, _MSG_DONTWAIT)
        return max(0, sent)
