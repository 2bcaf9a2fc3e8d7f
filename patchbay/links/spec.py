"""What one direction of one cable does to packets: what an engine is told."""

from __future__ import annotations

from dataclasses import dataclass

from patchbay.values import FlowMatch, LinkCondition

Flows = tuple[tuple[FlowMatch, LinkCondition], ...]
"""What packets of flows meet; the first that matches holds."""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One direction of a cable.

    Attributes:
        name: what the cable is called, in events and in what random choices are drawn from.
        seed: the lab's.
        condition: what packets meet that match no flow.
        flows: what packets of flows meet.
    """

    name: str
    seed: int
    condition: LinkCondition
    flows: Flows = ()

    @property
    def clean(self) -> bool:
        """Whether packets pass as on a plain cable."""
        return self.condition.perfect and not self.flows

    @property
    def programs(self) -> bool:
        """Whether any packet program decides about its packets."""
        conditions = [self.condition, *(condition for _, condition in self.flows)]
        return any(condition.program is not None for condition in conditions)
