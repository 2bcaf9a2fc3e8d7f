"""What nodes can tell of their network: whether it answers, by which way, and what it carries.

The meters are loaded when they are used.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal, TypeAlias

from actors.connection import Connection
from actors.node import Node
from patchbay.capture.handle import Capture
from patchbay.capture.output import Destination
from patchbay.capture.selection import Selection
from patchbay.ping import PingResult, ping

if TYPE_CHECKING:
    from patchbay.lab import Lab
    from patchbay.meter.path_mtu import PathMtu
    from patchbay.meter.throughput import IperfResult
    from patchbay.meter.traceroute import TracerouteResult

Target: TypeAlias = IPv4Address | IPv6Address | str | Node
"""An address, a name that a node resolves, or a node."""


class Measuring(Node):
    """A node that can be asked what its network does; the base of `LabNode`."""

    def __init__(self, lab: Lab, connection: Connection, name: str) -> None:
        super().__init__(connection, name)
        self._lab = lab

    def address_of(self, target: Target) -> str:
        """What this node reaches a target by, as text."""
        raise NotImplementedError

    def ping(
        self,
        target: Target,
        count: int = 1,
        *,
        timeout: float = 1.0,
        interval: float = 0.0,
        size: int = 56,
    ) -> PingResult:
        """Send ICMP echo requests, one after the other, and tell what came back.

        Args:
            target: an address, a name that this node resolves, or a node.
            count: how many.
            timeout: seconds to wait for each answer.
            interval: seconds between an answer and the next request.
            size: bytes of payload.
        """
        return self.call(ping, self.address_of(target), count, timeout, interval, size)

    def traceroute(
        self, target: Target, *, max_hops: int = 30, probes: int = 1, timeout: float = 1.0
    ) -> TracerouteResult:
        """Find the routers on the way to a target, by datagrams that may cross so many of them.

        Args:
            target: an address, a name that this node resolves, or a node.
            max_hops: how many to look for.
            probes: datagrams for each. A router answers few in a second (Linux: six at once, then
                one in a second for each asker).
            timeout: seconds to wait for each answer.
        """
        from patchbay.meter.traceroute import traceroute

        return self.call(traceroute, self.address_of(target), max_hops, probes, timeout)

    def probe_mtu(self, target: Target, *, timeout: float = 0.5, tries: int = 3) -> PathMtu:
        """Find how large packets to a target can be, by echo requests that nobody may fragment.

        Args:
            target: an address, a name that this node resolves, or a node.
            timeout: seconds to wait for an answer.
            tries: how often a size must stay without an answer to be too large.
        """
        from patchbay.meter.path_mtu import probe_mtu

        return self.call(probe_mtu, self.address_of(target), timeout, tries)

    def iperf(
        self,
        server: Measuring,
        *,
        protocol: Literal["tcp", "udp"] = "tcp",
        seconds: float = 1.0,
        rate_kbit: float | None = None,
        size: int = 1200,
        reverse: bool = False,
        port: int = 0,
        timeout: float = 5.0,
    ) -> IperfResult:
        """Measure what the way to another node carries: rate, loss, jitter, reordering, delay.

        Args:
            server: the node that is connected to.
            protocol: `tcp` for as much as goes; `udp` for a given rate, and what becomes of it.
            seconds: how long to send.
            rate_kbit: payload to send in a second; all that goes with TCP, 1,000 with UDP, if not
                given.
            size: bytes of payload of a UDP datagram.
            reverse: whether the server is the one that sends. Who connects stays the same, so that
                this works through a NAT.
            port: the server's; any free one if 0.
            timeout: seconds to wait for what is under way when the last was sent, and to connect.

        Raises:
            ConfigError: an argument is out of range, or the nodes have no version of IP in common.
            TimeoutError: nothing gets through; with UDP only where it is `reverse`.
            TypeError: the server is no node.
        """
        from patchbay.meter.throughput import iperf

        if not isinstance(server, Measuring):
            raise TypeError(f"iperf measures between two nodes of a lab, and {server!r} is none")
        return iperf(
            self,
            server,
            protocol=protocol,
            seconds=seconds,
            rate_kbit=rate_kbit,
            size=size,
            reverse=reverse,
            port=port,
            timeout=timeout,
        )

    def capture(
        self, destination: Destination, *, filter: str | None = None, snaplen: int | None = None
    ) -> Capture:
        """Record the packets of all its interfaces, as pcapng; see `Lab.capture`.

        Those that it gets later are recorded too, also such as programs make (`tun0`, `wg0`). A
        packet of the loopback is recorded once. What a LAN's ports carry among each other is not
        the router's: record the devices, or the lab.
        """
        # is it there? A file shall not be emptied for nothing
        self._lab.request("interfaces", node=self._name)
        return Capture.start(self._lab, Selection(node=self._name), destination, filter, snaplen)
