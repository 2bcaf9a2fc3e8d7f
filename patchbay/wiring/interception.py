"""A cable between two IP stacks whose packets pass a process: between regions, where no bridge is.

What arrives at either end is dropped there, after packet sockets have seen it and before the stack
does (the ingress hook of nftables), unless it carries the mark of the process: a source address of
its own. The process takes each frame at the end where it was dropped, and sends it anew, marked,
from the other one.
"""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from patchbay.links.userspace.port import open_port
from patchbay.topology.steps import Cable
from patchbay.wiring import messages
from patchbay.wiring.connection import NETLINK_NETFILTER
from patchbay.wiring.detour import Sockets
from patchbay.wiring.namespace import Namespace
from patchbay.wiring.netlink import (
    NFGENMSG,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Message,
    attribute,
    be32,
    nested,
    text,
)
from patchbay.wiring.offloads import cut_all_but_tcp, cut_nothing

MARK = "02:70:62:6c:69:6e"
"""The source address of frames that the process has sent."""

_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = (10 << 8 | number for number in (0, 2, 3, 6))
_NETDEV = NFGENMSG.pack(5, 0, 0)
_INGRESS, _FIRST = 0, 0
_DROP, _ACCEPT = 0, 1
_VERDICT_REGISTER, _REGISTER = 0, 1
_LINK_LAYER, _SOURCE_AT, _SOURCE_SIZE = 0, 6, 6
_CHAIN = "ingress"


def _expression(name: str, *data: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *data))


def drop_unmarked(table: str, interface: str) -> list[Message]:
    """The messages that have an interface drop what arrives at it without the mark."""
    hook = nested(4, be32(1, _INGRESS), be32(2, _FIRST), text(3, interface))
    chain = text(1, table) + text(3, _CHAIN) + hook + be32(5, _DROP) + text(7, "filter")
    source = _expression(
        "payload",
        be32(1, _REGISTER),
        be32(2, _LINK_LAYER),
        be32(3, _SOURCE_AT),
        be32(4, _SOURCE_SIZE),
    )
    mark = nested(3, attribute(1, messages.hardware_address(MARK)))
    is_marked = _expression("cmp", be32(1, _REGISTER), be32(2, 0), mark)
    verdict = nested(2, nested(2, be32(1, _ACCEPT)))
    accept = _expression("immediate", be32(1, _VERDICT_REGISTER), verdict)
    rule = text(1, table) + text(2, _CHAIN) + nested(4, source, is_marked, accept)
    asks = f"drop what arrives at {interface}"
    return [
        Message(_NEWTABLE, NLM_F_CREATE, _NETDEV + text(1, table), asks),
        Message(_NEWCHAIN, NLM_F_CREATE, _NETDEV + chain, asks),
        Message(_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, _NETDEV + rule, asks),
    ]


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    """Nothing is to be done about what is gone."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.ENOENT):
            raise


class Interception:
    """Both ends of a cable, where a process takes what arrives; used as a `Detour` is."""

    def __init__(
        self,
        cable: Cable,
        near: Namespace,
        far: Namespace,
        inside: Callable[[Namespace], AbstractContextManager[None]],
    ) -> None:
        """Plan it; `lay` makes it.

        Args:
            cable: the cable, whose ends are no ports of bridges.
            near: where the node is.
            far: where the peer is.
            inside: be in a namespace for a while.
        """
        self.cable = cable
        self.mark = MARK
        self._ends = ((near, cable.interface), (far, cable.peer_interface))
        self._inside = inside

    def lay(self, start: Callable[[Sockets], None]) -> None:
        """Lead packets by a process; see `Detour.lay`."""
        (near, near_name), (far, far_name) = self._ends
        try:
            for namespace, name in self._ends:
                cut_all_but_tcp(namespace.route, name)
            with self._inside(near):
                near_port = open_port(near_name)
            with near_port:
                with self._inside(far):
                    far_port = open_port(far_name)
                with far_port:
                    began = time.time_ns()
                    for namespace, name in self._ends:
                        self._filter(namespace, drop_unmarked(self._table(name), name))
                    since = (began + time.time_ns()) // 2
                    start(Sockets(near_port.fileno(), far_port.fileno(), since))
        except OSError:
            self.abandon()
            raise

    def take_back(self, hold: Callable[[], None], finish: Callable[[int], None]) -> None:
        """Lead packets straight again; see `Detour.take_back`."""
        hold()
        self._unfilter()
        finish(time.time_ns())
        self._cut_nothing()

    def abandon(self) -> None:
        """Lead packets straight at once, as far as the ends are still there."""
        self._unfilter()
        with _gone():
            self._cut_nothing()

    def clear(self) -> None:
        """Nothing is shared with other cables."""

    def _cut_nothing(self) -> None:
        for namespace, name in self._ends:
            cut_nothing(namespace.route, name)

    def _unfilter(self) -> None:
        for namespace, name in self._ends:
            asks = f"let in what arrives at {name}"
            with _gone():
                self._filter(
                    namespace,
                    [Message(_DELTABLE, 0, _NETDEV + text(1, self._table(name)), asks)],
                )

    def _filter(self, namespace: Namespace, wanted: list[Message]) -> None:
        namespace.connection(NETLINK_NETFILTER).transact(wanted)

    def _table(self, interface: str) -> str:
        return f"link_{interface}"
