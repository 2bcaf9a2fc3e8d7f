"""The functions of programs, read from their symbol tables (ELF, 64 bits, little-endian)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_LOADED, _TABLES, _FUNCTION = 1, (2, 11), 2
"""A segment that is loaded; the types of sections with symbols; the type of a function's symbol."""


def function_at(path: str, offset: int) -> str:
    """The function in which a place of a file is; empty where nobody knows.

    Args:
        path: a program or library.
        offset: how many bytes from its start.
    """
    try:
        with open(path, "rb") as file:
            program = file.read()
        return _function(program, offset)
    except (OSError, struct.error, ValueError):
        return ""  # it is gone, or no ELF


def _function(program: bytes, offset: int) -> str:
    if not program.startswith(b"\x7fELF\x02\x01"):
        return ""
    header = _HEADER.unpack_from(program)
    segments, sections, (segment_count, section_count) = header[4], header[5], header[9::2][:2]
    for index in range(segment_count):
        kind, _, at, address, _, size, *_ = _SEGMENT.unpack_from(
            program, segments + index * _SEGMENT.size
        )
        if kind == _LOADED and at <= offset < at + size:
            wanted = offset - at + address
            break
    else:
        return ""
    for name, value, size in _functions(program, sections, section_count):
        if value <= wanted < value + size:
            return name
    return ""


def _functions(program: bytes, sections: int, count: int) -> Iterator[tuple[str, int, int]]:
    """Name, address and size of every function."""
    table = [_SECTION.unpack_from(program, sections + n * _SECTION.size) for n in range(count)]
    for _, kind, _, _, at, size, link, *_ in table:
        if kind in _TABLES:
            names = table[link][4]
            for symbol in _SYMBOL.iter_unpack(program[at : at + size - size % _SYMBOL.size]):
                name, info, _, _, value, length = symbol
                if info & 0xF == _FUNCTION and value:
                    end = program.index(b"\0", names + name)
                    yield program[names + name : end].decode(errors="replace"), value, length
