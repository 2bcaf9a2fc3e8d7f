"""An unstarted coroutine object, taken apart into what can be sent: a function and its arguments."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from types import CellType, CodeType, CoroutineType, FunctionType
from typing import Any, TypeAlias

Parts: TypeAlias = tuple[Callable[..., Coroutine[Any, Any, Any]], tuple[Any, ...], dict[str, Any]]
"""A function, its positional and its keyword arguments: calling it makes the same coroutine."""


def take_apart(coroutine: object) -> Parts:
    """Find the function and the arguments that made a coroutine, and close it.

    The function is the one of its module if that still has it, else one made of the same code.
    Arguments are the very objects; all of them, defaults too.

    Raises:
        TypeError: it is no coroutine of an `async def`, or it runs or ran already. It is left as
            it is.
    """
    if not isinstance(coroutine, CoroutineType):
        raise TypeError(_why_not(coroutine))
    code, frame, name = coroutine.cr_code, coroutine.cr_frame, coroutine.__qualname__
    if frame is None or inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
        state = "is finished" if frame is None else "has started"
        raise TypeError(
            f"the coroutine {name!r} {state}, and cannot go to another process: "
            f"pass a fresh one, spawn({name}(...)), or the function, spawn({name}, ...)"
        )
    variables = dict(frame.f_locals)
    function = _find_function(code, frame.f_globals) or _make_function(
        code, frame.f_globals, name, variables
    )
    positional, keywords = _arguments(code, variables)
    coroutine.close()
    return function, positional, keywords


def _arguments(
    code: CodeType, variables: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a call was given, from the variables before its first line."""
    names = iter(code.co_varnames)
    positional = [variables[name] for name in itertools.islice(names, code.co_argcount)]
    keywords = {name: variables[name] for name in itertools.islice(names, code.co_kwonlyargcount)}
    if code.co_flags & inspect.CO_VARARGS:
        positional += variables[next(names)]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        keywords |= variables[next(names)]
    return tuple(positional), keywords


def _find_function(
    code: CodeType, namespace: Mapping[str, Any]
) -> Callable[..., Coroutine[Any, Any, Any]] | None:
    """The function of this code that its module has under its qualified name."""
    found: Any = sys.modules.get(namespace.get("__name__", ""))
    for name in code.co_qualname.split("."):
        found = inspect.getattr_static(found, name, None)
    found = getattr(found, "__func__", found)  # of a static or class method
    try:
        function = inspect.unwrap(found, stop=lambda each: getattr(each, "__code__", None) is code)
    except ValueError:  # it claims to wrap itself
        return None
    return function if getattr(function, "__code__", None) is code else None


def _make_function(
    code: CodeType, namespace: dict[str, Any], name: str, variables: Mapping[str, Any]
) -> FunctionType:
    cells = tuple(
        CellType(variables[free]) if free in variables else CellType() for free in code.co_freevars
    )
    function = FunctionType(code, namespace, code.co_name, None, cells)
    function.__qualname__ = name
    return function


def _why_not(value: object) -> str:
    """Say what was passed in place of a coroutine, with the right spelling beside the wrong."""
    import asyncio  # loaded only for what goes wrong

    if isinstance(value, asyncio.Future):
        return (
            f"a {type(value).__name__} belongs to the event loop of this process: "
            "write spawn(fetch(url)) or spawn(fetch, url), "
            "not spawn(asyncio.create_task(fetch(url)))"
        )
    if isinstance(value, AsyncGenerator):
        name = getattr(value, "__qualname__", "generator")
        return (
            f"{name!r} is an async generator, and gives no single result: write an async function "
            f"that uses it, async def collect(): return [each async for each in {name}(...)], "
            f"and spawn(collect), not spawn({name}(...))"
        )
    if inspect.isgenerator(value):
        name = value.__qualname__
        return (
            f"{name!r} is a generator, not a coroutine: write it with async def, "
            f"and spawn({name}(...)); or call(list, ...) with what it yields"
        )
    if inspect.iscoroutinefunction(value):
        name = value.__qualname__
        return f"{name!r} is a function that makes coroutines: write spawn({name}, ...)"
    if callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return (
            f"{name!r} is no async function: write call({name}, ...) or submit({name}, ...), "
            f"not spawn({name}, ...)"
        )
    if inspect.isawaitable(value):
        return (
            f"a {type(value).__qualname__} can be awaited but is no coroutine of an async def: "
            "write an async function that awaits it, and spawn that"
        )
    return (
        f"a coroutine is wanted, not a {type(value).__qualname__}: "
        "write spawn(fetch(url)) or spawn(fetch, url)"
    )
