"""How a class for asyncio is made of its blocking twin: one line for each name.

A method is awaited, and runs in a thread meanwhile: `up = awaited(Iface.up)`. An awaiting task that
is cancelled does not undo it: the change completes, as a whole.

A property is not awaited: `mac = told(lambda iface: iface.mac)`. It asks the lab then and there,
which takes some 0.1 ms, or as long as a change takes that another task has under way.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")
P = ParamSpec("P")


async def make(build: Callable[[], T], discard: Callable[[T], object]) -> T:
    """Make something in a thread; it is discarded if nobody waits for it any more.

    Args:
        build: makes it.
        discard: ends it; may be called twice.
    """
    made: list[T] = []
    abandoned = False

    def work() -> T:
        made.append(build())
        if abandoned:
            discard(made[0])
        return made[0]

    try:
        return await asyncio.to_thread(work)
    except asyncio.CancelledError:
        abandoned = True
        if made:  # both of us may have seen that: then it is discarded twice
            asyncio.get_running_loop().run_in_executor(None, discard, made[0])
        raise


class Twin(Generic[S]):
    """A handle for asyncio code; `sync` is the blocking one.

    Awaiting a handle gives the handle, so that who awaits everything is right as well.
    """

    def __init__(self, sync: S) -> None:
        self._sync = sync

    @property
    def sync(self) -> S:
        """The blocking handle of the same thing, for code in other threads."""
        return self._sync

    def __await__(self) -> Generator[Any, Any, Self]:
        yield from ()  # nothing to wait for
        return self

    def __repr__(self) -> str:
        return f"<Async{repr(self.sync).removeprefix('<')}"

    def __eq__(self, other: object) -> bool:
        return self.sync == other.sync if isinstance(other, Twin) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.sync)


class Awaited(Protocol[P, T_co]):
    """A method that `awaited` made, as type checkers see it."""

    @overload
    def __get__(
        self, twin: None, owner: type, /
    ) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T_co]]: ...

    @overload
    def __get__(self, twin: object, owner: type, /) -> Callable[P, Coroutine[Any, Any, T_co]]: ...


class Told(Generic[T]):
    """A property that `told` made; it tells what the property of the same name tells."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self.__doc__ = f"As the property `{name}` of the blocking twin."

    @overload
    def __get__(self, twin: None, owner: type, /) -> Self: ...

    @overload
    def __get__(self, twin: Twin[Any], owner: type, /) -> T: ...

    def __get__(self, twin: Twin[Any] | None, owner: type, /) -> T | Self:
        return self if twin is None else self._read(twin.sync)


def awaited(method: Callable[Concatenate[S, P], T], /) -> Awaited[P, T]:
    """The method of a twin that runs a blocking method in a thread.

    Args:
        method: the one of the blocking class; names, parameters and documentation are its own.
    """
    return awaited_handle(method, lambda _, result: result)


def awaited_handle(
    method: Callable[Concatenate[S, P], T], wrap: Callable[[Any, T], R], /
) -> Awaited[P, R]:
    """The same, for a method that returns a handle.

    Args:
        method: the one of the blocking class.
        wrap: makes the twin of what it returns; called with the twin whose method it is, and that.
    """

    @functools.wraps(method)
    async def run(self: Twin[Any], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return wrap(self, await asyncio.to_thread(method, self.sync, *args, **kwargs))

    return cast("Awaited[P, R]", run)
