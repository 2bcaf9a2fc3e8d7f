"""The guest's initial file system, as a cpio archive: the first process, and what it is asked."""

from __future__ import annotations

import stat
from collections.abc import Mapping

_DIRECTORY = stat.S_IFDIR | 0o755
_PROGRAM = stat.S_IFREG | 0o755
_FILE = stat.S_IFREG | 0o600
_LINK = stat.S_IFLNK | 0o777
_END = "TRAILER!!!"


def initramfs(init: bytes, files: Mapping[str, bytes]) -> bytes:
    """The archive of a file system.

    Args:
        init: the program that the kernel starts.
        files: further files in its root directory, by name.
    """
    entries = [("dev", _DIRECTORY, b""), ("init", _PROGRAM, init), ("modprobe", _LINK, b"init")]
    entries += [(name, _FILE, data) for name, data in files.items()]
    entries.append((_END, 0, b""))
    return b"".join(
        _entry(number, name, mode, data) for number, (name, mode, data) in enumerate(entries, 1)
    )


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    """One file in the "newc" format: see Documentation/driver-api/early-userspace in Linux."""
    named = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(named), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + named) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
