"""Name lookups that a node does for a client: importable on both sides, whatever is hooked."""

from __future__ import annotations

import socket
from typing import Any

NAMES = (
    "getaddrinfo",
    "getnameinfo",
    "gethostbyname",
    "gethostbyname_ex",
    "gethostbyaddr",
    "gethostname",
    "if_nametoindex",
    "if_indextoname",
    "if_nameindex",
)
"""Functions of `socket` whose answer depends on whose network it is."""


def look_up(name: str, *arguments: Any, **keywords: Any) -> Any:
    """Answer as this process's `socket` does."""
    return getattr(socket, name)(*arguments, **keywords)
