"""The process that records: packets from the rings of interfaces, into one pcapng stream.

It is a worker of the supervisor. Interfaces come and go by its channel; its client asks and ends it
by another. Packets of several interfaces are written in the order of their times: they wait until
no ring can hold an earlier one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from bisect import bisect_right
from collections.abc import Callable
from operator import itemgetter
from socket import socket
from typing import cast

from actors.channel import Channel, Closed
from actors.protocol import Plain
from patchbay.capture import pcapng
from patchbay.capture.bpf import Instruction
from patchbay.capture.link_packets import WAYS, LinkPackets, Stream
from patchbay.capture.ring import MOMENT, Ring
from patchbay.capture.source import Source
from patchbay.capture.writer import Writer
from patchbay.links.userspace.feed import FeedReader

WINDOW = 10 * MOMENT * 1_000_000
"""Nanoseconds after which a packet is in its ring to be read, or at least to be seen there: its
moment, and the kernel's delay."""
BACKLOG = 1 << 26
"""Bytes that wait for a slow disk or reader; after that, packets wait in the rings."""
BLOCKS_AT_ONCE = 16
"""Blocks of one ring that are read before the others have their turn."""
PATIENCE = 5.0
"""Seconds that a reader of the recording may take for nothing, at its end."""
LOOKS = 100
"""How often it is looked for what the kernel has still to hand over, at the end of a ring, without
finding anything. Between two looks is a moment, which is what the kernel takes. These are no seconds:
whoever is not let run for some has looked once meanwhile."""
STATISTICS = 1_000_000_000
"""Nanoseconds between two notes of lost packets."""
_ARPHRD_ETHERNET = (1, 772)
"""Kinds of interface with Ethernet headers: Ethernet itself, and the loopback."""


def record(
    application: str,
    filter_text: str,
    program: tuple[Instruction, ...],
    snaplen: int | None,
    channel: Channel,
    given: list[int],
) -> None:
    """Record until the client or the lab says that it is enough.

    Args:
        application: what the recording names as its maker.
        filter_text: which packets were asked for, for people,
        program: and for the packets of links, which come by no ring.
        snaplen: bytes that are kept of a packet; None for all.
        channel: the supervisor: interfaces and names.
        given: the client's channel, where to write, and the log of TLS secrets, if there is one.
    """
    client, output, *keys = given
    recorder = _Recorder(
        filter_text, program, snaplen or 0, channel, Channel.of(client), output, keys
    )
    system = os.uname()
    recorder.emit(
        pcapng.section(application=application, system=f"{system.sysname} {system.release}")
    )
    recorder.run()


