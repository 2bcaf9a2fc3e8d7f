"""What the guest's first process is asked to do: a file in its initial file system, as bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the guest's first process is asked to do.

    Attributes:
        command: the program, looked up in the PATH of `environment`, and its arguments.
        environment: all its variables.
        directory: where it runs.
        writable: absolute paths of the host's directories that are really written.
        user: the user that it runs as.
        group: its group.
        groups: the further groups.
        mask: its umask.
        files: how many files it may open (the soft limit).
        hostname: the guest's.
        terminals: the numbers of its standard streams that are a terminal.
        virtual_time: waiting is free, so the clock may leave zero before it starts.
        input: the file in the initial file system that its standard input is; empty: what comes
            over the channel.
        line: the device that the channel is; empty: User-mode Linux's.
        shares: the kind of file system by which it gets the host's directories; empty: hostfs.
        disk: the device that its root is on; empty: the root is one of the host's directories.
        shown: absolute paths of the host's directories that are shown besides the root.
        modules: files in the initial file system: the kernel's modules to be loaded, in this order.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    writable: tuple[str, ...]
    user: int
    group: int
    groups: tuple[int, ...]
    mask: int
    files: int
    hostname: str
    terminals: tuple[int, ...]
    virtual_time: bool
    input: str
    line: str = ""
    shares: str = ""
    disk: str = ""
    shown: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The contents of the file that says this."""
        return b"".join(os.fsencode(text) + b"\0" for text in self._texts())

    def _texts(self) -> Iterator[str]:
        yield from ("a" + word for word in self.command)
        yield from (f"e{name}={value}" for name, value in self.environment.items())
        yield from ("w" + path for path in self.writable)
        yield from ("o" + path for path in self.shown)
        yield from ("M" + path for path in self.modules)
        yield from (f"G{group}" for group in self.groups)
        yield f"d{self.directory}"
        yield f"u{self.user}"
        yield f"g{self.group}"
        yield f"m{self.mask:o}"
        yield f"n{self.files}"
        yield f"h{self.hostname}"
        yield "t" + "".join(map(str, self.terminals))
        if self.virtual_time:
            yield "v"
        for letter, value in zip(
            "ilsr", (self.input, self.line, self.shares, self.disk), strict=True
        ):
            if value:
                yield letter + value
