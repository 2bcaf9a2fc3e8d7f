"""What nodes and interfaces may be called."""

from __future__ import annotations

import unicodedata

from patchbay.errors import Problems
from patchbay.topology.model import IX

NODE_NAME_MAX = 63
"""Bytes of UTF-8: what a host name may have (RFC 1035 2.3.4)."""
HOST_NAME_MAX = 253
"""Bytes of a name with dots in it."""
INTERFACE_NAME_MAX = 15
"""Bytes: the kernel's IFNAMSIZ without the final zero."""

# `#` begins a comment in the hosts file that the name must stand in.
_NEVER_IN_NODE_NAMES = "/#"
# The kernel takes `%` for the place of a number.
_NEVER_IN_INTERFACE_NAMES = "/:%"


def check_node_name(name: str, problems: Problems, place: str) -> None:
    """Add a problem if a node cannot be called so."""
    _check(name, problems, place, NODE_NAME_MAX, _NEVER_IN_NODE_NAMES)
    if name == IX:
        problems.add(place, f"the name {IX!r} belongs to the internet exchange")


def check_interface_name(name: str, problems: Problems, place: str) -> None:
    """Add a problem if the kernel would refuse an interface of this name."""
    _check(name, problems, place, INTERFACE_NAME_MAX, _NEVER_IN_INTERFACE_NAMES)
    if name == "lo":
        problems.add(place, "the name 'lo' belongs to the loopback interface")


def check_host_name(name: str, problems: Problems, place: str) -> None:
    """Add a problem if a name cannot stand in a hosts file."""
    _check(name, problems, place, HOST_NAME_MAX, _NEVER_IN_NODE_NAMES)
    if name.casefold() == "localhost":
        problems.add(place, "'localhost' is every node itself")


def _check(name: str, problems: Problems, place: str, longest: int, never: str) -> None:
    if not name:
        problems.add(place, "a name cannot be empty")
        return
    if name in (".", ".."):
        problems.add(place, f"{name!r} cannot be a name")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        problems.add(place, f"the name {name!r} cannot be written as UTF-8")
        return
    if size > longest:
        problems.add(place, f"the name {name!r} has {size} bytes; at most {longest} are possible")
    wrong = sorted(
        {c for c in name if c in never or c.isspace() or unicodedata.category(c) == "Cc"}
    )
    if wrong:
        shown = ", ".join(repr(character) for character in wrong)
        problems.add(place, f"the name {name!r} has {shown} in it, which is not possible")
