"""Packets that rules have sent copies of, as the kernel hands them out (`nfnetlink_log.h`)."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from patchbay.wiring.connection import NETLINK_NETFILTER, Connection
from patchbay.wiring.netlink import NFGENMSG, Message, answers, attribute, attributes, be32, u8

_SUBSYSTEM = 4 << 8
_PACKET, _CONFIG = _SUBSYSTEM, _SUBSYSTEM | 1
_CFG_CMD, _CFG_MODE, _CFG_TIMEOUT = 1, 2, 4
_BIND, _COPY_PACKET = 1, 2
_PAYLOAD = 9
_LONGEST = 512
"""Bytes of a packet that are copied: all of one without data."""
_SOON = 10
"""Hundredths of a second for which the kernel collects packets, and then hands them out at once."""
_ROOM = 1 << 17


class PacketLog:
    """What comes to a group of the log of the namespace that the process is in when it is made.

    What comes faster than it is read is lost; the kernel keeps no more than a socket may hold.

    Raises:
        KernelError: the kernel cannot do it, or somebody listens to the group already.
    """

    def __init__(self, group: int) -> None:
        self._connection = Connection(NETLINK_NETFILTER)
        body = NFGENMSG.pack(socket.AF_UNSPEC, 0, group)
        body += u8(_CFG_CMD, _BIND) + be32(_CFG_TIMEOUT, _SOON)
        body += attribute(_CFG_MODE, struct.pack(">IBx", _LONGEST, _COPY_PACKET))
        try:
            self._connection.ask(Message(_CONFIG, 0, body, "listen to logged packets"))
        except BaseException:
            self._connection.close()
            raise

    def fileno(self) -> int:
        """The descriptor, which is readable when there are packets."""
        return self._connection.fileno()

    def close(self) -> None:
        """Listen no longer."""
        self._connection.close()

    def read(self) -> Iterator[bytes]:
        """The packets that have come, each from its IP header on; does not wait."""
        try:
            data = self._connection.waiting(_ROOM)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ENOBUFS):  # none; some were lost before these
                return
            raise
        for each in answers(data):
            payload = attributes(each.body, NFGENMSG.size).get(_PAYLOAD)
            if each.kind == _PACKET and payload is not None:
                yield payload
