r"""A cable whose packets pass a process: how it is laid, and taken back, under traffic.

    node            LAN
    eth0 ------- p7    q7 ------- l7 = lan (bridge)
                  \    /
                  process

The end of the cable in the LAN, `p7`, and one end of a second cable, `q7`, are ports of a bridge
that is switched off: frames that arrive there go nowhere, and no IP stack sees them, but packet
sockets do. The process takes them from one and sends them by the other. The node's own end stays
as it is, and so does what the bridge of the LAN knows.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from patchbay.links.userspace.port import open_port
from patchbay.topology.steps import Cable
from patchbay.values import MTU_MAX
from patchbay.wiring import messages
from patchbay.wiring.cables import bring_up_port
from patchbay.wiring.namespace import Namespace
from patchbay.wiring.offloads import cut_all_but_tcp, cut_nothing
from patchbay.wiring.readers import link

PARKING = "parking"
"""The bridge that is switched off."""

_PARKING_MAC = "02:70:61:72:6b:00"
_MTU = 1500


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """Nothing is to be done about an interface that is gone."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


@dataclass(frozen=True, slots=True)
class Sockets:
    """What the process gets: its descriptors, and since when their frames are its own.

    Attributes:
        near: descriptor of the socket on the end of the cable.
        far: descriptor of the socket on the end of the second cable.
        since: until when the bridge passed on frames from the node, and frames to everybody, in
            nanoseconds of CLOCK_REALTIME.
    """

    near: int
    far: int
    since: int


class Detour:
    """The second cable of a cable."""

    def __init__(
        self,
        cable: Cable,
        near: Namespace,
        far: Namespace,
        inside: Callable[[Namespace], AbstractContextManager[None]],
    ) -> None:
        """Plan it; `lay` makes it.

        Args:
            cable: the cable, which is plugged into a bridge.
            near: where the node is.
            far: where the LAN is.
            inside: be in a namespace for a while.
        """
        self.cable = cable
        self.mark = ""
        self._near = near
        self._far = far
        self._inside = inside
        self._lan_end = f"l{cable.number}"
        self._parked_end = f"q{cable.number}"

    def lay(self, start: Callable[[Sockets], None]) -> None:
        """Lead packets by a process.

        Every packet goes one way or the other, and none overtakes one that went before.

        Args:
            start: hands the sockets to the process, which passes packets on from then on.

        Raises:
            OSError: the kernel refused; then all is as it was.
        """
        ask, cable = self._far.route.ask, self.cable
        assert cable.bridge is not None, "a cable without a bridge has no detour"
        parking, bridge = self._parking(), self._far.index(cable.bridge)
        self._lay_second_cable()
        try:
            cut_all_but_tcp(self._near.route, cable.interface)
            cut_all_but_tcp(self._far.route, self._lan_end)
            ask(messages.plug(self._parked_end, parking))
            with self._inside(self._far):
                near, far = open_port(cable.peer_interface), open_port(self._parked_end)
            with near, far:
                ask(messages.plug(self._lan_end, bridge))
                # Frames to the node: from one moment to the next they take the second cable.
                lan_end = self._far.index(self._lan_end)
                ask(messages.new_forwarding(lan_end, cable.mac, learned=False))
                # Frames from the node, and those to everybody: so do they.
                began = time.time_ns()
                if link(self._far.route, cable.peer_interface).bridge is not None:
                    ask(messages.shut_port(cable.peer_interface))
                since = (began + time.time_ns()) // 2
                start(Sockets(near.fileno(), far.fileno(), since))
                ask(messages.plug(cable.peer_interface, parking))
                ask(messages.new_forwarding(lan_end, cable.mac, learned=True))
        except OSError:
            self.abandon()
            raise

    def take_back(self, hold: Callable[[], None], finish: Callable[[int], None]) -> None:
        """Lead packets straight again.

        What comes from the node may be overtaken if it comes in the middle of that, so it is to
        be done while there is nothing.

        Args:
            hold: has the process send all it has, and take nothing more that comes from the node.
            finish: has the process pass on what had arrived at a moment, when the bridge began to
                do it by itself, and forget the link.

        Raises:
            OSError: the kernel refused.
        """
        ask, cable = self._far.route.ask, self.cable
        assert cable.bridge is not None, "a cable without a bridge has no detour"
        # Out of one bridge takes long, and the process works on; into another one does not.
        ask(messages.plug(cable.peer_interface, None))
        hold()
        ask(messages.plug(cable.peer_interface, self._far.index(cable.bridge)))
        now = time.time_ns()
        port = self._far.index(cable.peer_interface)
        ask(messages.new_forwarding(port, cable.mac, learned=False))
        finish(now)
        ask(messages.delete_link(self._lan_end))
        ask(messages.new_forwarding(port, cable.mac, learned=True))
        cut_nothing(self._near.route, cable.interface)

    def abandon(self) -> None:
        """Lead packets straight at once, as far as the ends are still there.

        Raises:
            OSError: the kernel refused.
        """
        cable = self.cable
        assert cable.bridge is not None, "a cable without a bridge has no detour"
        with _gone():
            bridge = self._far.index(cable.bridge)
            self._far.route.ask(messages.plug(cable.peer_interface, bridge))
        with _gone():
            self._far.route.ask(messages.delete_link(self._lan_end))
        with _gone():
            cut_nothing(self._near.route, cable.interface)

    def clear(self) -> None:
        """Remove the bridge that is switched off; to be done when no detour needs it."""
        with _gone():
            self._far.route.ask(messages.delete_link(PARKING))

    def _parking(self) -> int:
        """The index of the bridge that is switched off, made if there is none yet."""
        try:
            return self._far.index(PARKING)
        except OSError:
            self._far.route.ask(messages.new_bridge(PARKING, _PARKING_MAC, _MTU))
            return self._far.index(PARKING)

    def _lay_second_cable(self) -> None:
        self._far.route.ask(
            messages.new_veth(
                self._lan_end,
                self.cable.peer_mac,
                MTU_MAX,
                peer_name=self._parked_end,
                peer_mac=self.cable.peer_mac,
                peer_mtu=MTU_MAX,
                peer_namespace=self._far.descriptor,
            )
        )
        try:
            for end in (self._lan_end, self._parked_end):
                bring_up_port(self._far, end)
            for end in (self._lan_end, self._parked_end):
                link(self._far.route, end)  # asked after, it acts on being connected at once
        except OSError:
            self._far.route.ask(messages.delete_link(self._lan_end))
            raise
