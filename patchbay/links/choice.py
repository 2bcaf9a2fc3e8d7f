"""Which engine makes a link condition come about, and why: pure, from what a host can do.

A host's features are words: the kernel's queueing disciplines that were tried and worked, and
`USER_SPACE`, where packets can be passed on by a process. What the kernel's engine never does has
a word as well, which is never among the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from patchbay.errors import ConfigError, Problem
from patchbay.links.spec import LinkSpec
from patchbay.values import LinkCondition, LinkEngine, QueueDiscipline, Schedule, Trace

USER_SPACE = "user space"

DISCIPLINES = ("tbf", "netem", "pfifo", "bfifo", "codel", "fq_codel")
"""Queueing disciplines that conditions are made of, by the kernel's names."""

NETEM_SEED = "netem with a seed"
"""Netem that draws its random numbers from a seed (Linux 6.6)."""

NETEM_JITTER_MS = (2**31 - 1) / 1e6
"""Jitter above which netem makes just so much (`netem_change` in sch_netem.c)."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What makes a link condition, and why.

    Attributes:
        engine: the kernel, or a process of the lab.
        reason: why that one, in a few words.
    """

    engine: LinkEngine
    reason: str

    def __str__(self) -> str:
        return f"{self.engine}: {self.reason}"


_OF_NETEM = (
    "latency_ms",
    "jitter_ms",
    "loss_pct",
    "reorder_pct",
    "duplicate_pct",
    "corrupt_pct",
    "loss_model",
    "slots",
)


def requirements(spec: LinkSpec) -> dict[str, str]:
    """What the kernel must be able to do for a link, and the field that each is needed for."""
    found: dict[str, str] = {}
    if spec.flows:
        found["conditions of flows"] = "flows"
    for feature, field in _of_condition(spec.condition):
        found.setdefault(feature, field)
    return found


@lru_cache(maxsize=256)
def _of_timeline(timeline: Schedule | Trace) -> Mapping[str, str]:
    """What the kernel must be able to do for all that packets ever meet."""
    found: dict[str, str] = {}
    for condition in timeline.conditions:
        for feature, field in _of_condition(condition or LinkCondition.LAN):
            found.setdefault(feature, field)
    return found


def _of_condition(condition: LinkCondition) -> list[tuple[str, str]]:
    if condition.perfect:
        return []
    found = [("tbf", "any condition")]
    found += [("netem", field) for field in _OF_NETEM if getattr(condition, field)]
    if condition.drops is not None:
        found.append(("drop lists", "drops"))
    if condition.opportunities is not None:
        found.append(("delivery opportunities", "opportunities"))
    if condition.program is not None:
        found.append(("packet programs", "program"))
    if condition.jitter_ms and condition.jitter_correlation_pct:
        # netem draws correlated numbers, and takes their remainder by the size of its table as
        # an index (tabledist in sch_netem.c): the low bits, which are independent
        found.append(("correlation of delays", "jitter_correlation_pct"))
    if condition.jitter_ms > NETEM_JITTER_MS:
        found.append(("jitter of more than two seconds", "jitter_ms"))
    if condition.corrupt_valid_checksum and condition.corrupt_pct:
        found.append(("corruption with right checksums", "corrupt_valid_checksum"))
    if condition.mtu is not None:
        found.append(("loss of long packets", "mtu"))
    if condition.rate_kbit is not None:
        if condition.queue_discipline is not QueueDiscipline.DROP_TAIL:
            found.append((str(condition.queue_discipline), "queue_discipline"))
        if condition.queue_pkts is not None:
            found.append(("pfifo", "queue_pkts"))
    return found


def choose(
    asked: LinkEngine,
    spec: LinkSpec,
    features: AbstractSet[str],
    timeline: Schedule | Trace | None = None,
) -> EngineChoice:
    """Choose the engine of a link.

    Args:
        asked: the engine that was asked for.
        spec: what packets meet.
        features: what the host can do.
        timeline: what the condition follows: one engine makes all of it.

    Raises:
        ConfigError: none that may be chosen can do it; it says what is missing, and what helps.
    """
    required = requirements(spec)
    if timeline is not None:
        required |= _of_timeline(timeline)
    lacking = {feature: field for feature, field in required.items() if feature not in features}
    if asked is LinkEngine.USER:
        if USER_SPACE in features:
            return EngineChoice(LinkEngine.USER, "asked for")
        raise _impossible(f"it cannot be done by a process here; {_IN_GUEST}")
    if not lacking:
        why = "asked for" if asked is LinkEngine.KERNEL else "it can do all of it"
        return EngineChoice(LinkEngine.KERNEL, why)
    missing = ", ".join(f"{feature} (for {field})" for feature, field in lacking.items())
    if asked is LinkEngine.AUTO and USER_SPACE in features:
        return EngineChoice(LinkEngine.USER, f"the kernel has no {missing}")
    if lacking.keys() <= {*DISCIPLINES}:
        helps = _IN_GUEST
    else:
        helps = _BY_USER if USER_SPACE in features else _NOWHERE
    raise _impossible(f"this kernel has no {missing}; {helps}")


_IN_GUEST = "`patchbay guest -- COMMAND` runs it in a kernel that has everything"
_NOWHERE = "the kernel's engine does not do that in any kernel"
_BY_USER = f"{_NOWHERE}: engine='user' does, and 'auto' takes it"


def _impossible(message: str) -> ConfigError:
    return ConfigError(Problem("", message))


def meaningless(condition: LinkCondition) -> str | None:
    """Why a condition cannot come about with any engine; None if it can."""
    if condition.reorder_pct and not condition.latency_ms:
        return "packets can only overtake others that take time: give a latency_ms"
    return None