class _Recorder:
    def __init__(
        self,
        filter_text: str,
        program: tuple[Instruction, ...],
        snaplen: int,
        supervisor: Channel,
        client: Channel,
        output: int,
        keys: list[int],
    ) -> None:
        self._filter_text = filter_text
        self._program = program
        self._snaplen = snaplen
        self._supervisor = supervisor
        self._client = client
        self._keys = keys
        self._keys_read = 0
        self._sources: list[Source | Stream] = []
        """By their numbers in the recording."""
        self._open: dict[int, Source] = {}
        """By descriptor; those that have not ended."""
        self._links: LinkPackets | None = None
        """What the user-space engine tells, once it serves a link that is recorded."""
        self._waiting: list[tuple[int, bytes]] = []
        """Packets that are not written yet, with their times."""
        self._noted = 0
        self._over = False
        self._wakeup, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._writer = Writer(output, lambda: _poke(wake), BACKLOG)
        self._said = select.poll()
        self._said.register(supervisor.fileno(), select.POLLIN)
        self._poll = select.epoll()
        self._rings = select.epoll()
        """Rings of their own, to listen to none of them while the writer is behind."""
        self._listening = False
        self._handlers: dict[int, Callable[[], None]] = {}
        self._watch(self._wakeup, self._on_wakeup)
        self._watch(supervisor.fileno(), self._on_supervisor)
        self._watch(client.fileno(), self._on_client)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def emit(self, *blocks: bytes) -> None:
        """Have blocks written."""
        self._writer.put(blocks)

    def run(self) -> None:
        """Serve until it is over, and end the recording as a whole."""
        while not self._over:
            self._turn()
        self._hear_out_supervisor()
        now, last = time.time_ns(), list(self._open.values())
        for source in last:
            self._let_go(source)
        self._drain()
        for source in list(self._open.values()):
            self._end(source)
        if self._links is not None:
            while not self._links.read(self._waiting) and self._links.latest < now:
                pass
        self._flush(None)
        for source in last:
            self._note(source)  # behind its packets, for which there may be little time
        self._note_links(lambda _: True)
        self._writer.finish(PATIENCE)
        try:
            self._client.send({"final": self._told()})
        except Closed:
            return  # nobody wants to know

    def _drain(self) -> None:
        """Read what is in rings that let nothing in any more, until there is nothing."""
        looks, before = 0, [-1]
        while self._open and looks < LOOKS:
            self._turn()
            read = [source.ring.read for source in self._open.values()]
            looks, before = looks + 1 if read == before else 0, read

    def _hear_out_supervisor(self) -> None:
        """Take every interface that was given before it was over, and no later one."""
        self._hear_supervisor()
        if self._supervisor.fileno() in self._handlers:
            self._forget(self._supervisor.fileno())

    def _hear_supervisor(self) -> None:
        """Take all that the supervisor has said: what comes with descriptors is read piece by piece."""
        supervisor = self._supervisor.fileno()
        while supervisor in self._handlers and self._said.poll(0):
            self._on_supervisor()

    # -- the loop

    def _watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.EPOLLIN)

    def _forget(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._poll.unregister(descriptor)

    def _turn(self) -> None:
        now = time.time_ns()
        if self._listening == self._writer.full:
            self._listening = not self._listening
            change = self._poll.register if self._listening else self._poll.unregister
            change(self._rings.fileno())
        for descriptor, _ in self._poll.poll(self._patience(now)):
            if descriptor in self._handlers:
                self._handlers[descriptor]()
        if self._writer.full:
            return
        horizon = time.time_ns() - WINDOW
        self._hear_supervisor()  # a ring that comes by now may have packets from before
        for descriptor, event in self._rings.poll(0):
            source = self._open.get(descriptor)
            if source is None:
                continue  # what links tell is looked at anyhow
            if event & select.EPOLLERR and source.ring.gone():
                self._let_go(source)
            if not self._read(source):
                horizon = min(horizon, source.latest)
        if self._links is not None and not self._read_links(self._links):
            horizon = min(horizon, self._links.latest)
        several = len(self._open) > 1 or self._links is not None
        self._flush(self._settled(horizon) if several else None)
        for source in [each for each in self._open.values() if each.ending]:
            source.ring.count()
            if source.ring.drained:
                self._end(source)

    def _settled(self, horizon: int) -> int:
        """The time up to which no ring has a packet that was not read, at most another one."""
        if not self._waiting:
            return horizon
        begun = (source.ring.waiting_since for source in self._open.values())
        return min([horizon, *(each - 1 for each in begun if each is not None)])

    def _patience(self, now: int) -> float | None:
        """Seconds until there is something to do anyhow; None if there is not."""
        if any(source.ending for source in self._open.values()):
            return MOMENT / 1000
        if self._listening and self._links is not None and self._links.busy:
            return MOMENT / 1000
        if not self._waiting or not self._listening:
            return None
        return max(0, self._waiting[0][0] + WINDOW - now) / 1e9 + 0.001

    def _read(self, source: Source) -> bool:
        """Take what a ring has; say whether that was all."""
        number, taken, moment = source.number, 0, source.latest
        keep, encode = self._waiting.append, pcapng.packet
        try:
            for _ in range(BLOCKS_AT_ONCE):
                before = source.ring.read
                for moment, flags, data, length in source.ring.packets():
                    keep((moment, encode(number, moment, flags, data, length)))
                    taken += length
                if source.ring.read == before:
                    return True
            return False
        finally:
            source.bytes += taken
            source.latest = moment

    def _read_links(self, links: LinkPackets) -> bool:
        """Take what links tell; say whether that was all. While there is much, nobody is woken."""
        every = links.read(self._waiting)
        if not links.busy:
            self._rings.modify(links.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
        return every

    def _flush(self, horizon: int | None) -> None:
        """Write the packets up to a time, or all."""
        self._waiting.sort(key=itemgetter(0))
        due = len(self._waiting)
        if horizon is not None:
            due = bisect_right(self._waiting, horizon, key=itemgetter(0))
        if not due:
            return
        self._emit_keys()
        self.emit(*(block for _, block in self._waiting[:due]))
        del self._waiting[:due]
        if (now := time.time_ns()) - self._noted > STATISTICS:
            self._noted = now
            for source in self._open.values():
                source.ring.count()
                if source.ring.dropped != source.noted:
                    self._note(source)
            self._note_links(lambda stream: stream.dropped != stream.noted)

    def _emit_keys(self) -> None:
        """Write the TLS secrets that are new, before the packets that need them."""
        for log in self._keys:
            size = os.fstat(log).st_size
            if size > self._keys_read:
                new = os.pread(log, size - self._keys_read, self._keys_read)
                whole = new[: new.rfind(b"\n") + 1]
                self._keys_read += len(whole)
                if whole:
                    self.emit(pcapng.tls_secrets(whole))

    # -- interfaces

    def _add(self, told: dict[str, Plain], sock: socket) -> None:
        _, _, _, kind, mac = sock.getsockname()
        ring = Ring(sock, cast("int", told["blocks"]))
        source = Source(
            number=len(self._sources),
            node=cast("str", told["node"]),
            interface=cast("str", told["interface"]),
            ring=ring,
            since=time.time_ns(),
        )
        ethernet = kind in _ARPHRD_ETHERNET
        self.emit(
            pcapng.interface(
                f"{source.node}/{source.interface}",
                link_type=pcapng.ETHERNET if ethernet else pcapng.RAW_IP,
                snaplen=self._snaplen,
                mac=mac.hex(":") if ethernet else "",
                addresses=cast("list[tuple[str, int]]", told["addresses"]),
                filter_text=self._filter_text,
            )
        )
        self._sources.append(source)
        self._open[ring.fileno()] = source
        self._rings.register(ring.fileno(), select.EPOLLIN)

    def _let_go_of(self, node: Plain, interface: Plain) -> None:
        """Do so with an interface of a node; None for all of them.

        The kernel tells the ring of it when an interface goes down, but not that it is removed
        after that.
        """
        for source in list(self._open.values()):
            if source.node == node and interface in (None, source.interface):
                self._let_go(source)

    def _let_go(self, source: Source) -> None:
        """Take what is in its ring, and no more."""
        if not (source.ending or source.ended):
            source.ending = True
            source.ring.stop()

    def _end(self, source: Source) -> None:
        source.ring.count()
        if not self._over:
            self._note(source)
        self._rings.unregister(source.ring.fileno())
        del self._open[source.ring.fileno()]
        source.ended = True
        source.ring.close()

    def _add_link(self, told: dict[str, Plain]) -> None:
        assert self._links is not None, "the feed comes before its links"
        for index, way in enumerate(WAYS, cast("int", told["link"])):
            stream = Stream(
                number=len(self._sources),
                node=cast("str", told["node"]),
                interface=cast("str", told["interface"]),
                way=way,
                since=time.time_ns(),
            )
            self.emit(
                pcapng.interface(
                    stream.name,
                    description=stream.described,
                    snaplen=self._snaplen,
                    filter_text=self._filter_text,
                )
            )
            self._sources.append(stream)
            self._links.streams[index] = stream

    def _note(self, source: Source) -> None:
        source.noted = source.ring.dropped
        self._tell_of(source, source.ring.received, source.ring.dropped)

    def _note_links(self, wanted: Callable[[Stream], bool]) -> None:
        if self._links is None:
            return
        self._links.count()
        for stream in filter(wanted, self._links.streams.values()):
            stream.noted = stream.dropped
            self._tell_of(stream, stream.received, stream.dropped)

    def _tell_of(self, source: Source | Stream, received: int, dropped: int) -> None:
        now, since = time.time_ns(), source.since
        self.emit(
            pcapng.statistics(source.number, now, since=since, received=received, dropped=dropped)
        )

    # -- who says something

    def _on_wakeup(self) -> None:
        os.read(self._wakeup, 4096)
        if self._writer.error is not None:
            self._over = True

    def _on_terminate(self, *_: object) -> None:
        """The lab closes."""
        self._over = True

    def _on_supervisor(self) -> None:
        try:
            messages = self._supervisor.waiting()
        except Closed:
            self._forget(self._supervisor.fileno())
            self._over = True
            return
        for message, descriptors in messages:
            if "names" in message:
                self.emit(pcapng.names(cast("dict[str, list[str]]", message["names"])))
            elif "gone" in message:
                self._let_go_of(message["gone"], message.get("interface"))
            elif "feed" in message:
                feed = FeedReader(*descriptors)
                self._links = LinkPackets(feed, self._program, self._hear_supervisor)
                self._rings.register(feed.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
            elif "link" in message:
                self._add_link(message)
            else:
                self._add(message, socket(fileno=descriptors[0]))

    def _on_client(self) -> None:
        try:
            messages = self._client.waiting()
        except Closed:
            self._forget(self._client.fileno())
            self._over = True
            return
        for message, _ in messages:
            if message["operation"] == "close":
                self._over = True
                continue
            for source in self._open.values():
                source.ring.count()
            if self._links is not None:
                self._links.count()
            try:
                self._client.send({"statistics": self._told()})
            except Closed:
                self._over = True

    def _told(self) -> dict[str, Plain]:
        error = self._writer.error
        return {
            "interfaces": [source.told() for source in self._sources],
            "error": None if error is None else error.strerror or str(error),
        }


def _poke(pipe: int) -> None:
    """Wake the loop; a pipe that is full does that anyhow."""
    with contextlib.suppress(BlockingIOError):
        os.write(pipe, b"w")
