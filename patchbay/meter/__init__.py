"""Measuring from inside: routes, path MTUs, and what a path carries. No programs are needed."""
