"""What a lab says of itself: its plan, its file, its drawings; all made of its topology alone.

Each way of saying it is loaded when it is asked for: most labs are never drawn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from patchbay.topology.model import Topology

if TYPE_CHECKING:
    from patchbay.topology.plan import Plan


class Described(ABC):
    """Something that has a topology, and can be closed."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether it was closed."""

    @abstractmethod
    def topology(self) -> Topology:
        """The whole network as it is now: frozen dataclasses."""

    def plan(self) -> Plan:
        """What every node's kernel was told: interfaces, addresses, routes, rules. Printable."""
        from patchbay.topology.plan import plan

        return plan(self.topology())

    def to_toml(self) -> str:
        """The lab as a TOML file; `Lab.load` makes the same lab of it."""
        from patchbay.topology import toml

        return toml.dump(self.topology())

    def to_mermaid(self) -> str:
        """The lab as a Mermaid flowchart."""
        from patchbay.drawing import mermaid

        return mermaid.graph(self.topology())

    def to_dot(self) -> str:
        """The lab as a graph for Graphviz."""
        from patchbay.drawing import dot

        return dot.graph(self.topology())

    def __str__(self) -> str:
        from patchbay.drawing import text

        return text.tree(self.topology())

    def to_svg(self) -> str:
        """The lab as a drawing."""
        from patchbay.drawing import svg

        return svg.drawing(self.topology())

    def _repr_html_(self) -> str:
        """The drawing that a notebook shows."""
        if self.closed:
            from html import escape

            return f"<p>{escape(repr(self))}</p>"
        return self.to_svg()
