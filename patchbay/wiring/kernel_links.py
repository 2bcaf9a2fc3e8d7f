"""The kernel's engine of link conditions: which interfaces have disciplines, and what they are."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from patchbay.links.choice import DISCIPLINES, NETEM_SEED
from patchbay.links.queues import PASSING, Netem, Queue, Shaper, chain
from patchbay.links.reading import condition_of
from patchbay.topology.steps import Link
from patchbay.values import LinkCondition
from patchbay.wiring import chains, queue_reading, queues
from patchbay.wiring.connection import Connection
from patchbay.wiring.namespace import Namespace
from patchbay.wiring.netlink import KernelError

_LOOPBACK = 1
_GONE = frozenset({errno.ENODEV, errno.ENOENT})
"""Refusals that say: somebody else has taken the interface away, or its disciplines."""
_QUIET = 0.3
"""Seconds without a packet after which an interface's disciplines may be taken away."""
_QUIET_MAX = 10.0
"""Seconds between two looks at an interface that is busy."""

Place = tuple[str, str]
"""A node and an interface of it."""


@dataclass(slots=True)
class _Passing:
    """An interface whose disciplines let everything pass, until they can be taken away."""

    due: float
    sent: int
    wait: float = _QUIET


class KernelLinks:
    """The queueing disciplines of a lab's interfaces."""

    def __init__(self, namespace: Callable[[str], Namespace | None]) -> None:
        """Begin with none.

        Args:
            namespace: gives the namespace of a node; None once it is gone.
        """
        self._namespace = namespace
        self._turns: dict[Place, int] = {}
        self._passing: dict[Place, _Passing] = {}
        self._told: dict[Place, Link] = {}
        """What the kernel was told; to be compared with what it has."""
        self.features: frozenset[str] = frozenset()

    def set(self, node: str, interface: str, link: Link | None, old: Link | None) -> None:
        """Have packets that leave by an interface meet something else; None for nothing.

        Raises:
            OSError: the kernel refused; then they meet what they met before.
        """
        place = (node, interface)
        namespace = self._there(node)
        connection, index = namespace.route, namespace.index(interface)
        if link is None:
            chains.let_pass(connection, index)
            self._told.pop(place, None)
            self._passing[place] = _Passing(monotonic(), -1)
            return
        turn = self._turns.get(place, -1) + 1
        try:
            chains.put(connection, index, chain(link.spec, link.mtu, self.features, turn))
        except OSError:
            self._put_back(connection, index, old, turn)
            raise
        self._turns[place] = turn
        self._told[place] = link
        self._passing.pop(place, None)

    def _put_back(self, connection: Connection, index: int, old: Link | None, turn: int) -> None:
        if old is None:
            chains.remove(connection, index)
        else:
            chains.put(connection, index, chain(old.spec, old.mtu, self.features, turn))

    def read(self, node: str, interface: str) -> LinkCondition:
        """What packets meet that leave by an interface, as the kernel has it.

        Raises:
            OSError: there is no such interface.
        """
        namespace = self._there(node)
        index = namespace.index(interface)
        link = self._told.get((node, interface))
        if link is None:
            expected, asked = PASSING, LinkCondition.LAN
        else:
            expected, asked = chain(link.spec, link.mtu, self.features), link.spec.condition
        found = chains.disciplines(namespace.route, index)
        return condition_of(
            queue_reading.read(found, full_frame=expected.full_frame), expected, asked
        )

    def tidy(self) -> float | None:
        """Take away disciplines that let everything pass, where nobody sends.

        The kernel drops what is sent in the moment in which they are taken away, so it is done
        when nothing was sent for a while.

        Returns:
            Seconds until the next look; None if there is nothing to look after.
        """
        now = monotonic()
        for place, passing in list(self._passing.items()):
            if passing.due <= now and self._look(place, passing, now):
                del self._passing[place]
        dues = [passing.due for passing in self._passing.values()]
        return max(0.0, min(dues) - now) if dues else None

    def _look(self, place: Place, passing: _Passing, now: float) -> bool:
        """Take the disciplines of an interface away if it is quiet; whether there are none."""
        namespace = self._namespace(place[0])
        if namespace is None:
            return True
        try:
            index = namespace.index(place[1])
            first = chains.discipline(namespace.route, index, chains.SPLITTER)
            if first is None:
                return True
            if first.waiting == 0 and first.sent == passing.sent:
                chains.remove(namespace.route, index)
                return True
        except OSError as error:
            if error.errno in _GONE:
                return True
            raise
        if passing.sent >= 0:
            passing.wait = min(_QUIET_MAX, 2 * passing.wait)
        passing.sent, passing.due = first.sent, now + passing.wait
        return False

    def _there(self, node: str) -> Namespace:
        namespace = self._namespace(node)
        if namespace is None:
            raise LookupError(f"no namespace is held for a node {node!r}")
        return namespace


def features(connection: Connection) -> frozenset[str]:
    """What the kernel can do with links: tried on `lo` of a namespace that nothing else is in."""
    found = set()
    for kind in DISCIPLINES:
        if kind == "tbf":
            options = queues.tbf(Shaper())
        elif kind == "netem":
            options = queues.netem(Netem())
        else:
            options = queues.queue(Queue(kind=kind, limit=1000))
        if _works(connection, kind, options):
            found.add(kind)
            if kind == "netem" and _keeps_seeds(connection):
                found.add(NETEM_SEED)
            connection.ask(queues.delete(_LOOPBACK))
    return frozenset(found)


def _works(connection: Connection, kind: str, options: bytes) -> bool:
    try:
        connection.ask(queues.new(_LOOPBACK, 1, queues.ROOT, kind, options))
    except KernelError:
        return False
    return True


def _keeps_seeds(connection: Connection) -> bool:
    """Whether netem says which seed it has; one that knows none overlooks it."""
    told = chains.discipline(connection, _LOOPBACK, 1)
    return told is not None and queues.TCA_NETEM_PRNG_SEED in queues.netem_attributes(told.options)
