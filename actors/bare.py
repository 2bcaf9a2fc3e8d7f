"""The smallest lab: nodes that are not connected. An example of a `Director`, and what tests use."""

from __future__ import annotations

import os
from typing import ClassVar, cast

from actors import linux
from actors.protocol import Plain
from actors.supervisor import NodeSpec, Supervisor


class Bare:
    """Adds and removes nodes, each with an empty network namespace of its own."""

    later: ClassVar[tuple[str, ...]] = ()

    def __init__(self, supervisor: Supervisor, options: dict[str, Plain]) -> None:
        self._supervisor = supervisor
        self._namespaces: dict[str, int] = {}
        self.died: list[str] = []

    def handle(self, method: str, arguments: dict[str, Plain]) -> Plain:
        """Answer `add` and `remove`, each with a list of names, and `died`."""
        if method == "died":
            return cast("Plain", list(self.died))
        names = cast("list[str]", arguments["names"])
        if method == "add":
            self._supervisor.start_nodes([self._make(name) for name in names])
            self._supervisor.wait_ready(names)
        else:
            self._supervisor.stop_nodes(names)
            for name in names:
                os.close(self._namespaces.pop(name))
        return None

    def _make(self, name: str) -> NodeSpec:
        linux.unshare(linux.CLONE_NEWNET)
        self._namespaces[name] = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return NodeSpec(name=name, hostname=name, namespace=self._namespaces[name])

    def node_died(self, name: str, reason: str) -> None:
        """Remember who died."""
        self.died.append(f"{name}: {reason}")

    def node_restarted(self, name: str) -> None:
        """Whoever asked for it knows."""

    def idle(self) -> None:
        """Put nothing off."""

    def last_words(self) -> None:
        """Nothing is left to be told."""

    def close(self) -> None:
        """Nothing is open that the kernel would not close."""
