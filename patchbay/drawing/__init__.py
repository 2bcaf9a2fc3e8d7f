"""Pictures of a topology, each a pure function of it: text, Mermaid, Graphviz, SVG."""

from patchbay.drawing import dot, mermaid, svg, text

__all__ = ["dot", "mermaid", "svg", "text"]
