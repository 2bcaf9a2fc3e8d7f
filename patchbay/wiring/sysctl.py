"""Sysctls of the network namespace that the process is in, by their files."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

_ROOT = "/proc/sys/net/"
_LACKING = {errno.ENOENT, errno.EROFS}
_SWAPPED = str.maketrans("./", "/.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """A sysctl that could not be set because this host does not have it, or not to be written."""

    node: str
    key: str
    value: str
    reason: str
    """In the kernel's words: `No such file or directory`, `Read-only file system`."""


def read(key: str) -> str | None:
    """What a sysctl is now; None if this host has none such."""
    try:
        descriptor = os.open(_ROOT + key.translate(_SWAPPED), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return " ".join(os.read(descriptor, 4096).decode().split())
    finally:
        os.close(descriptor)


class Sysctls:
    """The sysctls of one network namespace, which the process is in when they are written.

    The folders of a protocol stay open: all namespaces of a host have one of the same name, which
    the kernel tells apart one by one, so that finding it takes the longer the more there are.
    """

    def __init__(self) -> None:
        self._folders: dict[str, int] = {}

    def write(self, key: str, value: str) -> str | None:
        """Set a sysctl; None, or why this host lets nobody set it: it has none such, or read-only.

        Args:
            key: in dots, below `net`; a dot within a part of it is a slash, as for sysctl(8).
            value: as text.

        Raises:
            OSError: it is there and refuses the value.
        """
        protocol, _, rest = key.translate(_SWAPPED).partition("/")
        try:
            descriptor = os.open(rest, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._folder(protocol))
            try:
                os.write(descriptor, value.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno in _LACKING:
                return os.strerror(error.errno or 0)
            raise
        return None

    def close(self) -> None:
        """Close the folders; they are opened again when they are needed."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    def _folder(self, protocol: str) -> int:
        if protocol not in self._folders:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            self._folders[protocol] = os.open(_ROOT + protocol, flags)
        return self._folders[protocol]
