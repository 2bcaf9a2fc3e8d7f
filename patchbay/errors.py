"""`ConfigError`: what a person typed cannot be built; all mistakes at once, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from actors.errors import PatchbayError

__all__ = [
    "ConfigError",
    "PacketProgramFailed",
    "PatchbayError",
    "Problem",
    "Problems",
    "ProgramFailure",
    "RefusedByKernel",
    "nearest",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        place: what it is about, such as `device 'laptop', eth0, mtu`.
        message: what is wrong, in one sentence without the place.
        nearest: the right name that comes nearest to what was typed, if there is one.
    """

    place: str
    message: str
    nearest: str | None = None

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return text if self.nearest is None else f"{text}; did you mean {self.nearest!r}?"


class ConfigError(PatchbayError, ValueError):
    """What was asked for cannot be built, or is not available yet. Nothing was changed.

    Attributes:
        problems: every mistake, in the order of what was typed.
    """

    def __init__(self, problems: Iterable[Problem] | Problem) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} mistakes:{lines}"


class RefusedByKernel(PatchbayError):
    """The kernel refused a change of the network; what had been done of it was undone."""


class Problems:
    """Collects mistakes, so that all of them can be told at once."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: str, message: str, nearest: str | None = None) -> None:
        """Note a mistake; see `Problem`."""
        self._found.append(Problem(place, message, nearest))

    def extend(self, error: ConfigError, place: str = "") -> None:
        """Take over the mistakes of an error, each with `place` before its own place."""
        for problem in error.problems:
            where = ", ".join(part for part in (place, problem.place) if part)
            self._found.append(Problem(where, problem.message, problem.nearest))

    def pass_on(self, others: Problems) -> None:
        """Note these mistakes among others, each once."""
        others._found += dict.fromkeys(self._found)

    def check(self) -> None:
        """Raise `ConfigError` if there is any mistake."""
        if self._found:
            raise ConfigError(self._found)


def nearest(typed: str, known: Iterable[str]) -> str | None:
    """Return the name in `known` that comes nearest to what was typed, if any is near."""
    from difflib import get_close_matches  # loaded with the first mistake

    by_folded = {name.casefold(): name for name in known}
    matches = get_close_matches(typed.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


@dataclass(frozen=True, slots=True)
class ProgramFailure:
    """A packet program that has failed; all packets of its link have passed since.

    Attributes:
        link: the link and the direction, such as `laptop/eth0/up`.
        program: the program's name.
        reason: its traceback, or what became of it, as text.
    """

    link: str
    program: str
    reason: str

    def __str__(self) -> str:
        return f"packet program {self.program!r} of link {self.link} failed:\n{self.reason}"


class PacketProgramFailed(PatchbayError):
    """Packet programs have raised an error, or had to be stopped; it is raised when the lab closes.

    Attributes:
        failures: every one of them, in the order in which they failed.
    """

    def __init__(self, failures: Iterable[ProgramFailure]) -> None:
        self.failures = tuple(failures)
        super().__init__(self.failures)

    def __str__(self) -> str:
        return "\n".join(map(str, self.failures))
