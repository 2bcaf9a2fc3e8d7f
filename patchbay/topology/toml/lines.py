"""On which line of a TOML file a table or a key stands, which the standard library does not say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]
"""Keys from the top of the file; a number is the place in an array of tables."""

_STRING = r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
_KEY = rf"(?:[A-Za-z0-9_-]+|{_STRING})(?:[ \t]*\.[ \t]*(?:[A-Za-z0-9_-]+|{_STRING}))*"
_LINE = re.compile(
    rf"[ \t]*(?:\[\[[ \t]*(?P<array>{_KEY})[ \t]*\]\]|\[[ \t]*(?P<table>{_KEY})[ \t]*\]"
    rf"|(?P<key>{_KEY})[ \t]*=)"
)
_TOKEN = re.compile(
    rf'"""(?:[^\\]|\\.)*?"{{3,5}}|\'\'\'.*?\'{{3,5}}|{_STRING}|#[^\n]*|\n|[\[\]{{}}]', re.DOTALL
)


def find_lines(text: str) -> Mapping[Path, int]:
    """Return the line, from 1, of each table and key of a valid TOML file.

    What stands in an inline table or array is not found; look for what it stands in.
    """
    lines: dict[Path, int] = {}
    counts: dict[tuple[str, ...], int] = {}
    table: Path = ()
    for number, match in _beginnings(text):
        if (header := match["array"]) is not None:
            names = _names(header)
            counts[names] = counts.get(names, -1) + 1
            table = _numbered(names, counts)
        elif (header := match["table"]) is not None:
            table = _numbered(_names(header), counts)
        path = (*table, *_names(match["key"])) if match["key"] is not None else table
        for end in range(1, len(path) + 1):
            lines.setdefault(path[:end], number)
    return lines


def _beginnings(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """The lines on which a table or a key begins: those that are within no value."""
    position, number = 0, 1
    while position < len(text):
        match = _LINE.match(text, position)
        if match is not None:
            yield number, match
            position = match.end()
        depth = 0
        while True:
            token = _TOKEN.search(text, position)
            if token is None:
                return
            position = token.end()
            number += token[0].count("\n")
            depth += (token[0] in ("[", "{")) - (token[0] in ("]", "}"))
            if token[0] == "\n" and depth <= 0:
                break


def _names(key: str) -> tuple[str, ...]:
    found: list[str] = []
    value: object = tomllib.loads(f"{key} = 0")
    while isinstance(value, dict):
        ((name, value),) = value.items()
        found.append(name)
    return tuple(found)


def _numbered(names: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> Path:
    """The path with, after each array of tables, the number of the table that is being filled."""
    path: list[str | int] = []
    for end, name in enumerate(names, start=1):
        path.append(name)
        if names[:end] in counts:
            path.append(counts[names[:end]])
    return tuple(path)
