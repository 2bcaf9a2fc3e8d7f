"""First packets of flows, held in a router before it takes note of them, and let go one by one.

What happens on two processors in the same microsecond can so be had on one, in any order. It takes
a kernel with the target NFQUEUE.
"""

from __future__ import annotations

import select
import socket
from struct import Struct

from small_networks import PATIENCE

from patchbay.rules.model import Chain, Rule, Table, match
from patchbay.rules.words import ChainType, CtStatus, Family, Field, Hook, Verdict
from patchbay.topology.steps import SetTables
from patchbay.wiring.connection import NETLINK_NETFILTER
from patchbay.wiring.netlink import (
    NFGENMSG,
    NLM_F_APPEND,
    NLM_F_CREATE,
    KernelError,
    Message,
    answers,
    attribute,
    attributes,
    be32,
    nested,
    text,
)

_NEWRULE, _VERDICT, _CONFIGURE = 0xA06, 0x301, 0x302
_PACKET, _DROP, _ACCEPT = 0x300, 0, 1
_HEADER, _CAME_BY, _PAYLOAD = 1, 5, 10
_FAMILY = NFGENMSG.pack(2, 0, 0)
"""IPv4; and the number of the queue, of which there is one."""
_FIRST_QUEUE = attribute(3, bytes(8))
_NUMBER = Struct(">I")
_ENDS = Struct("!12x4s4sHH")
_BIND, _COPY_HEADERS = b"\1\0\0\2", b"\0\0\0\x40\2"
_TABLE = Table(
    family=Family.IP,
    name="holding",
    chains=(
        Chain(
            name="forward",
            type=ChainType.FILTER,
            hook=Hook.FORWARD,
            priority=10,
            rules=(Rule((match(Field.CT_STATUS, CtStatus.CONFIRMED),), (Verdict.ACCEPT,)),),
        ),
    ),
)


class Skip(Exception):
    """The kernel holds no packets."""


class HeldPackets:
    """What a node forwards of flows that begin: it stays there until it is let go."""

    def __init__(self, kernel, node: str) -> None:
        with kernel.inside(node):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
            self._interfaces = dict(socket.if_nameindex())
        self._tell(_CONFIGURE, attribute(1, _BIND))
        self._tell(_CONFIGURE, attribute(2, _COPY_HEADERS))
        kernel.apply(SetTables(node=node, tables=(_TABLE,)))
        queue = nested(
            1, text(1, "target"), nested(2, text(1, "NFQUEUE"), be32(2, 0), _FIRST_QUEUE)
        )
        body = text(1, "holding") + text(2, "forward") + nested(4, queue)
        rule = Message(_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, _FAMILY + body, "hold packets")
        try:
            kernel.connection(node, NETLINK_NETFILTER).transact([rule])
        except KernelError as error:
            raise Skip(f"needs a kernel with NFQUEUE: {error}") from error

    def next(self, interface: str, peer: tuple[str, int]) -> int:
        """The number of the packet that comes by an interface next, to or from a peer outside.

        Others stay where they are: what TCP has sent again meanwhile, too.
        """
        while True:
            assert select.select([self._socket], [], [], PATIENCE)[0], "no packet came"
            for number, came_by, ends in self._told():
                if came_by == interface and peer in ends:
                    return number

    def clear(self) -> None:
        """Let nothing go that is held; whoever has sent it is gone."""
        while select.select([self._socket], [], [], 0)[0]:
            for number, _, _ in self._told():
                self._decide(number, _DROP)

    def _told(self):
        """The number of each packet that the kernel tells of, where it came in, and its ends."""
        for each in answers(self._socket.recv(65536)):
            if each.kind == _PACKET:
                parts = attributes(each.body, NFGENMSG.size)
                source, target, *ports = _ENDS.unpack_from(parts[_PAYLOAD])
                both = zip(map(socket.inet_ntoa, (source, target)), ports, strict=True)
                index = _NUMBER.unpack(parts[_CAME_BY])[0]
                yield _NUMBER.unpack_from(parts[_HEADER])[0], self._interfaces[index], set(both)

    def let_go(self, number: int) -> None:
        """Let a packet go on; it has gone as far as it goes when this returns."""
        self._decide(number, _ACCEPT)

    def _decide(self, number: int, verdict: int) -> None:
        self._tell(_VERDICT, attribute(2, _NUMBER.pack(verdict) + _NUMBER.pack(number)))

    def _tell(self, kind: int, body: bytes) -> None:
        self._socket.send(Message(kind, 0, _FAMILY + body, "").packed(1, 0))
