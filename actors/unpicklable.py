"""What in an object cannot be pickled, where it is, and what to do instead.

Only asked once pickling has failed: it pickles part after part again to find the guilty one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from cloudpickle import cloudpickle

from actors.pickler import Pickler, by_value

_DEEPEST = 50
"""Steps from the argument to the culprit; what is deeper is named by the way to it."""


class Part(NamedTuple):
    """An object and how a person says where it is."""

    place: str
    value: object


def explain(parts: Sequence[Part], error: Exception) -> str:
    """Say which object cannot go to another process, where it is, and a way out.

    Args:
        parts: what was to be sent.
        error: what pickling it raised, for the case that nothing more exact is found.
    """
    way: list[Part] = []
    found: Exception | None = None
    candidates: Iterator[Part] = iter(parts)
    seen: set[int] = set()
    while len(way) < _DEEPEST:
        for part in candidates:
            if id(part.value) in seen:
                continue
            failure = _failure(part.value)
            if failure is not None:
                break
        else:
            break
        seen.add(id(part.value))
        way.append(part)
        found = failure
        if _way_out(part.value) is not None:
            break  # what is inside of a thread, say, is nothing that its owner knows
        candidates = _parts(part.value)
    if not way:
        return f"cannot be sent to another process: {_text(error)}"
    culprit = way[-1].value
    text = f"{_describe(culprit)} cannot be sent to another process"
    if any(part.value is culprit for part in parts):
        text += f"\n  it is {way[-1].place}"
    else:
        text += "\n  it is " + ",\n    in ".join(part.place for part in reversed(way))
    hint = _way_out(culprit)
    if hint is None:
        text += f"\n  because: {_text(found or error)}"
        hint = "make it inside the function, or pass what it is made of instead"
    return f"{text}\n  way out: {hint}"


class _Nowhere:
    def write(self, piece: Any) -> int:
        return len(piece)


def _failure(value: object) -> Exception | None:
    """What pickling this raises."""
    try:
        Pickler(_Nowhere(), protocol=5, buffer_callback=lambda _: False).dump(value)
    except Exception as error:  # user code may raise anything
        return error
    return None


def _parts(value: object) -> Iterator[Part]:
    """What a pickle of this object would hold, each part with its place."""
    if isinstance(value, FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, type):
        yield from _parts_of_class(value)
    elif isinstance(value, ModuleType):
        for name, each in vars(value).items():
            yield Part(f"the global {name!r} of module {value.__name__!r}", each)
    elif isinstance(value, MethodType):
        yield Part(f"the object of the method {value.__name__!r}", value.__self__)
        yield Part(f"the method {value.__name__!r}", value.__func__)
    elif isinstance(value, functools.partial):
        yield Part("the function of the partial", value.func)
        for index, each in enumerate(value.args, 1):
            yield Part(f"argument {index} of the partial", each)
        for name, each in value.keywords.items():
            yield Part(f"argument {name}= of the partial", each)
    elif isinstance(value, staticmethod | classmethod):
        yield Part("the function of the method", value.__func__)
    elif isinstance(value, property):
        for each in (value.fget, value.fset, value.fdel):
            yield Part("the function of the property", each)
    elif isinstance(value, CellType):
        yield Part("the contents of the cell", value.cell_contents)
    else:
        yield from _parts_of_data(value)


def _parts_of_function(function: FunctionType) -> Iterator[Part]:
    if not by_value(function):
        return
    name = function.__qualname__
    for variable, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        try:
            yield Part(f"the closure variable {variable!r} of {name}()", cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    for variable in cloudpickle._extract_code_globals(function.__code__):
        if variable in function.__globals__:
            yield Part(f"the global {variable!r} of {name}()", function.__globals__[variable])
    for default in function.__defaults__ or ():
        yield Part(f"a default of {name}()", default)
    for variable, default in (function.__kwdefaults__ or {}).items():
        yield Part(f"the default of {variable!r} of {name}()", default)
    for attribute, each in vars(function).items():
        yield Part(f"the attribute {attribute!r} of {name}()", each)
    for variable, annotation in function.__annotations__.items():
        yield Part(f"the annotation of {variable!r} of {name}()", annotation)


def _parts_of_class(cls: type) -> Iterator[Part]:
    if not by_value(cls):
        return
    for base in cls.__bases__:
        yield Part(f"a base of {cls.__qualname__}", base)
    for attribute, each in vars(cls).items():
        if attribute not in ("__dict__", "__weakref__", "_abc_impl"):
            yield Part(f"the attribute {attribute!r} of {cls.__qualname__}", each)


def _parts_of_data(value: object) -> Iterator[Part]:
    name = type(value).__qualname__
    yield Part(f"the class of a {name}", type(value))
    if isinstance(value, dict):
        for key, each in value.items():
            yield Part(f"the item {_short(key)}", each)
        for key in value:
            yield Part("a key", key)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield Part(f"the item {index}", each)
    elif isinstance(value, set | frozenset):
        for each in value:
            yield Part("an item", each)
    try:
        reduced = value.__reduce_ex__(5)
    except Exception:  # then this object itself is the one that cannot be pickled
        return
    if isinstance(reduced, tuple):
        yield from _parts_of_reduced(name, *reduced)


def _parts_of_reduced(
    name: str,
    make: object,
    arguments: Sequence[object],
    state: object = None,
    items: Any = None,
    pairs: Any = None,
    *_: object,
) -> Iterator[Part]:
    """The parts in what `__reduce__` of an instance of the class of this name returned."""
    for each in state if isinstance(state, tuple) else (state,):
        if isinstance(each, Mapping):
            for attribute, content in each.items():
                yield Part(f"the attribute {attribute!r} of a {name}", content)
        else:
            yield Part(f"the state of a {name}", each)
    for each in arguments:
        yield Part(f"what a {name} is made from", each)
    for each in items or ():
        yield Part(f"an item of a {name}", each)
    for key, each in pairs or ():
        yield Part(f"the item {_short(key)} of a {name}", each)
    yield Part(f"what makes a {name}", make)


# --- words -------------------------------------------------------------------------------------

_FILE = "open it inside the function, or pass its path or its contents"
_LOCK = "make it inside the function: a lock of one process holds back nobody in another"
_TASK = "pass the async function and its arguments instead"

_WAYS_OUT = {
    "socket.socket": "make it inside the function, or pass its address",
    "ssl.SSLContext": "make it inside the function",
    "_thread.lock": _LOCK,
    "_thread.RLock": _LOCK,
    "threading.Condition": _LOCK,
    "threading.Event": _LOCK,
    "threading.Semaphore": _LOCK,
    "threading.Barrier": _LOCK,
    "threading.Thread": "start the thread inside the function",
    "_thread._local": "make it inside the function",
    "builtins.generator": "pass a list of its items, or the generator function",
    "builtins.async_generator": "pass the async generator function and its arguments",
    "builtins.coroutine": _TASK,
    "_asyncio.Task": _TASK,
    "_asyncio.Future": _TASK,
    "asyncio.events.AbstractEventLoop": "use the loop of the node: asyncio.get_running_loop()",
    "_io._IOBase": _FILE,
    "_io._TextIOBase": _FILE,
    "mmap.mmap": "pass the path of the file, or bytes(it)",
    "subprocess.Popen": "start the process inside the function, or with the node's popen()",
    "multiprocessing.process.BaseProcess": "start the process inside the function",
    "sqlite3.Connection": "connect inside the function; pass the path",
    "weakref.ReferenceType": "pass the object itself",
    "builtins.weakref": "pass the object itself",
    "builtins.traceback": "pass its text: traceback.format_tb(it)",
    "builtins.frame": "pass its text: traceback.format_stack(it)",
    "_contextvars.Context": "set the variables inside the function",
    "_contextvars.ContextVar": "make it at the top of an importable module, or inside the function",
    "select.epoll": "make it inside the function",
    "select.poll": "make it inside the function",
    "selectors.BaseSelector": "make it inside the function",
    "concurrent.futures._base.Executor": "make it inside the function",
    "concurrent.futures._base.Future": "pass its result",
    "zmq.sugar.context.Context": "make it inside the function",
    "zmq.sugar.socket.Socket": "make it inside the function, or pass its address",
    "_ctypes._Pointer": "pass what it points to, as bytes",
    "_ctypes.CFuncPtr": "load the library inside the function",
    "builtins.module": "import it inside the function",
}


def _way_out(value: object) -> str | None:
    for cls in type(value).__mro__:
        hint = _WAYS_OUT.get(f"{cls.__module__}.{cls.__qualname__}")
        if hint is not None:
            return hint
    return None


def _describe(value: object) -> str:
    cls = type(value)
    name = (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
    return f"{name} object {_short(value)}"


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # user code
        return f"<its repr() raises {type(error).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _text(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # user code
        return type(error).__name__
