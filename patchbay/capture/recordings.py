"""The recordings of a lab, as its supervisor has them: it opens the rings and hands them over.

Rings are opened here because this process may enter the networks of nodes, and made ready as well:
what passes before the recording process has taken a ring over is in the ring. The kernel tells of
every interface that comes or goes, by whomever it was made.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from actors.channel import Closed
from actors.protocol import Plain
from actors.supervisor import Supervisor
from actors.worker import Worker
from patchbay.capture.bpf import Instruction, arriving_from
from patchbay.capture.link_packets import WAYS
from patchbay.capture.recorder import record
from patchbay.capture.ring import blocks_for, open_ring, set_filter
from patchbay.capture.selection import Selection, has_part, names, nodes, wants, wants_link
from patchbay.links.userspace.feed import MOST, make_feed
from patchbay.topology.model import Topology
from patchbay.version import __version__
from patchbay.wiring import messages
from patchbay.wiring.interception import MARK
from patchbay.wiring.kernel import Kernel
from patchbay.wiring.readers import Link

_RTMGRP_LINK = 1
_GONE = frozenset({errno.ENODEV, errno.ENXIO})


@dataclass(slots=True)
class _Recording:
    number: int
    selection: Selection
    program: tuple[Instruction, ...]
    blocks: int
    worker: Worker
    known: dict[tuple[str, str], int] = field(default_factory=dict)
    """The interfaces that are recorded, by node and name, with their numbers in the kernel."""
    rings: dict[tuple[str, str], socket.socket] = field(default_factory=dict)
    """The rings of those at which the user-space engine may take what arrives."""
    names: dict[str, list[str]] = field(default_factory=dict)
    keep: int = 0
    """Bytes that are kept of packets on links, for the filter to see."""
    links: dict[str, int] = field(default_factory=dict)
    """The links that were ever recorded, with their numbers in the feed, which is made with the
    first of them."""

    def forget(self, places: Iterable[tuple[str, str]]) -> None:
        """Give up interfaces."""
        for place in tuple(places):
            del self.known[place]
            if place in self.rings:
                self.rings.pop(place).close()

    def tell(self, message: dict[str, Plain], descriptors: Sequence[int] = ()) -> None:
        try:
            self.worker.channel.send(message, descriptors)
        except Closed:
            return  # its process has ended: we will hear of it


class Recordings:
    """All recordings of a lab that go on. Does nothing, and costs nothing, without any."""

    def __init__(
        self,
        supervisor: Supervisor,
        kernel: Kernel,
        *,
        on_end: Callable[[int], None],
        on_lack: Callable[[int, str], None],
    ) -> None:
        """Begin with none.

        Args:
            supervisor: whose process this is.
            kernel: the namespaces of the nodes.
            on_end: called with the number of a recording that has ended.
            on_lack: called with the number of one, and the reason, where an interface that came
                while it went on cannot be recorded.
        """
        self._supervisor = supervisor
        self._kernel = kernel
        self._on_end = on_end
        self._on_lack = on_lack
        self._recordings: list[_Recording] = []
        self._monitors: dict[str, socket.socket] = {}
        self._topology: Topology | None = None
        self._number = 0
        if kernel.engines.user is not None:
            kernel.engines.user.on_taken = self._aim

    def start(
        self,
        topology: Topology,
        selection: Selection,
        program: tuple[Instruction, ...],
        *,
        filter_text: str,
        snaplen: int | None,
        given: Sequence[int],
    ) -> int:
        """Start a recording; it goes on when this returns. Returns its number.

        Args:
            topology: the network as it is.
            selection: what is recorded.
            program: what is kept of each packet.
            filter_text: the filter, for people.
            snaplen: bytes that are kept of a packet; None for all.
            given: descriptors for the process that records; see `record`.

        Raises:
            PatchbayError: this host allows no more processes.
            OSError: the kernel refuses packet sockets.
        """
        self._topology = topology
        wanted = nodes(selection, topology)
        work = partial(record, f"patchbay {__version__}", filter_text, program, snaplen)
        worker = self._supervisor.start_worker(
            "pb-capture", work, given, self._ended, finishes=True
        )
        self._number += 1
        rings = 2 if selection.node is not None else 2 * len(wanted)
        recording = _Recording(self._number, selection, program, blocks_for(rings), worker)
        recording.keep = MOST if filter_text or snaplen is None else snaplen
        self._recordings.append(recording)
        try:
            self._tell_names(recording)
            for node in wanted:
                self._monitor(node)
                self._look(recording, node, self._kernel.links(node))
            self._look_at_links(recording)
        except BaseException:
            self._recordings.remove(recording)
            recording.forget(recording.known)
            worker.channel.end()
            raise
        return recording.number

    def follow(self, topology: Topology) -> None:
        """Take a change of the network into account that the kernel has made."""
        if not self._recordings:
            return
        self._topology = topology
        there = set(self._kernel.nodes)
        for recording in self._recordings:
            self._tell_names(recording)
            self._look_at_links(recording)
            for node in {node for node, _ in recording.known} - there:
                recording.tell({"gone": node})
                recording.forget(key for key in recording.known if key[0] == node)
        wanted = {
            node for each in self._recordings for node in nodes(each.selection, topology)
        } & there
        for node in [node for node in self._monitors if node not in wanted]:
            self._give_up(node)
        for node in wanted:
            if node in self._monitors:
                self._hear(node)
            else:
                self._monitor(node)
                self._look_for_all(node)

    # -- interfaces

    def _monitor(self, node: str) -> None:
        """Hear of the interfaces of a node."""
        if node in self._monitors:
            return
        with self._kernel.inside(node):
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            monitor = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        monitor.bind((0, _RTMGRP_LINK))
        self._monitors[node] = monitor
        self._supervisor.watch(monitor.fileno(), lambda: self._hear(node))

    def _give_up(self, node: str) -> None:
        monitor = self._monitors.pop(node)
        self._supervisor.forget(monitor.fileno())
        monitor.close()

    def _hear(self, node: str) -> None:
        """Look at the interfaces of a node if the kernel has told of any."""
        told = False
        while True:
            try:
                self._monitors[node].recv(1 << 16)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # which says that there is more than was told
                    raise
            told = True
        if told:
            self._look_for_all(node)

    def _look_for_all(self, node: str) -> None:
        links = self._kernel.links(node)
        assert self._topology is not None
        for recording in self._recordings:
            if has_part(recording.selection, self._topology, node):
                try:
                    self._look(recording, node, links)
                except OSError as error:
                    self._on_lack(recording.number, str(error.strerror))

    def _look(self, recording: _Recording, node: str, links: Sequence[Link]) -> None:
        """Have the recording take up what a node has, and forget what it has no more."""
        assert self._topology is not None
        there = {(node, link.name): link.index for link in links}
        gone = [
            key for key, at in recording.known.items() if key[0] == node and there.get(key) != at
        ]
        for _, name in gone:
            recording.tell({"gone": node, "interface": name})
        recording.forget(gone)
        for link in links:
            key = node, link.name
            port = link.bridge is not None
            if key not in recording.known and wants(
                recording.selection, self._topology, node, link.name, port
            ):
                self._open(recording, node, link)

    def _open(self, recording: _Recording, node: str, link: Link) -> None:
        place = (node, link.name)
        program = self._program(recording, place)
        try:
            with self._kernel.inside(node):
                ring = open_ring(link.name, program, recording.blocks, loopback=link.name == "lo")
        except OSError as error:
            if error.errno in _GONE:
                return  # since it was told of
            error.strerror = f"a ring for the packets of {node}/{link.name}: {error.strerror}"
            raise
        with ring:
            addresses: list[Plain] = [
                [str(each.address.ip), each.address.network.prefixlen]
                for each in self._kernel.addresses(node)
                if each.interface == link.name
            ]
            recording.known[place] = link.index
            if self._taken(place) is not None:
                recording.rings[place] = ring.dup()
            recording.tell(
                {
                    "node": node,
                    "interface": link.name,
                    "addresses": addresses,
                    "blocks": recording.blocks,
                },
                [ring.fileno()],
            )

    def _taken(self, place: tuple[str, str]) -> bool | None:
        user = self._kernel.engines.user
        return None if user is None else user.takes(place)

    def _program(self, recording: _Recording, place: tuple[str, str]) -> tuple[Instruction, ...]:
        """What is kept at an interface: packets that are taken there are kept when they come anew."""
        if not self._taken(place):
            return recording.program
        return arriving_from(messages.hardware_address(MARK), recording.program)

    def _aim(self, place: tuple[str, str]) -> None:
        """Take into account that packets are taken at an interface from now on, or are to be no more."""
        for recording in self._recordings:
            if place in recording.rings:
                set_filter(recording.rings[place], self._program(recording, place))

    # -- links

    def _look_at_links(self, recording: _Recording) -> None:
        """Have the recording take up the links that the user-space engine makes now."""
        user = self._kernel.engines.user
        if user is None:
            return
        wanted = {
            name: ends
            for name, ends in user.passing().items()
            if wants_link(recording.selection, ends)
        }
        new = [name for name in wanted if name not in recording.links]
        if new and not recording.links:
            feed = make_feed()
            try:
                recording.tell({"feed": True}, feed)
                user.record("tap", feed, number=recording.number, keep=recording.keep)
            finally:
                for descriptor in feed:
                    os.close(descriptor)
        for name in new:
            recording.links[name] = len(WAYS) * len(recording.links)
            node, interface = wanted[name][0]
            recording.tell({"link": recording.links[name], "node": node, "interface": interface})
        if recording.links:
            links: dict[str, Plain] = {name: recording.links[name] for name in wanted}
            user.record("watch", number=recording.number, links=links)

    # -- names and the end

    def _tell_names(self, recording: _Recording) -> None:
        assert self._topology is not None
        now = names(self._topology)
        new = {key: value for key, value in now.items() if recording.names.get(key) != value}
        if new:
            recording.names |= new
            recording.tell({"names": {key: list(value) for key, value in new.items()}})

    def _ended(self, worker: Worker) -> None:
        recording = next((each for each in self._recordings if each.worker is worker), None)
        if recording is None:
            return
        self._recordings.remove(recording)
        recording.forget(recording.known)
        if recording.links and self._kernel.engines.user is not None:
            self._kernel.engines.user.record("untap", number=recording.number)
        if not self._recordings:
            for node in list(self._monitors):
                self._give_up(node)
        self._on_end(recording.number)
