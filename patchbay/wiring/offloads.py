"""Which super-packets (GSO) an interface takes as they are; the kernel cuts all others before."""

from __future__ import annotations

import ctypes
import errno
import struct
from fcntl import ioctl

from patchbay.wiring import messages
from patchbay.wiring.connection import Connection

_SIOCETHTOOL = 0x8946
_REQUEST = struct.Struct("@16sP16x")
"""`struct ifreq`: the interface's name, and where the command lies."""
_GET_STRINGS, _COUNT_STRINGS, _SET_FEATURES = 0x1B, 0x37, 0x3B
_FEATURES = 4
"""The set of strings that are the names of features (ETH_SS_FEATURES)."""
_COUNT = struct.Struct("=IIQI")
_STRINGS, _HEAD = struct.Struct("=III"), struct.Struct("=II")
_BLOCK = struct.Struct("=II")
"""Which of 32 features are meant, and which of these shall be on."""
_NAME_SIZE = 32
_NAME = struct.Struct(f"{_NAME_SIZE}s")

_KEPT = frozenset({"tx-tcp-segmentation", "tx-tcp6-segmentation"})
"""Those of TCP without anything around it."""
_OTHERS = frozenset({"tx-gso-list"})
"""Whose names do not end like the rest."""


SEGMENTS = 65_535
"""Packets that may travel as one, as the kernel has it (GSO_MAX_SEGS)."""
_NOT_THERE = frozenset({errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EPERM})
"""What a kernel without these requests answers."""


def cut_all_but_tcp(route: Connection, interface: str) -> None:
    """Have packets for an interface cut into such as fit a wire, save those of TCP.

    Where the kernel cannot tell them apart, these are cut as well.

    Args:
        route: the connection of its network namespace.
        interface: its name.

    Raises:
        OSError: there is no such interface.
    """
    _cut(route, interface, most=1, others=False)


def cut_nothing(route: Connection, interface: str) -> None:
    """Have packets for an interface of veth come as they are, as they do from the start.

    Raises:
        OSError: there is no such interface.
    """
    _cut(route, interface, most=SEGMENTS, others=True)


def _cut(route: Connection, interface: str, *, most: int, others: bool) -> None:
    """Let those pass whole that are not of TCP, or not; where these are all alike, so many in one."""
    try:
        _switch(route, interface, on=others)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        route.ask(messages.set_segments(interface, most))


def _switch(route: Connection, interface: str, *, on: bool) -> None:
    names = _names(route, interface)
    blocks = [0] * -(-len(names) // 32)
    for bit, name in enumerate(names):
        if name in _OTHERS or (name.endswith("segmentation") and name not in _KEPT):
            blocks[bit // 32] |= 1 << bit % 32
    wanted = b"".join(_BLOCK.pack(meant, meant if on else 0) for meant in blocks)
    _ask(route, interface, _HEAD.pack(_SET_FEATURES, len(blocks)) + wanted)


def _names(route: Connection, interface: str) -> list[str]:
    """The kernel's names of all features, by their bits."""
    asked = _COUNT.pack(_COUNT_STRINGS, 0, 1 << _FEATURES, 0)
    *_, count = _COUNT.unpack(_ask(route, interface, asked))
    asked = _STRINGS.pack(_GET_STRINGS, _FEATURES, count) + bytes(count * _NAME_SIZE)
    told = _ask(route, interface, asked)[_STRINGS.size :]
    return [name.rstrip(b"\0").decode() for (name,) in _NAME.iter_unpack(told)]


def _ask(route: Connection, interface: str, command: bytes) -> bytes:
    place = ctypes.create_string_buffer(command, len(command))
    ioctl(route, _SIOCETHTOOL, _REQUEST.pack(interface.encode(), ctypes.addressof(place)))
    return place.raw
