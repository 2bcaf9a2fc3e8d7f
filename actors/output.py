"""What the code and the processes of a node print: lines with time and stream, a ring and a file."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TextIO

Stream = Literal["stdout", "stderr"]

RING_LINES = 1000
"""Lines kept in memory for each node."""

LONGEST_LINE = 16 * 1024
"""Bytes; a longer line is kept in pieces."""


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line that a node printed.

    Attributes:
        time: when it was read, in seconds since the epoch.
        stream: `stdout` or `stderr`.
        text: the line without its end.
    """

    time: float
    stream: Stream
    text: str

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.time, UTC)
        return f"{moment:%H:%M:%S.%f} {self.stream} {self.text}"


class Lines:
    """Cuts what comes out of one pipe into lines."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._rest = b""
        self._time = 0.0

    def feed(self, data: bytes, now: float) -> list[OutputLine]:
        """The lines that these bytes complete."""
        self._time = now
        *whole, self._rest = (self._rest + data).split(b"\n")
        pieces = [piece for line in whole for piece in _pieces(line)]
        *more, self._rest = _pieces(self._rest)
        return [self._line(piece) for piece in pieces + more]

    def unfinished(self) -> list[OutputLine]:
        """The beginning of a line whose end has not come yet, if there is one."""
        return [self._line(self._rest)] if self._rest else []

    def finish(self) -> list[OutputLine]:
        """What is left when no more can come."""
        rest = self.unfinished()
        self._rest = b""
        return rest

    def _line(self, data: bytes) -> OutputLine:
        return OutputLine(self._time, self.stream, data.decode(errors="backslashreplace"))


def _pieces(line: bytes) -> list[bytes]:
    """A line in pieces that are short enough, cut between characters."""
    pieces = []
    while len(line) > LONGEST_LINE:
        end = LONGEST_LINE
        while end > LONGEST_LINE - 3 and line[end] & 0xC0 == 0x80:  # inside a character of UTF-8
            end -= 1
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]


class Record:
    """The output of one node: the last lines in memory, all of them in a file if one is given."""

    def __init__(self, path: str | None) -> None:
        self._ring: deque[OutputLine] = deque(maxlen=RING_LINES)
        self._open: list[Lines] = []
        self._path = path
        self._file: TextIO | None = None

    def open(self, stream: Stream) -> Lines:
        """Begin to keep what comes out of a pipe: to be fed, and closed at its end."""
        lines = Lines(stream)
        self._open.append(lines)
        return lines

    def feed(self, lines: Lines, data: bytes) -> None:
        """Keep what was read from a pipe now."""
        self._keep(lines.feed(data, time.time()))

    def finish(self, lines: Lines) -> None:
        """Keep the rest of what came out of a pipe."""
        self._open.remove(lines)
        self._keep(lines.finish())

    def lines(self) -> list[OutputLine]:
        """The last lines, also those whose end has not come yet."""
        return [*self._ring, *(line for each in self._open for line in each.unfinished())]

    def last(self, count: int) -> list[str]:
        """The text of the last lines."""
        return [line.text for line in self.lines()][-count:]

    def _keep(self, lines: list[OutputLine]) -> None:
        self._ring.extend(lines)
        if self._path is None or not lines:
            return
        if self._file is None:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115
        for line in lines:
            moment = datetime.fromtimestamp(line.time, UTC).isoformat()
            self._file.write(f"{moment} {line.stream} {line.text}\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
