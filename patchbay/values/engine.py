"""What link conditions are made with."""

from __future__ import annotations

from patchbay.values.parsing import NamedEnum


class LinkEngine(NamedEnum):
    """What makes packets meet a link condition."""

    AUTO = "auto"
    """The kernel where it can do the whole condition, else a process of the lab."""
    KERNEL = "kernel"
    """Queueing disciplines of the kernel: netem, tbf and others."""
    USER = "user"
    """A process of the lab that passes packets on."""
    USERSPACE = "user"
