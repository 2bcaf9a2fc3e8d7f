"""Exceptions from a node to a client: as themselves wherever that works, else as `RemoteError`.

The node loads what it is about to send and compares, so that a client is hardly ever surprised.
An exception that its class does not make again from its `args` is put together without calling it.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import BuiltinFunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any

from actors.errors import RemoteError
from actors.pickler import Pickler
from actors.pickling import Frame, Payload, loads, pickled
from actors.tracebacks import format_exception, message, type_name


class RemoteTraceback(Exception):
    """The cause of an exception that came from a node: its traceback there.

    Attributes:
        text: what Python would have printed there, with all causes.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}\n"""'


def pack_exception(exception: BaseException, node: str, *, skip: int = 0) -> Payload:
    """The frames for an exception that was caught on a node; it never raises.

    Causes and contexts travel in the text of the traceback. Attributes that cannot travel stay
    behind, and a note says so.

    Args:
        exception: any, also `SystemExit` and `KeyboardInterrupt`.
        node: the node's name.
        skip: entries to leave out at the start of the traceback, besides those of this package.
    """
    notes = [f"on node {node!r}"]
    itself = _as_it_pickles(exception)
    if itself is None:
        trials = _Trials()
        itself = _as_rebuilt(exception, trials)
        if itself and trials.left_behind:
            names = ", ".join(trials.left_behind)
            notes.append(f"left on the node, as they cannot be sent: {names}")
    told = (type_name(exception), message(exception), format_exception(exception, skip), notes)
    return [pickle.dumps(told), *(itself or ())]


def unpack_exception(frames: Sequence[Frame]) -> BaseException:
    """The exception in frames of `pack_exception`, to be raised.

    Its cause is a `RemoteTraceback`, its last notes name the node. It is a `RemoteError` if the
    exception could not travel, or its class cannot be found here.
    """
    name, text, traceback_text, notes = pickle.loads(frames[0])
    exception: BaseException | None = None
    if len(frames) > 1:
        try:
            loaded = loads(frames[1:])
        except BaseException as error:  # its class may do anything when called
            notes.append(
                f"as {name} it cannot be loaded here: {type_name(error)}: {message(error)}"
            )
        else:
            exception = loaded if isinstance(loaded, BaseException) else None
    if exception is None:
        exception = RemoteError(name, text, traceback_text)
    # by way of BaseException itself: a class may forbid to set attributes
    _set(exception, "__cause__", RemoteTraceback(traceback_text))
    kept = vars(exception).get("__notes__")
    vars(exception)["__notes__"] = [*(kept if isinstance(kept, list | tuple) else ()), *notes]
    return exception


def _as_it_pickles(exception: BaseException) -> Payload | None:
    """The way its class provides for, if what arrives is the same."""
    try:
        frames = pickled(exception)
        return frames if _alike(exception, loads(frames)) else None
    except BaseException:  # user code runs in here; the answer is no
        return None


# --- without calling the class -------------------------------------------------------------------


@dataclass
class _Trials:
    """What is known about the exceptions and attributes met while one exception is taken apart."""

    verdicts: dict[int, bool] = field(default_factory=dict)
    """Whether an exception, by identity, can be rebuilt."""

    trying: set[int] = field(default_factory=set)
    """The attributes, by identity, that are just being tried: some refer to themselves."""

    left_behind: list[str] = field(default_factory=list)
    """The names of attributes that cannot be sent."""


def _as_rebuilt(exception: BaseException, trials: _Trials) -> Payload | None:
    """Frames that make it again from its parts, if that works."""
    trials.verdicts[id(exception)] = True
    try:
        frames = pickled(exception, functools.partial(_Rebuilding, trials))
        loaded = loads(frames)
        good = (
            type(loaded) is type(exception)
            and len(loaded.args) == len(exception.args)
            and (_prints(loaded) or not _prints(exception))
        )
    except BaseException:  # user code runs in here; the answer is no
        good = False
    trials.verdicts[id(exception)] = good
    return frames if good else None


class _Rebuilding(Pickler):
    """Takes exceptions apart into class, arguments and attributes."""

    def __init__(self, trials: _Trials, stream: object, **options: Any) -> None:
        super().__init__(stream, **options)
        self._trials = trials

    def reducer_override(self, obj: object) -> Any:
        """Take exceptions apart, also those inside a group or in attributes."""
        if not isinstance(obj, BaseException):
            return super().reducer_override(obj)
        verdicts = self._trials.verdicts
        if id(obj) not in verdicts:
            _as_rebuilt(obj, self._trials)
        if not verdicts[id(obj)]:
            return RemoteError, (type_name(obj), message(obj), format_exception(obj))
        attributes = {name: each for name, each in vars(obj).items() if self._goes(name, each)}
        members = {name: each for name, each in _members(obj) if self._goes(name, each)}
        made_from: tuple[Any, ...] = ()
        if isinstance(obj, BaseExceptionGroup):
            made_from = (obj.message, obj.exceptions)
        state = (obj.args, attributes, members)
        return _blank, (_maker(type(obj)), type(obj), *made_from), state, None, None, _fill

    def _goes(self, name: str, value: object) -> bool:
        trials = self._trials
        if id(value) in trials.trying:
            return True
        trials.trying.add(id(value))
        try:
            pickled(value, functools.partial(_Rebuilding, trials))
        except Exception:  # user code; it stays behind
            if name not in trials.left_behind:
                trials.left_behind.append(name)
            return False
        finally:
            trials.trying.discard(id(value))
        return True


def _maker(cls: type[BaseException]) -> type[BaseException]:
    """The nearest base whose `__new__` is not written in Python."""
    return next(
        base for base in cls.__mro__ if isinstance(vars(base).get("__new__"), BuiltinFunctionType)
    )


def _blank(maker: type[BaseException], cls: type[BaseException], *arguments: Any) -> BaseException:
    return maker.__new__(cls, *arguments)


def _fill(exception: BaseException, state: tuple[Any, dict[str, Any], dict[str, Any]]) -> None:
    arguments, attributes, members = state
    _set(exception, "args", arguments)
    vars(exception).update(attributes)
    for name, value in members.items():
        _set(exception, name, value)


def _set(exception: BaseException, name: str, value: object) -> None:
    """Set an attribute of a built-in base or a slot, whatever its class thinks of that."""
    object.__setattr__(exception, name, value)


def _members(exception: BaseException) -> Iterator[tuple[str, Any]]:
    """What is neither in `args` nor in `__dict__`: slots, and fields such as `OSError.errno`."""
    for cls in type(exception).__mro__:
        if cls in (BaseException, BaseExceptionGroup, object):
            continue
        for name, descriptor in vars(cls).items():
            if name in ("__dict__", "__weakref__"):
                continue
            if isinstance(descriptor, MemberDescriptorType | GetSetDescriptorType):
                try:
                    yield name, descriptor.__get__(exception, type(exception))
                except AttributeError:  # a slot that is not set
                    continue


# --- comparing ---------------------------------------------------------------------------------


def _alike(one: BaseException, other: object) -> bool:
    """Whether one exception is a faithful copy of the other, as far as can be told."""
    return (
        isinstance(other, BaseException)
        and type(one) is type(other)
        and _same(one.args, other.args)
        and vars(one).keys() == vars(other).keys()
        and _same(list(_members(one)), list(_members(other)))
        and (_prints(other) or not _prints(one))
    )


def _same(one: object, other: object) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, BaseException):
        return _alike(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one).__eq__ is object.__eq__ or bool(one == other)


def _prints(exception: BaseException) -> bool:
    try:
        str(exception)
    except BaseException:  # user code
        return False
    return True
