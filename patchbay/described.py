"""What a lab says of itself: its plan, its file, its drawings; all made of its topology alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape

from patchbay.drawing import dot, mermaid, svg, text
from patchbay.topology import toml
from patchbay.topology.model import Topology
from patchbay.topology.plan import Plan, plan


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
        return plan(self.topology())

    def to_toml(self) -> str:
        """The lab as a TOML file; `Lab.load` makes the same lab of it."""
        return toml.dump(self.topology())

    def to_mermaid(self) -> str:
        """The lab as a Mermaid flowchart."""
        return mermaid.graph(self.topology())

    def to_dot(self) -> str:
        """The lab as a graph for Graphviz."""
        return dot.graph(self.topology())

    def __str__(self) -> str:
        return text.tree(self.topology())

    def to_svg(self) -> str:
        """The lab as a drawing."""
        return svg.drawing(self.topology())

    def _repr_html_(self) -> str:
        """The drawing that a notebook shows."""
        if self.closed:
            return f"<p>{escape(repr(self))}</p>"
        return self.to_svg()
