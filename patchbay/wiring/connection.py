"""A netlink socket: requests and their answers, one at a time and in order."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

from patchbay.wiring.netlink import (
    NFGENMSG,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Answer,
    KernelError,
    Message,
    answers,
    refusal,
)

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_NFNL_MSG_BATCH_BEGIN = 16
_NFNL_MSG_BATCH_END = 17
_NFNL_SUBSYS_NFTABLES = 10
_TRANSACTION = NFGENMSG.pack(0, 0, _NFNL_SUBSYS_NFTABLES)
_BEGIN = Message(_NFNL_MSG_BATCH_BEGIN, 0, _TRANSACTION, "begin an nftables transaction")
_END = Message(_NFNL_MSG_BATCH_END, 0, _TRANSACTION, "commit an nftables transaction")
_RECEIVE_BUFFER = 1 << 16
"""Bytes; the kernel puts no more than 32 KiB of a dump into one packet."""
_SEND_BUFFER = 1 << 17
"""Bytes; what the kernel grants anyone."""


class Connection:
    """A netlink socket of the network namespace that the process was in when it was made.

    It belongs to that namespace for ever, whatever namespace the process enters later. Not for
    use by several threads at once. All that ask raise `KernelError` if the kernel refuses, and
    then nothing was changed.
    """

    def __init__(self, protocol: int) -> None:
        self._number = 0
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def ask(self, message: Message) -> None:
        """Have something changed, and wait until it is."""
        for answer in self._exchange(message, NLM_F_ACK):
            if answer.kind == NLMSG_ERROR:
                if error := refusal(answer, message.asks):
                    raise error
                return

    def get(self, message: Message) -> bytes:
        """One object: the body of the message that describes it."""
        answer = next(self._exchange(message, 0))
        if answer.kind == NLMSG_ERROR and (error := refusal(answer, message.asks)):
            raise error
        return answer.body

    def dump(self, message: Message) -> list[bytes]:
        """All objects of a kind: the bodies of the messages that describe them.

        Asks again if the kernel's state changed halfway, so that what it says belongs together.
        """
        while True:
            bodies: list[bytes] = []
            interrupted = False
            for answer in self._exchange(message, NLM_F_DUMP):
                interrupted |= bool(answer.flags & NLM_F_DUMP_INTR)
                if answer.kind in (NLMSG_ERROR, NLMSG_DONE):
                    if error := refusal(answer, message.asks):
                        raise error
                    break
                bodies.append(answer.body)
            if not interrupted:
                return bodies

    def transact(self, messages: Sequence[Message]) -> None:
        """Have the nftables tables changed by all these messages, or not at all."""
        if not messages:
            return
        begin = self._next()
        asked = {begin: _BEGIN.asks}
        parts = [_BEGIN.packed(begin, 0)]
        for message in messages:
            last = self._next()
            asked[last] = message.asks
            # Refusals come back unasked; the acknowledgement of the last one ends the answers.
            parts.append(message.packed(last, NLM_F_ACK if message is messages[-1] else 0))
        parts.append(_END.packed(self._next(), 0))
        transaction = b"".join(parts)
        room = max(_SEND_BUFFER, 2 * len(transaction))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        self._socket.send(transaction)
        first: KernelError | None = None
        for answer in self._received():
            if answer.kind == NLMSG_ERROR and answer.number in asked:
                first = first or refusal(answer, asked[answer.number])
                if answer.number in (begin, last):
                    break
        if first:
            raise first

    def waiting(self, room: int) -> bytes:
        """What the kernel has said without being asked, as much as it says at once; does not wait.

        Raises:
            OSError: EAGAIN, there is nothing; ENOBUFS, some of it was lost.
        """
        return self._socket.recv(room, socket.MSG_DONTWAIT)

    def _exchange(self, message: Message, flags: int) -> Iterator[Answer]:
        number = self._next()
        self._socket.send(message.packed(number, flags))
        for answer in self._received():
            if answer.number == number:
                yield answer

    def _received(self) -> Iterator[Answer]:
        while True:
            yield from answers(self._socket.recv(_RECEIVE_BUFFER))

    def _next(self) -> int:
        self._number = self._number + 1 & 0xFFFFFFFF
        return self._number
