"""Whose request the code belongs to that runs on a node."""

from __future__ import annotations

import contextvars
from typing import TypeAlias

Origin: TypeAlias = tuple[bytes, int]
"""A request: the identity of its sender, and its number there."""

origin: contextvars.ContextVar[Origin | None] = contextvars.ContextVar("origin", default=None)
"""The request that the running code belongs to; code that nobody asked for has none."""


def context_of(request: Origin) -> contextvars.Context:
    """A context for the code of a request."""
    context = contextvars.copy_context()
    context.run(origin.set, request)
    return context
