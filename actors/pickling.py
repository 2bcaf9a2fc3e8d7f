"""Objects as frames of bytes, and back, between processes that share modules only by name.

Code travels by value if the other process could not import it (`homes`, `pickler`). Large data is
not copied in Python on its way out: frames refer to it. On its way in, arrays, pickle buffers and
memory views refer to the frame they came in (and can be written to if it can); `bytes`,
`bytearray` and `str` are copied once.
"""

from __future__ import annotations

import io
import itertools
import pickle
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType, NoneType
from typing import Any, TypeAlias

from actors.errors import TravelError
from actors.homes import importable_elsewhere
from actors.pickler import Pickler
from actors.unpicklable import Part, explain

Frame: TypeAlias = bytes | bytearray | memoryview

Payload: TypeAlias = list[Frame]
"""A pickle, then the large buffers that it refers to.

The first frame is the whole pickle; or, where the pickle itself holds large data, a head that says
how many of the following frames are its pieces. Frames refer to the memory of the pickled objects:
what changes these before the frames are sent changes what is sent.
"""

_PROTOCOL = 5
_PICKLE = 0x80
"""The first byte of every pickle of this protocol; no head starts with it."""
_SPLIT = 0x50
_HEAD = struct.Struct(">BI")

_BUFFER_ALONE = 64 * 1024
"""Bytes; a shorter buffer goes inside the pickle."""

_PIECE_ALONE = 256 * 1024
"""Bytes; shorter pieces of a pickle are joined. The pickler's own are up to 128 KiB."""


def dumps(value: object) -> Payload:
    """Frames for any object: a result, an exception, a log record.

    Raises:
        TravelError: something in it cannot go to another process; it says what and where.
    """
    return _dumps(value, _is_plain(value, _SHORT_DEPTH), lambda: [Part("the value", value)])


def dumps_call(
    function: Callable[..., object], arguments: Sequence[object], keywords: Mapping[str, object]
) -> Payload:
    """Frames for `(function, arguments, keywords)`, as a tuple, a tuple and a dictionary.

    Raises:
        TravelError: something in it cannot go to another process; it says what and where.
    """

    def parts() -> list[Part]:
        name = getattr(function, "__name__", type(function).__name__)
        return [
            Part(f"the function {name!r}", function),
            *(Part(f"argument {i} of {name!r}", each) for i, each in enumerate(arguments, 1)),
            *(Part(f"argument {key}= of {name!r}", each) for key, each in keywords.items()),
        ]

    plain = (
        _is_plain(function, 0)
        and _are_plain(arguments, _SHORT_DEPTH)
        and (not keywords or _are_plain(keywords.values(), _SHORT_DEPTH))
    )
    return _dumps((function, tuple(arguments), dict(keywords)), plain, parts)


def loads(frames: Sequence[Frame]) -> Any:
    """The object that was made into these frames.

    Raises:
        ValueError: these are no frames of `dumps`.
        Exception: whatever the import of a module or the making of an object raised.
    """
    if not frames or not len(frames[0]):
        raise ValueError("no frames to load an object from")
    first = memoryview(frames[0])
    if first[0] not in (_PICKLE, _SPLIT):
        raise ValueError(f"not a pickle: {bytes(first[:16])!r}")
    try:
        if first[0] == _PICKLE:
            return pickle.loads(first, buffers=map(memoryview, frames[1:]))
        _, count = _HEAD.unpack(first)
        pieces, buffers = frames[1 : 1 + count], frames[1 + count :]
        stream = io.BufferedReader(_Pieces(pieces))
        return pickle.Unpickler(stream, buffers=map(memoryview, buffers)).load()
    except (ImportError, AttributeError) as error:
        error.add_note(
            "raised while an object from another process was loaded: "
            "what it names must be importable here as it is there"
        )
        raise


def pickled(value: object, make_pickler: Callable[..., Pickler] = Pickler) -> Payload:
    """Frames for an object, from a pickler of one's own; it raises whatever user code raises."""
    stream = _Stream()
    buffers: Payload = []

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < _BUFFER_ALONE:
            return True
        buffers.append(raw)
        return False

    make_pickler(stream, protocol=_PROTOCOL, buffer_callback=stays_inside).dump(value)
    pieces = _joined(stream.pieces)
    if len(pieces) == 1:
        return [*pieces, *buffers]
    return [_HEAD.pack(_SPLIT, len(pieces)), *pieces, *buffers]


def _dumps(value: object, plain: bool, parts: Callable[[], list[Part]]) -> Payload:
    short = _plain_pickle(value) if plain else None
    if short is not None:
        return [short]
    try:
        return pickled(value)
    except Exception as error:
        raise TravelError(explain(parts(), error)) from error


# --- the short way -----------------------------------------------------------------------------

_SIMPLE = frozenset({NoneType, bool, int, float, complex, str, bytes})
_CONTAINERS = frozenset({tuple, list, dict})
_SHORT_DEPTH = 3
_SHORT_LENGTH = 16


def _plain_pickle(value: object) -> bytes | None:
    """What the C pickler makes of it alone, unless it finds a function that is not where it says.

    It is faster, but takes every function and class for importable: only for what is plain.
    """
    try:
        return pickle.dumps(value, _PROTOCOL)
    except (pickle.PicklingError, AttributeError):
        return None


def _is_plain(value: Any, depth: int) -> bool:
    """Whether the C pickler alone does the right thing, as far as can be seen at once."""
    kind = type(value)
    if kind in _SIMPLE:
        return sys.getsizeof(value) < _BUFFER_ALONE
    if kind is FunctionType or kind is type:
        return importable_elsewhere(value.__module__)
    if kind is BuiltinFunctionType:
        return type(value.__self__) is ModuleType
    if kind not in _CONTAINERS or not depth or len(value) > _SHORT_LENGTH:
        return False
    return _are_plain(value, depth - 1) and (
        kind is not dict or _are_plain(value.values(), depth - 1)
    )


def _are_plain(values: Collection[Any], depth: int) -> bool:
    if _SIMPLE.issuperset(map(type, values)):
        return sum(map(sys.getsizeof, values)) < _BUFFER_ALONE
    return all(_is_plain(value, depth) for value in values)


# --- large data inside the pickle ----------------------------------------------------------------


class _Stream:
    """What the pickler writes to. It hands over `bytes` from 64 KiB on as the object itself."""

    def __init__(self) -> None:
        self.pieces: Payload = []

    def write(self, piece: Frame) -> int:
        # a view is of memory that is only there during this call
        self.pieces.append(bytes(piece) if isinstance(piece, memoryview) else piece)
        return len(piece)


def _joined(pieces: Payload) -> Payload:
    """Pieces with the short ones joined, so that there are few frames."""
    if len(pieces) == 1:
        return pieces
    result: Payload = []
    for alone, group in itertools.groupby(pieces, lambda piece: len(piece) >= _PIECE_ALONE):
        if alone:
            result += group
        else:
            result.append(b"".join(group))
    return result


class _Pieces(io.RawIOBase):
    """The pieces of a pickle as a file, read with one copy to where the data belongs."""

    def __init__(self, pieces: Iterable[Frame]) -> None:
        self._rest = iter(pieces)
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._piece:
            following = next(self._rest, None)
            if following is None:
                return 0
            self._piece = memoryview(following)
        count = min(len(target), len(self._piece))
        target[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count
