"""What a host can do, what that means for labs, and how it reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """One thing that labs ask of a host."""

    name: str
    """The short name that tests and errors use, such as "netem"."""
    title: str
    """What it is, for people."""
    works: bool
    needed: bool
    """Whether no lab can do without it."""
    reason: str = ""
    """What was tried and what the kernel said; empty if it works."""
    consequence: str = ""
    """What labs have to do without; empty if it works."""
    remedy: str = ""
    """The exact command or setting that mends it; empty if it works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A number that bounds how large labs can be."""

    title: str
    value: int
    """-1 for no limit, or none that can be seen."""
    enough: bool
    """Whether a lab of a thousand nodes fits."""
    consequence: str = ""
    """What does not fit; empty if it is enough."""
    remedy: str = ""
    """The exact command or setting that raises it; empty if it is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a host can do for the user and the process that asked."""

    host: str
    """The kernel, the Python, the user and what contains them, in a line."""
    capabilities: tuple[Capability, ...]
    limits: tuple[Limit, ...]

    @property
    def can_run(self) -> bool:
        """Whether a lab can run at all."""
        return all(capability.works for capability in self.capabilities if capability.needed)

    @property
    def lacking(self) -> tuple[str, ...]:
        """The names of the capabilities that this host lacks."""
        return tuple(capability.name for capability in self.capabilities if not capability.works)

    def capability(self, name: str) -> Capability:
        """What is known about one capability.

        Raises:
            ValueError: there is no such capability; the text names the nearest one.
        """
        names = {capability.name: capability for capability in self.capabilities}
        if name in names:
            return names[name]
        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise ValueError(f"no capability is called {name!r}; {hint}")

    def has(self, name: str) -> bool:
        """Whether this host has a capability.

        Raises:
            ValueError: there is no such capability.
        """
        return self.capability(name).works

    def remedy(self, name: str) -> str:
        """The command or setting that mends the lack of a capability; empty if there is none.

        Raises:
            ValueError: there is no such capability.
        """
        return self.capability(name).remedy

    def to_json(self) -> str:
        """The whole report for programs."""
        fields = asdict(self) | {"can_run": self.can_run, "lacking": self.lacking}
        return json.dumps(fields, indent=2)

    def __str__(self) -> str:
        lines = [self.host, ""]
        said: dict[str, str] = {}
        for capability in self.capabilities:
            mark = "yes" if capability.works else "NO " if capability.needed else "no "
            lines.append(f"  {mark}  {capability.name:<10} {capability.title}")
            if not capability.works:
                lines.append(_detail("tried", capability.reason))
                lines.append(_detail("without it", capability.consequence))
                remedy = capability.remedy
                seen = said.setdefault(remedy, capability.name)
                lines.append(
                    _detail("to mend it", remedy if seen == capability.name else f"as {seen}")
                )
        lines.append("")
        for limit in self.limits:
            mark = "yes" if limit.enough else "low"
            value = "no limit" if limit.value < 0 else f"{limit.value:,}"
            lines.append(f"  {mark}  {value:>10} {limit.title}")
            if not limit.enough:
                lines.append(_detail("hence", limit.consequence))
                lines.append(_detail("to mend it", limit.remedy))
        return "\n".join([*lines, "", self._conclusion()])

    def _conclusion(self) -> str:
        missing = [c.name for c in self.capabilities if c.needed and not c.works]
        if missing:
            return f"No lab can run here: it needs {', '.join(missing)}."
        if self.lacking:
            return f"A lab can run here, without {', '.join(self.lacking)}."
        return "A lab can run here."


def _detail(label: str, text: str) -> str:
    return f"         {label}: {text}"
