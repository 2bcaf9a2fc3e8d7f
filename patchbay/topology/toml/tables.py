"""Reading one table of a file: each key once, of the right type, with its place in every mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from patchbay.errors import ConfigError, Problem, nearest
from patchbay.topology.toml.keys import ALIASES, kebab
from patchbay.topology.toml.lines import Path
from patchbay.values.parsing import canonical

_T = TypeVar("_T")
_NAMES: Mapping[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    dict: "a table",
    list: "an array",
}


@dataclass(frozen=True, slots=True)
class File:
    """What is being read, and what is wrong with it so far."""

    source: str
    lines: Mapping[Path, int]
    _found: list[tuple[int, Problem]] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Return the line of a key or table, or of what it stands in, as near as it is known."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def problem(self, path: Path, what: str, message: str, near: str | None = None) -> None:
        """Note a mistake, with its line and what it is about."""
        line = self.line(path)
        place = f"{self.source}:{line}: {what}" if line else f"{self.source}: {what}"
        self._found.append((line, Problem(place, message, near)))

    def extend(self, path: Path, what: str, problems: Iterable[Problem]) -> None:
        """Note the mistakes in one value."""
        for each in problems:
            inner = ", ".join(part for part in (what, each.place) if part)
            self.problem(path, inner, each.message, each.nearest)

    def check(self) -> None:
        """Raise `ConfigError` if there is any mistake, with all of them in the file's order."""
        if self._found:
            raise ConfigError(each for _, each in sorted(self._found, key=lambda pair: pair[0]))


class Table:
    """A table of the file, read key by key.

    Keys are known by their names with underscores, however they are spelled in the file.
    """

    def __init__(
        self, file: File, path: Path, what: str, data: Mapping[str, object], keys: Iterable[str]
    ) -> None:
        self.file = file
        self.path = path
        self.what = what
        self._values: dict[str, tuple[str, object]] = {}
        known = {name: name for name in keys}
        known.update((alias, name) for alias, name in ALIASES.items() if name in known)
        for typed, value in data.items():
            name = known.get(canonical(typed))
            if name is None:
                near = nearest(kebab(canonical(typed)), [kebab(each) for each in known])
                self.problem(typed, "there is no such key", near)
            elif name in self._values:
                self.problem(typed, f"the same as {self._values[name][0]!r}, which is given too")
            else:
                self._values[name] = (typed, value)

    def typed(self, name: str) -> str:
        """A key as it is spelled in the file."""
        return self._values[name][0] if name in self._values else name

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def problem(self, name: str, message: str, near: str | None = None) -> None:
        """Note a mistake at a key."""
        typed = self.typed(name)
        what = ", ".join(part for part in (self.what, typed) if part)
        self.file.problem((*self.path, typed), what, message, near)

    def get(self, name: str, kind: type[_T]) -> _T | None:
        """The value of a key, which must be of this type; None without it."""
        if name not in self._values:
            return None
        value = self._values[name][1]
        # In Python true is a number; in a file it is not.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        wanted = _NAMES.get(kind, "of another type")
        self.problem(name, f"{_shown(value)} is not {wanted}")
        return None

    def parsed(self, name: str, parser: Callable[[object], _T]) -> _T | None:
        """The value of a key, made of what was typed by `parser`; None without it."""
        if name not in self._values:
            return None
        typed, value = self._values[name]
        what = ", ".join(part for part in (self.what, typed) if part)
        try:
            return parser(value)
        except ConfigError as error:
            self.file.extend((*self.path, typed), what, error.problems)
        return None

    def required(self, name: str) -> str | None:
        """A string that must be there; None, and a mistake noted, without it."""
        if name in self._values:
            return self.get(name, str)
        self.file.problem(self.path, self.what, f"{kebab(name)!r} is missing")
        return None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return _NAMES[type(value)]
    return repr(value)
