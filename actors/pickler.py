"""What becomes of code in a pickle: by value where the other process could not import it.

A class that travels by value keeps its identity, by cloudpickle's class tracker: sent away and
back it is the same object. Only the process where a class was born says what is in it; its copies
elsewhere follow, and never write back.
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import sys
import typing
from collections.abc import Callable
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any, TypeAlias
from weakref import WeakSet

from cloudpickle import cloudpickle

from actors.homes import importable_elsewhere

Reduced: TypeAlias = tuple[Any, ...]
"""What `object.__reduce__` returns, as far as it is no string."""


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle, with its choice between value and name made by where a module lives."""

    def reducer_override(self, obj: object) -> Any:
        """See `pickle.Pickler.reducer_override`: called for all but a few built-in types."""
        kind = type(obj)
        if kind is FunctionType:
            if importable_elsewhere(obj.__module__):
                return self._function_reduce(obj)
            return self._dynamic_function_reduce(obj)
        if issubclass(kind, type):
            reduced = super().reducer_override(obj)
            if reduced is NotImplemented and not importable_elsewhere(obj.__module__):
                reduced = cloudpickle._dynamic_class_reduce(obj)
            return _with_owner(obj, reduced)
        if issubclass(kind, ModuleType):
            return _reduce_module(typing.cast("ModuleType", obj))
        named = _NAMED.get(kind)
        if named is not None and by_value(obj):
            return named(obj)
        return NotImplemented


def by_value(code: object) -> bool:
    """Whether this function, class or other named object travels by value, and not as the name of its module and it."""
    name = getattr(code, "__module__", None)
    if not isinstance(name, str) or not importable_elsewhere(name):
        return True
    found = cloudpickle._lookup_module_and_qualname(code)
    return found is None or bool(cloudpickle._is_registered_pickle_by_value(found[0]))


# --- classes ---------------------------------------------------------------------------------

_arrived: WeakSet[type] = WeakSet()
"""The classes here that were born in another process."""

_empty: WeakSet[type] = WeakSet()
"""Those of them whose contents are still to come in the pickle that brought them."""


def _with_owner(cls: object, reduced: Any) -> Any:
    """Add to cloudpickle's recipe for a class whether its home is here."""
    if not isinstance(reduced, tuple) or len(reduced) != 6:
        return reduced
    make, arguments, contents, _, _, _ = reduced
    state = (cls not in _arrived, contents)
    return _find_or_make_class, (make, *arguments), state, None, None, _update_class


def _find_or_make_class(make: Callable[..., type], *arguments: Any) -> type:
    """The class of this identity: a new one is only made where there is none yet.

    Making it again would tell its bases of one more subclass.
    """
    identity = arguments[-2]
    known: type | None = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.get(identity)
    if known is not None:
        return known
    cls = make(*arguments)
    _arrived.add(cls)
    _empty.add(cls)
    return cls


def _update_class(cls: type, state: tuple[bool, Any]) -> None:
    """Fill a class that arrived, or bring it up to date if this comes from its home."""
    from_home, contents = state
    if cls in _empty or (from_home and cls in _arrived):
        _empty.discard(cls)
        cloudpickle._class_setstate(cls, contents)


# --- modules ---------------------------------------------------------------------------------


class _Deferred(ModuleType):
    """A module that is imported when something is first taken from it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def _deferred(name: str) -> ModuleType:
    return sys.modules.get(name) or _Deferred(name)


_RARELY_USED = "_pytest.assertion.rewrite"
"""Every function with a rewritten `assert` names it, and only one that fails uses it."""


def _reduce_module(module: ModuleType) -> Reduced:
    name = module.__name__
    if name == _RARELY_USED:
        return _deferred, (name,)
    if importable_elsewhere(name):
        return import_module, (name,)
    contents = {key: value for key, value in vars(module).items() if key not in _NOT_FROM_A_MODULE}
    return ModuleType, (name,), contents


_NOT_FROM_A_MODULE = frozenset({"__builtins__", "__loader__", "__spec__", "__cached__"})


# --- objects that pickle takes for globals of their module -------------------------------------


def _reduce_cached(function: Any) -> Reduced:
    return _cached, (function.__wrapped__, function.cache_parameters())


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _reduce_type_variable(variable: Any) -> Reduced:
    return cloudpickle._make_typevar, cloudpickle._decompose_typevar(variable)


def _reduce_parameters(variable: Any) -> Reduced:
    return _find_or_make, (_identity(variable), type(variable), variable.__name__)


def _reduce_new_type(new_type: Any) -> Reduced:
    made_from = (new_type.__name__, new_type.__supertype__)
    return _find_or_make, (_identity(new_type), typing.NewType, *made_from)


def _identity(named: Any) -> tuple[str, str]:
    return cloudpickle._get_or_create_tracker_id(named), named.__module__


def _find_or_make(
    identity: tuple[str, str], make: Callable[..., object], *arguments: Any
) -> object:
    tracker, module = identity
    made: Any = make(*arguments)
    made.__module__ = module
    return cloudpickle._lookup_class_or_track(tracker, made)


def _reduce_type_alias(alias: Any) -> Reduced:
    return _make_type_alias, (alias.__name__, alias.__value__, alias.__type_params__)


def _make_type_alias(name: str, value: Any, parameters: tuple[Any, ...]) -> Any:
    return typing.TypeAliasType(name, value, type_params=parameters)  # type: ignore[attr-defined]


_NAMED: dict[type, Callable[[Any], Reduced]] = {
    type(functools.lru_cache(_cached)): _reduce_cached,
    typing.TypeVar: _reduce_type_variable,
    typing.ParamSpec: _reduce_parameters,
    typing.TypeVarTuple: _reduce_parameters,
    typing.NewType: _reduce_new_type,
}
if sys.version_info >= (3, 12):
    _NAMED[typing.TypeAliasType] = _reduce_type_alias


# --- data ------------------------------------------------------------------------------------

_VIEWABLE = frozenset("cbB?hHiIlLqQnNfdP")
"""The item formats that `memoryview.cast` knows."""


def _reduce_view(view: memoryview) -> Reduced:
    """A memory view arrives as a view, of the frame it came in; its items keep type and shape."""
    item = view.format.removeprefix("@")
    if item not in _VIEWABLE:
        raise TypeError(f"a memoryview with items of format {view.format!r} cannot be sent")
    flat = view if view.c_contiguous else memoryview(view.tobytes())
    return _make_view, (pickle.PickleBuffer(flat), item, view.shape)


def _make_view(data: pickle.PickleBuffer, item: str, shape: tuple[int, ...]) -> memoryview:
    view = memoryview(data)
    if (item, shape) == ("B", (view.nbytes,)) or not view.nbytes:
        return view.cast("B") if view.nbytes else view
    return view.cast("B").cast(item, shape)  # type: ignore[call-overload, no-any-return]


def _reduce_text_file(file: io.TextIOWrapper) -> Reduced:
    """The standard streams mean those of the other process; no other open file can go."""
    for name in ("stdout", "stderr"):
        if file is getattr(sys, name):
            return getattr, (sys, name)
    raise TypeError(f"cannot pickle the open file {file.name!r}")


class _Reducers(dict[type, Callable[[Any], Any]]):
    """Ours and cloudpickle's, then those that were registered for everybody."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        return copyreg.dispatch_table[kind]


Pickler.dispatch_table = _Reducers(
    cloudpickle.Pickler.dispatch_table,
)
Pickler.dispatch_table.update({memoryview: _reduce_view, io.TextIOWrapper: _reduce_text_file})
