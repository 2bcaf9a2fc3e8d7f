"""The user-space engine of link conditions: which cables pass its process, and what packets meet."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from time import monotonic
from typing import cast

from actors.protocol import Plain
from patchbay.links.spec import LinkSpec
from patchbay.links.userspace.process import EngineDied, EngineProcess
from patchbay.topology.graph import LAN_BRIDGE
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.steps import Cable
from patchbay.values import LinkCondition
from patchbay.wiring import messages
from patchbay.wiring.detour import Detour, Sockets
from patchbay.wiring.interception import Interception
from patchbay.wiring.namespace import Namespace
from patchbay.wiring.readers import link
from patchbay.wiring.wires import QUIET, Wire

_QUIET_MAX = 10.0
"""Seconds between two looks at a cable that is busy."""

Place = tuple[str, str]
"""A node and an interface of it."""


@contextlib.contextmanager
def _as_far_as_it_is_there() -> Iterator[None]:
    """Go on if somebody has taken a cable away, or the process is dead, which is told by itself."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, EngineDied) and error.errno != errno.ENODEV:
            raise


class UserLinks:
    """The cables of a lab that pass a process, which is started with the first of them.

    Attributes:
        on_taken: called with the end of a cable, just after what arrives there has come to be
            taken, and just before it is no more; see `takes`.
    """

    def __init__(
        self,
        namespace: Callable[[str], Namespace | None],
        inside: Callable[[Namespace], AbstractContextManager[None]],
        start: Callable[[], EngineProcess],
    ) -> None:
        """Begin with none.

        Args:
            namespace: gives the namespace of a node; None once it is gone.
            inside: be in a namespace for a while.
            start: starts the process.
        """
        self._namespace = namespace
        self._inside = inside
        self._start = start
        self._engine: EngineProcess | None = None
        self._wires: dict[Place, Wire] = {}
        """By the node's end."""
        self._near_ends: dict[Place, Place] = {}
        """The node's end of a cable, by its other end."""
        self._shared: dict[str, LinkSpec] = {}
        """What packets of a router to its LAN meet together, by the router."""
        self._late = 0
        self.on_taken: Callable[[Place], None] = lambda _: None

    # -- cables come, move and go

    def note(self, cable: Cable) -> None:
        """Take note of a cable that was laid."""
        near = (cable.node, cable.interface)
        wire = self._wires[near] = Wire(cable)
        self._near_ends[cable.peer_node, cable.peer_interface] = near
        if self._needs_detour(wire):
            self._lay(wire)
            self._settle(wire.up, wire.down)

    def detours(self, cable: Cable) -> bool:
        """Whether the packets of a cable pass the process."""
        wire = self._wires.get((cable.node, cable.interface))
        return wire is not None and wire.detour is not None

    def unplug(self, cable: Cable) -> None:
        """Make a cable that is about to be pulled out a plain one; what is on its way is lost."""
        wire = self._wires.get((cable.node, cable.interface))
        if wire is not None and wire.detour is not None:
            self._drop(wire)

    def plug_in(self, cable: Cable) -> None:
        """Take note of where a cable was plugged in, and have packets on it meet the same again."""
        near = (cable.node, cable.interface)
        wire = self._wires.setdefault(near, Wire(cable))
        self._near_ends.pop((wire.cable.peer_node, wire.cable.peer_interface), None)
        self._near_ends[cable.peer_node, cable.peer_interface] = near
        wire.cable = cable
        if self._needs_detour(wire):
            self._lay(wire)
            self._settle(wire.up, wire.down)

    def forget(self, node: str, interface: str) -> None:
        """Take note that a cable is gone."""
        place = (node, interface)
        wire = self._wires.pop(self._near_ends.get(place, place), None)
        if wire is not None:
            self._near_ends.pop((wire.cable.peer_node, wire.cable.peer_interface), None)
            if wire.detour is not None:
                self._drop(wire)

    def forget_node(self, node: str) -> None:
        """Take note that a node is gone, and with it all cables that end there."""
        if self._shared.pop(node, None) is not None and self._alive:
            self._order("unshare", lan=node)
        for (near, interface), wire in list(self._wires.items()):
            if node in (near, wire.cable.peer_node):
                self.forget(near, interface)

    # -- what packets meet

    def set(self, node: str, interface: str, spec: LinkSpec | None) -> None:
        """Have packets that leave by an end of a cable meet something else; None for nothing.

        Those that leave by a bridge are what a router sends into its LAN: they meet it together.

        Raises:
            OSError: the kernel refused, or the process is dead; then they meet what they met.
        """
        place = (node, interface)
        wire = self._wires.get(self._near_ends.get(place, place))
        if wire is None:
            self._share(node, interface, spec)
            return
        before = wire.up, wire.down
        if place in self._near_ends:
            wire.down = spec
        else:
            wire.up = spec
        if spec is None and not wire.clean and not self._alive:
            return  # nobody is there to be told; the other direction is still to be made plain
        try:
            self._tell(wire)
        except OSError:
            wire.up, wire.down = before
            raise
        self._settle(spec)

    def queue(self, node: str, interface: str) -> None:
        """Take note that the kernel does something to packets that leave by an end of a cable.

        If it is the port of a LAN, the process sends by it what it passes on to the node. That must
        pass the disciplines there, which it does from now on: some may be in them at any time.
        """
        near = self._near_ends.get((node, interface))
        wire = None if near is None else self._wires[near]
        if wire is None or wire.queued or wire.cable.bridge is None:
            return
        wire.queued = True
        if wire.detour is not None and self._alive:
            self._order("queue", link=wire.name)

    def _share(self, router: str, bridge: str, spec: LinkSpec | None) -> None:
        before = self._shared.pop(router, None)
        known = spec or before
        if known is None or (spec is None and not self._alive):
            return
        if spec is not None:
            self._shared[router] = spec
        wires = [each for each in self._wires.values() if each.cable.peer_node == router]
        try:
            self._order(
                "share",
                lan=router,
                links=[each.name for each in wires if each.detour],
                spec=to_plain(spec or LinkSpec(known.name, known.seed, LinkCondition.LAN)),
                router=self._mac(router, bridge).hex(),
            )
            for wire in wires:
                self._tell(wire)
        except OSError:
            self._shared.pop(router, None)
            if before is not None:
                self._shared[router] = before
            raise
        self._settle(spec)

    def _mac(self, node: str, interface: str) -> bytes:
        namespace = self._namespace(node)
        assert namespace is not None, "a router has a namespace"
        return messages.hardware_address(link(namespace.route, interface).mac)

    def _needs_detour(self, wire: Wire) -> bool:
        return not wire.clean or wire.cable.peer_node in self._shared

    def _tell(self, wire: Wire) -> None:
        needed = self._needs_detour(wire)
        if wire.detour is None:
            if needed:
                self._lay(wire)
            return
        if not needed:
            wire.look, wire.wait = monotonic() + QUIET, QUIET
            if not self._alive:
                self._drop(wire)
                return
        up, down = wire.specs()
        self._order("change", link=wire.name, up=up, down=down)

    def _lay(self, wire: Wire) -> None:
        near, far = self._namespace(wire.cable.node), self._namespace(wire.cable.peer_node)
        assert near is not None, "the node of a cable has a namespace"
        assert far is not None, "the LAN of a cable has a namespace"
        kind = Interception if wire.cable.bridge is None else Detour
        detour = kind(wire.cable, near, far, self._inside)
        up, down = wire.specs()

        process = self._process()

        def start(sockets: Sockets) -> None:
            self._take(wire, wire.cable.bridge is None)
            process.request(
                "add",
                (sockets.near, sockets.far),
                link=wire.name,
                lan=wire.cable.peer_node,
                up=up,
                down=down,
                since=sockets.since,
                mark=detour.mark.replace(":", ""),
                queued=wire.queued,
            )

        try:
            detour.lay(start)
        except OSError:
            self._take(wire, False)
            raise
        wire.detour = detour

    def _drop(self, wire: Wire) -> None:
        """Make a cable plain at once, or what is left of it; what is on its way is lost."""
        if self._alive:
            self._order("remove", link=wire.name)
        if wire.detour is not None:
            detour, wire.detour = wire.detour, None
            self._take(wire, False)
            detour.abandon()
            self._clear(detour)

    def _clear(self, detour: Detour | Interception) -> None:
        """Take away what all detours of a LAN share, after the last of them."""
        lan = detour.cable.peer_node
        if not any(each.detour and each.cable.peer_node == lan for each in self._wires.values()):
            detour.clear()

    def tidy(self) -> float | None:
        """Make plain cables of those that are clean again and quiet.

        A packet that came while the way changes could be lost or overtaken, so it is done when
        there was none for a while.

        Returns:
            Seconds until the next look; None if there is nothing to look after.
        """
        now = monotonic()
        waiting = [
            each for each in self._wires.values() if each.detour and not self._needs_detour(each)
        ]
        for wire in waiting:
            if wire.look <= now and not self._straighten(wire):
                wire.wait = min(_QUIET_MAX, 2 * wire.wait)
                wire.look = now + wire.wait
        dues = [each.look for each in waiting if each.detour]
        return max(0.0, min(dues) - now) if dues else None

    def _straighten(self, wire: Wire) -> bool:
        """Make a clean cable plain if it is quiet, or there is nobody any more whom it passes.

        Returns:
            Whether it is plain now.
        """
        if self._alive:
            with _as_far_as_it_is_there():
                return self._take_back(wire)
        self._drop(wire)
        return True

    def _take_back(self, wire: Wire) -> bool:
        quiet = self._ask("quiet", link=wire.name)
        if quiet is None or cast("int", quiet) < QUIET * 1e9:
            return False
        detour = wire.detour
        assert detour is not None, "it has one"
        self._take(wire, False)
        detour.take_back(
            lambda: self._order("hold", link=wire.name),
            lambda until: self._order("finish", link=wire.name, until=until),
        )
        wire.detour = None
        self._clear(detour)
        return True

    def stats(self, node: str, interface: str) -> Plain:
        """What the process did to packets that left by an end of a cable; None if it did nothing.

        Raises:
            EngineDied: it is dead.
        """
        place = (node, interface)
        wire = self._wires.get(self._near_ends.get(place, place))
        if wire is None or wire.detour is None:
            return None
        both = cast("list[Plain]", self._ask("stats", link=wire.name))
        return both[place in self._near_ends]

    def late(self) -> int:
        """How many packets the process was late with, on all links that there ever were.

        As far as is known, if it is dead.
        """
        if self._alive:
            with contextlib.suppress(EngineDied):  # which is told by itself
                self._late = cast("int", self._ask("late"))
        return self._late

    # -- recordings

    def passing(self) -> dict[str, tuple[Place, ...]]:
        """The cables that pass the process, by what they are called, each with where it ends.

        The node's end is the first, then the port of the LAN, and its bridge if it has one.
        """
        found = {}
        for near, wire in self._wires.items():
            cable = wire.cable
            ends: tuple[Place, ...] = (near, (cable.peer_node, cable.peer_interface))
            if cable.bridge is not None:
                ends += ((cable.peer_node, cable.bridge),)
            if wire.detour is not None:
                found[wire.name] = ends
        return found

    def takes(self, place: Place) -> bool | None:
        """Whether what arrives at an end of a cable is taken there, and arrives anew with `MARK`.

        None for an end at which it never is: of a cable to a LAN.
        """
        wire = self._wires.get(self._near_ends.get(place, place))
        return None if wire is None or wire.cable.bridge is not None else wire.taken

    def _take(self, wire: Wire, taken: bool) -> None:
        if wire.taken != taken:
            wire.taken = taken
            cable = wire.cable
            self.on_taken((cable.node, cable.interface))
            self.on_taken((cable.peer_node, cable.peer_interface))

    def record(self, method: str, descriptors: Sequence[int] = (), /, **arguments: Plain) -> None:
        """Tell the process what recordings want to hear; nothing if it is dead.

        Args:
            method: `tap`, `watch` or `untap`; see `Engine`.
            descriptors: what goes with it.
            arguments: what else goes with it.
        """
        if self._alive:
            with contextlib.suppress(EngineDied):  # which is told by itself
                self._process().request(method, descriptors, **arguments)

    def read(self, node: str, interface: str) -> LinkSpec | None:
        """What packets meet that leave by an end of a cable, as the process has it; None for nothing.

        Raises:
            EngineDied: it is dead.
        """
        if node in self._shared and interface == LAN_BRIDGE:
            return from_plain(LinkSpec, self._ask("shared_spec", lan=node))
        place = (node, interface)
        wire = self._wires.get(self._near_ends.get(place, place))
        if wire is None or wire.detour is None:
            return None
        both = cast("list[Plain]", self._ask("specs", link=wire.name))
        return from_plain(LinkSpec, both[place in self._near_ends])

    # -- the process

    def _settle(self, *specs: LinkSpec | None) -> None:
        """Wait until the packet programs of links have started, or failed to."""
        if any(spec.programs for spec in specs if spec is not None) and self._alive:
            self._order("settle")

    def listen(self) -> None:
        """Hear what the process has told until now, without being asked."""
        if self._alive:
            with contextlib.suppress(EngineDied):  # which is told by itself
                self._order("settle")

    @property
    def _alive(self) -> bool:
        return self._engine is not None and self._engine.alive

    def _process(self) -> EngineProcess:
        if self._engine is None:
            self._engine = self._start()
        return self._engine

    def _ask(self, method: str, **arguments: Plain) -> Plain:
        return self._process().request(method, **arguments)

    def _order(self, method: str, **arguments: Plain) -> None:
        self._ask(method, **arguments)
