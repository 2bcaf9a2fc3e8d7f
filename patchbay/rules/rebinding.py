"""Making a NAT give out other ports than before: those that were in use are held for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from patchbay.rules.encode import emptied, filled
from patchbay.rules.model import Table
from patchbay.wiring.netlink import Message

_SET = "held"


def rebound(tables: Iterable[Table], used: Iterable[int]) -> list[Message]:
    """The messages of a transaction after which every mapping is a new one, at another port.

    Args:
        tables: those of the router.
        used: the marks of its connections; those that must not be used again.
    """
    messages = []
    for table in tables:
        messages += emptied([table], keep=(_SET,))
        if any(each.name == _SET for each in table.sets):
            keys = [mark.to_bytes(4, sys.byteorder) for mark in used if mark]
            messages += filled(table, _SET, keys)
    return messages
