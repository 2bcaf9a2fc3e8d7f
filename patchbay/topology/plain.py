"""Topologies, requests and values as plain dicts, lists and scalars, and back.

That is what msgpack and JSON carry: to the supervisor, to clients, into `state.json`. A dataclass
is a dict of its fields, an enum its name, an address its text; what a field is when read back
follows from its type.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Any, TypeVar

from actors.protocol import Plain

_T = TypeVar("_T")

_TEXT = (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
_ATOMS = (type(None), bool, int, float, str)


def to_plain(value: object) -> Plain:
    """Return a value without any class of ours in it.

    Raises:
        TypeError: it has a part that cannot be read back.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, _TEXT):
        return str(value)
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(each) for each in value]
    raise TypeError(f"{type(value).__name__} has no plain form")


def from_plain(kind: type[_T], plain: object) -> _T:
    """Return the value of a kind that `to_plain` made this of.

    Raises:
        ValueError: it is not what `to_plain` makes of this kind.
    """
    result: _T = _reader(kind)(plain)
    return result


_Reader = Callable[[Any], Any]
_READERS: dict[Any, _Reader] = {}
"""Readers by what they read; made on first use, the same ones ever after."""


def _reader(kind: Any) -> _Reader:
    """Return what reads a value of a type."""
    if kind not in _READERS:
        _READERS[kind] = _new_reader(kind)
    return _READERS[kind]


def _new_reader(kind: Any) -> _Reader:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(tuple(_reader(each) for each in arguments), kind)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            each = _reader(arguments[0])
            return lambda plain: tuple(map(each, _need(plain, list | tuple, kind)))
        readers = tuple(_reader(argument) for argument in arguments)
        return lambda plain: tuple(
            read(item) for read, item in zip(readers, _need(plain, list | tuple, kind), strict=True)
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        entry = _reader(arguments[1])
        return lambda plain: types.MappingProxyType(
            {key: entry(item) for key, item in _need(plain, dict, kind).items()}
        )
    if kind in _ATOMS:
        # A float may have been written as the integer that it is equal to.
        accepted = float | int if kind is float else kind
        return lambda plain: _need(plain, accepted, kind)
    if kind in _TEXT or issubclass(kind, Enum):
        return lambda plain: kind(_need(plain, str, kind))
    if is_dataclass(kind):
        return _dataclass(kind)
    raise TypeError(f"{kind} has no plain form")


def _dataclass(kind: Any) -> _Reader:
    hints = typing.get_type_hints(kind)
    readers: dict[str, _Reader] = {}

    def read(plain: Any) -> Any:
        # Made on first use: a type may lead back to itself.
        if not readers:
            readers.update({field.name: _reader(hints[field.name]) for field in fields(kind)})
        entries = _need(plain, dict, kind)
        unknown = entries.keys() - readers.keys()
        if unknown:
            raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
        return kind(**{name: readers[name](item) for name, item in entries.items()})

    return read


def _union(readers: tuple[_Reader, ...], kind: object) -> _Reader:
    def read(plain: Any) -> Any:
        for reader in readers:
            try:
                return reader(plain)
            except ValueError:
                continue
        raise ValueError(f"{plain!r} is not {kind}")

    return read


def _need(plain: Any, accepted: Any, kind: object) -> Any:
    if not isinstance(plain, accepted):
        raise ValueError(f"{plain!r} is not {kind}")
    return plain
