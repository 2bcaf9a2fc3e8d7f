"""The disciplines of an interface: told to the kernel, and read back from it."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

from patchbay.links.queues import PASSING, Chain, Queue
from patchbay.wiring import queues
from patchbay.wiring.connection import Connection
from patchbay.wiring.netlink import KernelError, Message, attributes
from patchbay.wiring.queues import child

SPLITTER, NETEM, SHAPER = 1, 2, 3
"""The numbers of the disciplines in their handles."""

QUEUES = {"pfifo": 4, "bfifo": 5, "codel": 6, "fq_codel": 7}
"""Those of the queues below the last one: the kernel puts a discipline in the place of one of
another kind only if its handle is another one too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discipline:
    """A queueing discipline, as the kernel has it.

    Attributes:
        kind: the kernel's name of it.
        number: of its handle; 0 for one that the kernel made by itself.
        parent: the class it is the child of.
        options: as the kernel tells them.
        sent: packets that left it.
        dropped: packets that it lost.
        waiting: packets that are in it, and in those below.
        waiting_bytes: bytes of them.
        overlimit: packets that a CoDel lost because it was full; None for other disciplines.
        marked: packets that it marked in place of losing them; None likewise.
    """

    kind: str
    number: int
    parent: int
    options: bytes
    sent: int
    dropped: int
    waiting: int
    waiting_bytes: int
    overlimit: int | None = None
    marked: int | None = None


def discipline(connection: Connection, index: int, number: int) -> Discipline | None:
    """A discipline of an interface; None if it has none of this number."""
    try:
        return _decoded(connection.get(queues.get(index, number)))
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def disciplines(connection: Connection, index: int) -> tuple[Discipline, ...]:
    """All disciplines of an interface, the first one first."""
    bodies = connection.dump(queues.every(index))
    own = [each for each in bodies if queues.TCMSG.unpack_from(each)[1] == index]
    return tuple(map(_decoded, own))


def _decoded(body: bytes) -> Discipline:
    _, _, handle, parent, _ = queues.TCMSG.unpack_from(body)
    found = attributes(body, queues.TCMSG.size)
    stats = attributes(found.get(queues.TCA_STATS2, b""))
    _, sent = struct.unpack_from("=QI", stats[queues.TCA_STATS_BASIC])
    waiting, waiting_bytes, dropped = struct.unpack_from("=III", stats[queues.TCA_STATS_QUEUE])
    kind = found[queues.TCA_KIND].rstrip(b"\0").decode()
    overlimit, marked = queues.own_statistics(kind, stats.get(queues.TCA_STATS_APP, b""))
    return Discipline(
        kind=kind,
        number=handle >> 16,
        parent=parent,
        options=found.get(queues.TCA_OPTIONS, b""),
        sent=sent,
        dropped=dropped,
        waiting=waiting,
        waiting_bytes=waiting_bytes,
        overlimit=overlimit,
        marked=marked,
    )


def put(connection: Connection, index: int, wanted: Chain) -> None:
    """Have an interface's disciplines be these; what is queued in them stays.

    Disciplines that are there change in place. What is missing is added at the end of the chain,
    and what is not needed lets everything pass.
    """
    there = discipline(connection, index, SPLITTER) is not None
    _set(connection, index, SPLITTER, queues.ROOT, "tbf", queues.tbf(wanted.splitter), there)
    above = SPLITTER
    if wanted.netem is not None:
        there = there and discipline(connection, index, NETEM) is not None
        options = queues.netem(wanted.netem)
        _set(connection, index, NETEM, child(above), "netem", options, there)
        above = NETEM
    there = there and discipline(connection, index, SHAPER) is not None
    if not there and wanted.queue is None:
        return
    _set(connection, index, SHAPER, child(above), "tbf", queues.tbf(wanted.shaper), there)
    if wanted.queue is not None:
        _put_queue(connection, index, wanted.queue)


def _put_queue(connection: Connection, index: int, wanted: Queue) -> None:
    there = discipline(connection, index, QUEUES[wanted.kind]) is not None
    if wanted.kind == "bfifo" and not any(
        discipline(connection, index, number) for number in QUEUES.values()
    ):
        # A tbf has one of its own, and gives it its limit.
        return
    number, options = QUEUES[wanted.kind], queues.queue(wanted)
    _set(connection, index, number, child(SHAPER), wanted.kind, options, there)


def _set(
    connection: Connection,
    index: int,
    number: int,
    parent: int,
    kind: str,
    options: bytes,
    there: bool,
) -> None:
    make = queues.change if there else queues.new
    message: Message = make(index, number, parent, kind, options)
    connection.ask(message)


def let_pass(connection: Connection, index: int) -> None:
    """Have everything pass at once from now on; what is queued arrives when it was to."""
    if discipline(connection, index, SPLITTER) is not None:
        netem = discipline(connection, index, NETEM)
        put(connection, index, PASSING if netem is not None else Chain(netem=None))


def remove(connection: Connection, index: int) -> None:
    """Take the disciplines away, and all that is queued in them."""
    if discipline(connection, index, SPLITTER) is not None:
        connection.ask(queues.delete(index))
