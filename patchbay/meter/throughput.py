"""What a path carries: `IperfResult`, and how the two ends of a measurement are brought together.

One node sends, another receives; this process starts both and asks both how it was. Nothing but
the measured packets goes over the network.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from actors.errors import NodeDied, NodeGone
from patchbay.errors import Problems
from patchbay.meter import ends, tcp, udp

if TYPE_CHECKING:
    from actors.tasks import Task
    from patchbay.measuring import Measuring

Protocol = Literal["tcp", "udp"]

DEFAULT_UDP_RATE = 1000.0
"""kbit/s, as iperf has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """One-way delays in milliseconds: from just before a packet was sent to its arrival."""

    min: float
    mean: float
    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IperfResult:
    """What a path carried. Rates and sizes are of the payload, without any header.

    Attributes:
        protocol: `tcp` or `udp`.
        rate_kbit: what arrived in a second: after the first arrival, until the last.
        seconds: from the first arrival to the last.
        sent_bytes: how many bytes were sent.
        received_bytes: how many arrived.
        retransmits: with TCP, segments that were sent again.
        sent: with UDP, how many datagrams were sent.
        received: with UDP, how many different ones arrived.
        duplicates: with UDP, arrivals of datagrams that had arrived before.
        reordered: with UDP, arrivals after one that was sent later (RFC 4737 4.1).
        overrun: with UDP, datagrams that arrived and were lost as the receiver did not keep up:
            the host's fault, not the network's. They are not in `lost`.
        jitter_ms: with UDP, interarrival jitter at the end (RFC 3550 6.4.1).
        delay_ms: with UDP, the one-way delays; None if nothing arrived.
    """

    protocol: Protocol
    rate_kbit: float
    seconds: float
    sent_bytes: int
    received_bytes: int
    retransmits: int = 0
    sent: int = 0
    received: int = 0
    duplicates: int = 0
    reordered: int = 0
    overrun: int = 0
    jitter_ms: float = 0.0
    delay_ms: Delays | None = None

    @property
    def lost(self) -> int:
        """With UDP, how many datagrams the network lost."""
        return max(0, self.sent - self.received - self.overrun)

    @property
    def loss_pct(self) -> float:
        """With UDP, how many of those sent the network lost, in percent."""
        return 100.0 * self.lost / self.sent if self.sent else 0.0


def iperf(
    client: Measuring,
    server: Measuring,
    *,
    protocol: Protocol,
    seconds: float,
    rate_kbit: float | None,
    size: int,
    reverse: bool,
    port: int,
    timeout: float,
) -> IperfResult:
    """Measure between two nodes; see `LabNode.iperf`."""
    _check(protocol, seconds, rate_kbit, size)
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    host = client.address_of(server)
    with contextlib.ExitStack() as open_ends:
        far, bound = server.call(ends.listen, kind, host, port)
        open_ends.callback(_close, server, far)
        near = client.call(ends.connect, kind, host, bound, timeout)
        open_ends.callback(_close, client, near)
        both = [(client, near), (server, far)]
        (sender, source), (receiver, sink) = reversed(both) if reverse else both
        if protocol == "udp":
            rate = rate_kbit or DEFAULT_UDP_RATE
            arriving = receiver.submit(udp.receive, sink, reverse, timeout)
            try:
                sent = sender.call(udp.send, source, reverse, seconds, rate, size, timeout)
            except BaseException:
                _stop(receiver, sink, arriving)
                raise
            receiver.call(ends.finish, sink, sent)
            return _of_udp(sent, size, arriving.result())
        coming = receiver.submit(tcp.receive, sink, timeout)
        done = sender.call(tcp.send, source, seconds, rate_kbit, timeout)
        return _of_tcp(done, coming.result())


def _stop(receiver: Measuring, sink: int, arriving: Task[udp.Received]) -> None:
    """Have a receiver wait for nothing more; its end can be closed after that."""
    with contextlib.suppress(OSError, NodeDied, NodeGone):  # what went wrong first is told
        receiver.call(ends.finish, sink, 0)
        arriving.result()


def _close(node: Measuring, number: int) -> None:
    with contextlib.suppress(NodeDied, NodeGone):
        node.call(ends.close, number)


def _of_tcp(sent: tcp.Sent, received: tcp.Received) -> IperfResult:
    return IperfResult(
        protocol="tcp",
        rate_kbit=_rate(received.later_bytes, received.seconds),
        seconds=received.seconds,
        sent_bytes=sent.bytes,
        received_bytes=received.bytes,
        retransmits=sent.retransmits,
    )


def _of_udp(sent: int, size: int, received: udp.Received) -> IperfResult:
    delays = received.delays_ms
    return IperfResult(
        protocol="udp",
        rate_kbit=_rate(received.later_bytes, received.seconds),
        seconds=received.seconds,
        sent_bytes=sent * size,
        received_bytes=received.bytes,
        sent=sent,
        received=received.count,
        duplicates=received.duplicates,
        reordered=received.reordered,
        overrun=received.overrun,
        jitter_ms=received.jitter_ms,
        delay_ms=None
        if delays is None
        else Delays(min=delays[0], mean=delays[1], p50=delays[2], p99=delays[3], max=delays[4]),
    )


def _rate(size: int, seconds: float) -> float:
    return size * 8 / seconds / 1000 if seconds > 0 else 0.0


def _check(protocol: str, seconds: float, rate_kbit: float | None, size: int) -> None:
    problems = Problems()
    if protocol not in ("tcp", "udp"):
        problems.add("iperf", f"a protocol is 'tcp' or 'udp', not {protocol!r}")
    if seconds <= 0:
        problems.add("iperf", f"it takes a time above 0 s, not {seconds!r}")
    if rate_kbit is not None and rate_kbit <= 0:
        problems.add("iperf", f"a rate is above 0 kbit/s, not {rate_kbit!r}")
    if not udp.LEAST_SIZE <= size <= udp.MOST_SIZE:
        problems.add("iperf", f"datagrams have {udp.LEAST_SIZE} to {udp.MOST_SIZE} bytes")
    problems.check()
