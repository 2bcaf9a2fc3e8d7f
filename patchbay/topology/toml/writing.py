"""Values as TOML 1.0 text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Value = str | bool | int | float | Sequence["Value"] | Mapping[str, "Value"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def key(*names: str) -> str:
    """A key, dotted if it has several names, each quoted where it must be."""
    return ".".join(name if _BARE.fullmatch(name) else _string(name) for name in names)


def value(of: Value) -> str:
    """A value, on one line."""
    if isinstance(of, bool):
        return "true" if of else "false"
    if isinstance(of, str):
        return _string(of)
    if isinstance(of, int):
        return str(of)
    if isinstance(of, float):
        # TOML knows whole floats only with a point, and exponents as Python writes them.
        return str(int(of)) if of.is_integer() and abs(of) < 1e15 else repr(of)
    if isinstance(of, Mapping):
        inner = ", ".join(f"{key(name)} = {value(each)}" for name, each in of.items())
        return f"{{ {inner} }}" if inner else "{}"
    return f"[{', '.join(map(value, of))}]"


def table(header: str, entries: Mapping[str, Value]) -> str:
    """A table of the file: its header, then a line for each entry."""
    return "\n".join([header, *(f"{key(name)} = {value(each)}" for name, each in entries.items())])


def _string(text: str) -> str:
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character < " " or character == "\x7f":
        return f"\\u{ord(character):04x}"
    return character
