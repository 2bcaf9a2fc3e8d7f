"""What nodes have in /etc instead of the host's files."""

from __future__ import annotations

import functools


@functools.cache
def static_files() -> dict[str, str]:
    """Files of /etc that are the same on every node, by name."""
    try:
        with open("/etc/nsswitch.conf", encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if not line.lstrip().startswith("hosts:")]
    except FileNotFoundError:
        lines = []
    return {
        # nobody serves names in a lab: a query fails at once instead of after seconds
        "resolv.conf": "# a node of a patchbay lab; its names are in /etc/hosts\n"
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        # without what asks daemons of the host, which would answer with the host's names
        "nsswitch.conf": "".join([*lines, "hosts: files dns\n"]),
    }
