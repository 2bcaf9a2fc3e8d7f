"""Pictures of a topology, each a pure function of it: text, Mermaid, Graphviz, SVG."""
