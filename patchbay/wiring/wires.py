"""A cable that may pass the process of the user-space engine, as the supervisor knows it."""

from __future__ import annotations

from dataclasses import dataclass

from actors.protocol import Plain
from patchbay.links.spec import LinkSpec
from patchbay.topology.plain import to_plain
from patchbay.topology.steps import Cable
from patchbay.values import LinkCondition
from patchbay.wiring.detour import Detour
from patchbay.wiring.interception import Interception

QUIET = 0.1
"""Seconds without a packet after which a clean cable may be made a plain one again."""


@dataclass(slots=True)
class Wire:
    """A cable, and what packets meet on it; the detour that it has for that, if it has.

    Attributes:
        cable: which.
        up: what packets meet that come from the node; None for nothing.
        down: what packets to the node meet, likewise.
        queued: whether the kernel has disciplines for packets to the node, or had.
        detour: how it is led by the process; None if it is a plain one.
        taken: whether what arrives at either end is taken there, and arrives anew with `MARK`.
        look: when to look whether it is quiet, if it is clean.
        wait: seconds from that look to the next.
    """

    cable: Cable
    up: LinkSpec | None = None
    down: LinkSpec | None = None
    queued: bool = False
    detour: Detour | Interception | None = None
    taken: bool = False
    look: float = 0.0
    wait: float = QUIET

    @property
    def name(self) -> str:
        """What the process calls it."""
        return f"{self.cable.node}/{self.cable.interface}"

    @property
    def clean(self) -> bool:
        """Whether packets meet nothing on it."""
        return self.up is None and self.down is None

    def specs(self) -> tuple[Plain, Plain]:
        """What the process is told of both directions."""
        known = self.up or self.down
        seed = 0 if known is None else known.seed
        up = self.up or LinkSpec(f"{self.name}/up", seed, LinkCondition.LAN)
        down = self.down or LinkSpec(f"{self.name}/down", seed, LinkCondition.LAN)
        return to_plain(up), to_plain(down)
