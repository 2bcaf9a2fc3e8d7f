"""The conditions of a lab's links, whichever engine makes them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from actors.protocol import Plain
from patchbay.links.choice import USER_SPACE
from patchbay.links.spec import Flows
from patchbay.links.userspace.port import open_port
from patchbay.links.userspace.process import EngineProcess
from patchbay.topology.steps import Cable, Link
from patchbay.values import LinkCondition, LinkEngine
from patchbay.wiring import kernel_links
from patchbay.wiring.kernel_links import KernelLinks
from patchbay.wiring.namespace import Namespace
from patchbay.wiring.user_links import UserLinks


class Links:
    """Both engines, and which of them makes what packets meet at an interface."""

    def __init__(
        self,
        namespace: Callable[[str], Namespace | None],
        inside: Callable[[Namespace], AbstractContextManager[None]],
        start: Callable[[], EngineProcess] | None,
    ) -> None:
        """Begin with plain links.

        Args:
            namespace: gives the namespace of a node; None once it is gone.
            inside: be in a namespace for a while.
            start: starts the process of the user-space engine; None where there is to be none.
        """
        self._inside = inside
        self._kernel = KernelLinks(namespace)
        self.user = None if start is None else UserLinks(namespace, inside, start)
        self._known = False

    def features(self, bare: Callable[[], AbstractContextManager[Namespace]]) -> frozenset[str]:
        """What this host can do with links, in the words of `patchbay.links.choice`.

        Args:
            bare: makes a namespace for a while that nothing else is in; called the first time.
        """
        if not self._known:
            with bare() as namespace:
                found = kernel_links.features(namespace.route)
                if self.user is not None and self._has_packet_sockets(namespace):
                    found |= {USER_SPACE}
            self._kernel.features = found
            self._known = True
        return self._kernel.features

    def _has_packet_sockets(self, namespace: Namespace) -> bool:
        try:
            with self._inside(namespace):
                opened: socket.socket = open_port("lo")
        except OSError:
            return False
        opened.close()
        return True

    def set(self, node: str, interface: str, link: Link | None, old: Link | None) -> None:
        """Have packets that leave by an interface meet something else; None for nothing.

        Raises:
            OSError: the kernel refused, or the process is dead; then they meet what they met.
        """
        if _by_user(old) is None and _by_user(link) is None:
            self._kernel.set(node, interface, link, old)
            self._note_queue(node, interface, link)
            return
        assert self.user is not None, "it is not chosen where it is not"
        wanted, had = _by_user(link), _by_user(old)
        self.user.set(node, interface, None if wanted is None else wanted.spec)
        by_kernel = None if wanted is not None else link
        before = None if had is not None else old
        if by_kernel is None and before is None:
            return
        try:
            self._kernel.set(node, interface, by_kernel, before)
        except OSError:
            self.user.set(node, interface, None if had is None else had.spec)
            raise
        self._note_queue(node, interface, by_kernel)

    def _note_queue(self, node: str, interface: str, by_kernel: Link | None) -> None:
        if by_kernel is not None and self.user is not None:
            self.user.queue(node, interface)

    def read(self, node: str, interface: str) -> tuple[LinkCondition, Flows]:
        """What packets meet that leave by an interface, as whatever makes it has it.

        Raises:
            EngineDied: it was made by the process, which is dead.
            OSError: there is no such interface.
        """
        spec = None if self.user is None else self.user.read(node, interface)
        if spec is not None and not spec.clean:
            return spec.condition, spec.flows
        return self._kernel.read(node, interface), ()

    def stats(self, node: str, interface: str) -> Plain:
        """What the user-space engine did to packets that left by an interface; None for nothing.

        Raises:
            EngineDied: its process is dead.
        """
        return None if self.user is None else self.user.stats(node, interface)

    def late(self) -> int:
        """How many packets the user-space engine was late with."""
        return 0 if self.user is None else self.user.late()

    def listen(self) -> None:
        """Hear what the process of the user-space engine has told until now.

        Raises:
            EngineDied: it is dead.
        """
        if self.user is not None:
            self.user.listen()

    def tidy(self) -> float | None:
        """Make plain links of those that are clean again and quiet.

        Returns:
            Seconds until the next look; None if there is nothing to look after.
        """
        waits = [self._kernel.tidy(), None if self.user is None else self.user.tidy()]
        return min((each for each in waits if each is not None), default=None)

    # -- cables

    def laid(self, cable: Cable) -> None:
        """Take note of a cable that was laid."""
        if self.user is not None:
            self.user.note(cable)

    def plugged_elsewhere(self, cable: Cable) -> bool:
        """Whether another cable than this one is to be the port of its bridge."""
        return self.user is not None and self.user.detours(cable)

    @contextmanager
    def moving(self, before: Cable, after: Cable) -> Iterator[None]:
        """Have a cable be a plain one while it is moved, and no longer."""
        if self.user is None:
            yield
            return
        self.user.unplug(before)
        try:
            yield
        except OSError:
            self.user.plug_in(before)
            raise
        self.user.plug_in(after)

    def removed(self, node: str, interface: str) -> None:
        """Take note that an interface is gone."""
        if self.user is not None:
            self.user.forget(node, interface)

    def leaving(self, node: str) -> None:
        """Take note that a node is about to go."""
        if self.user is not None:
            self.user.forget_node(node)


def _by_user(link: Link | None) -> Link | None:
    return link if link is not None and link.choice.engine is LinkEngine.USER else None
