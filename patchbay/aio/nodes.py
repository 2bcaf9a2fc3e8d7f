"""The handles of a lab's nodes, for asyncio code."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from actors.attachment import INTERRUPTION
from actors.errors import CallTimeout
from actors.node import Node
from actors.process import Command, plain_command
from actors.tasks import Task
from actors.virtual import Network
from patchbay.aio.capture import AsyncCapture
from patchbay.aio.iface import AsyncIface
from patchbay.aio.process import AsyncProcess
from patchbay.aio.reflector import AsyncReflector
from patchbay.aio.twin import Told, Twin, awaited, awaited_handle, make
from patchbay.measuring import Target
from patchbay.meter.path_mtu import PathMtu, probe_mtu
from patchbay.meter.throughput import IperfResult
from patchbay.meter.traceroute import TracerouteResult, traceroute
from patchbay.nodes import Device, Ix, LabNode, Router
from patchbay.ping import PingResult, ping
from patchbay.stun.discovery import NatBehaviour, discover
from patchbay.stun_server import StunServer, check_discovery, server_address

if TYPE_CHECKING:
    from patchbay.aio.lab import AsyncLab
    from patchbay.aio.regions import AsyncRegion
    from patchbay.aio.stun_server import AsyncStunServer

N = TypeVar("N", bound=LabNode)
P = ParamSpec("P")
T = TypeVar("T")


class AsyncNode(Twin[N], Generic[N]):
    """What devices, routers and the IX have in common: the twin of `LabNode`.

    `submit` and `spawn` return at once a `Task`, which can be awaited. The first of them on a node
    asks the lab for the way there, as a property does.
    """

    def __init__(self, lab: AsyncLab, sync: N) -> None:
        super().__init__(sync)
        self._lab = lab
        self._attached = False
        self._attaching = asyncio.Lock()

    # -- what it is

    @property
    def lab(self) -> AsyncLab:
        """The lab it belongs to."""
        return self._lab

    name: Told[str] = Told(lambda node: node.name)
    ip: Told[IPv4Address | None] = Told(lambda node: node.ip)
    ip6: Told[IPv6Address | None] = Told(lambda node: node.ip6)
    pid: Told[int] = Told(lambda node: node.pid)

    @property
    def ifaces(self) -> list[AsyncIface]:
        """Its interfaces, in the order they were added."""
        return [AsyncIface(self, each) for each in self.sync.ifaces]

    @property
    def default_iface(self) -> AsyncIface | None:
        """The interface of its default route; None without any."""
        iface = self.sync.default_iface
        return None if iface is None else AsyncIface(self, iface)

    def iface(self, name: str) -> AsyncIface:
        """One of its interfaces; not awaited, so that one writes `await node.iface("eth0").up()`.

        Raises:
            ConfigError: it has none of this name.
        """
        return AsyncIface(self, self.sync.iface(name))

    # -- code

    async def call(
        self, fn: Callable[P, T], /, *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> T:
        """Run a function on the node, and return its value or raise its exception.

        When the task that awaits this is cancelled, the function is interrupted on the node.

        Args:
            fn: what to run.
            *args: its arguments.
            timeout: seconds; when they are over the code is interrupted.
            **kwargs: its arguments by name.

        Raises:
            CallTimeout: the timeout was over.
            NodeDied: the node's process died.
            NodeGone: the node was removed, or the lab is closed.
            TravelError: the function, an argument or the result cannot go to another process.
            RemoteError: it raised an exception that could not travel.
        """
        if not self._attached:
            await self._attach()
        task: Task[T] = self.sync.submit(fn, *args, **kwargs)
        if timeout is not None and not await _ends(task, timeout):
            stack = await asyncio.to_thread(self.sync.stack) or f"in {fn!r}"
            task.cancel()
            interrupted = await _ends(task, INTERRUPTION)
            raise CallTimeout(self.name, timeout, interrupted=interrupted, stack=stack)
        return await task

    async def _attach(self) -> None:
        """Ask the lab for the way to the node's process: once, and not in this thread."""
        async with self._attaching:
            if not self._attached:
                await asyncio.to_thread(lambda: self.pid)
                self._attached = True

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Task[T]:
        """Run a function on the node, beside other work; the task can be awaited, or cancelled."""
        return self.sync.submit(fn, *args, **kwargs)

    @overload
    def spawn(
        self, coroutine: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Task[T]: ...

    @overload
    def spawn(self, coroutine: Coroutine[Any, Any, T], /) -> Task[T]: ...

    def spawn(self, coroutine: Any, /, *args: Any, **kwargs: Any) -> Task[Any]:
        """Run a coroutine on the node's event loop; the task can be awaited, or cancelled.

        Takes an async function with its arguments, `spawn(fetch, url)`, or a coroutine that was
        not started, `spawn(fetch(url))`.
        """
        return self.sync.spawn(coroutine, *args, **kwargs)

    restart = awaited(Node.restart)
    output = awaited(Node.output)
    stack = awaited(Node.stack)

    # -- programs

    async def popen(self, cmd: Command, **options: Any) -> AsyncProcess:
        """Start a program on the node; see `Node.popen` and `AsyncProcess`."""
        return await AsyncProcess.start(self.sync, cmd, **options)

    async def run(
        self,
        cmd: Command,
        *,
        input: str | bytes | None = None,
        capture_output: bool | None = None,
        text: bool | None = None,
        timeout: float | None = None,
        check: bool = False,
        **options: Any,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program on the node and wait for it; see `Node.run`.

        When the task that awaits this is cancelled, the program is killed with all it started.
        """
        if capture_output is not False:
            for stream in ("stdout", "stderr"):
                options.setdefault(stream, subprocess.PIPE)
        if input is not None:
            options["stdin"] = subprocess.PIPE
        if text is None and capture_output is None and not isinstance(input, bytes):
            text = True
        async with await self.popen(cmd, text=text, **options) as process:
            try:
                stdout, stderr = await process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired as error:
                process.kill()
                error.stdout, error.stderr = await process.communicate()
                raise
            status = await process.wait()
        done = subprocess.CompletedProcess(plain_command(cmd), status, stdout, stderr)
        if check:
            done.check_returncode()
        return done

    # -- names and the network

    resolve = awaited(LabNode.resolve)
    interface_snapshots = awaited(LabNode.interface_snapshots)
    default_addresses = awaited(LabNode.default_addresses)

    async def address_of(self, target: AsyncTarget) -> str:
        """What this node reaches a target by, as text; see `LabNode.address_of`."""
        return await asyncio.to_thread(self.sync.address_of, blocking(target))

    async def dns_entry(self, name: str, address: AsyncTarget) -> None:
        """Have a name resolve on this node only; it shadows an entry of the lab."""
        await asyncio.to_thread(self.sync.dns_entry, name, blocking(address))

    async def ping(
        self,
        target: AsyncTarget,
        count: int = 1,
        *,
        timeout: float = 1.0,
        interval: float = 0.0,
        size: int = 56,
    ) -> PingResult:
        """Send ICMP echo requests, and tell what came back; see `LabNode.ping`."""
        address = await asyncio.to_thread(self.sync.address_of, blocking(target))
        return await self.call(ping, address, count, timeout, interval, size)

    async def traceroute(
        self, target: AsyncTarget, *, max_hops: int = 30, probes: int = 1, timeout: float = 1.0
    ) -> TracerouteResult:
        """Find the routers on the way to a target; see `LabNode.traceroute`."""
        address = await asyncio.to_thread(self.sync.address_of, blocking(target))
        return await self.call(traceroute, address, max_hops, probes, timeout)

    async def probe_mtu(
        self, target: AsyncTarget, *, timeout: float = 0.5, tries: int = 3
    ) -> PathMtu:
        """Find how large packets to a target can be; see `LabNode.probe_mtu`."""
        address = await asyncio.to_thread(self.sync.address_of, blocking(target))
        return await self.call(probe_mtu, address, timeout, tries)

    async def iperf(
        self,
        server: AsyncNode[Any],
        *,
        protocol: Literal["tcp", "udp"] = "tcp",
        seconds: float = 1.0,
        rate_kbit: float | None = None,
        size: int = 1200,
        reverse: bool = False,
        port: int = 0,
        timeout: float = 5.0,
    ) -> IperfResult:
        """Measure what the way to another node carries; see `LabNode.iperf`."""
        return await asyncio.to_thread(
            self.sync.iperf,
            server.sync,
            protocol=protocol,
            seconds=seconds,
            rate_kbit=rate_kbit,
            size=size,
            reverse=reverse,
            port=port,
            timeout=timeout,
        )

    capture = awaited_handle(LabNode.capture, lambda _, capture: AsyncCapture(capture))

    async def reflector(
        self, protocol: Literal["udp", "tcp"] = "udp", port: int = 0, host: str = ""
    ) -> AsyncReflector:
        """Start a server that tells each client its address; see `LabNode.reflector`."""
        return await make(
            lambda: AsyncReflector(self, self.sync.reflector(protocol, port, host)),
            lambda reflector: reflector.sync.close(),
        )

    async def nat_behaviour(
        self,
        server: AsyncStunServer | StunServer | tuple[str, int],
        *,
        version: Literal[4, 6] | None = None,
        longest_lifetime: float | None = None,
        source_port: int = 0,
        tries: int = 3,
    ) -> NatBehaviour:
        """Find out what is between it and a STUN server; see `LabNode.nat_behaviour`."""
        check_discovery(source_port, longest_lifetime, tries)
        asked = server.sync if isinstance(server, Twin) else server
        host, port = await asyncio.to_thread(server_address, self.sync, asked, version)
        return await self.call(discover, host, port, source_port, longest_lifetime, tries)

    async def socket(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
    ) -> socket.socket:
        """A socket of the node's network, in this process; see `Node.socket`."""
        return await make(lambda: self.sync.socket(family, type, proto), socket.socket.close)

    def network(self) -> Network:
        """A context manager: sockets that this task opens inside are the node's.

        Entered with `with`, not `async with`: it does nothing that takes time.
        """
        return self.sync.network()

    async def open_connection(
        self, host: AsyncTarget, port: int, **options: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """`asyncio.open_connection`, from this node's network, in this process's event loop."""
        return await self.sync.open_connection(blocking(host), port, **options)

    async def start_server(
        self,
        client_connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        host: AsyncTarget | None = None,
        port: int | None = None,
        **options: Any,
    ) -> asyncio.Server:
        """`asyncio.start_server`, on this node's network, in this process's event loop."""
        where = None if host is None else blocking(host)
        return await self.sync.start_server(client_connected, where, port, **options)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: AsyncTarget | None = None,
        port: int | None = None,
        **options: Any,
    ) -> asyncio.Server:
        """`loop.create_server`, on this node's network, in this process's event loop."""
        where = None if host is None else blocking(host)
        return await self.sync.create_server(protocol_factory, where, port, **options)


class AsyncDevice(AsyncNode[Device]):
    """A host: the twin of `Device`."""

    add_iface = awaited_handle(Device.add_iface, AsyncIface)
    set_default_route = awaited(Device.set_default_route)


def _told(read: Callable[[Router], T]) -> Told[T]:
    return Told(read)


class AsyncRouter(AsyncNode[Router]):
    """A router: the twin of `Router`."""

    @property
    def upstream(self) -> AsyncRouter | None:
        """The router it is behind; None for one at the IX, or in a region and behind no other."""
        upstream = self.sync.upstream
        return None if upstream is None else AsyncRouter(self.lab, upstream)

    @property
    def region(self) -> AsyncRegion | None:
        """The region it is in, by itself or behind others; None if it is in none."""
        return self.lab.region_of(self)

    uplink_ip = _told(lambda router: router.uplink_ip)
    uplink_ip6 = _told(lambda router: router.uplink_ip6)
    downstream = _told(lambda router: router.downstream)
    downstream6 = _told(lambda router: router.downstream6)
    nat = _told(lambda router: router.nat)
    nat_v6 = _told(lambda router: router.nat_v6)
    ip_support = _told(lambda router: router.ip_support)
    firewall = _told(lambda router: router.firewall)
    block_icmp_frag_needed = _told(lambda router: router.block_icmp_frag_needed)
    downlink_condition = _told(lambda router: router.downlink_condition)

    set_nat = awaited(Router.set_nat)
    set_nat_v6 = awaited(Router.set_nat_v6)
    flush_nat = awaited(Router.flush_nat)
    rebind_nat = awaited(Router.rebind_nat)
    nat_table = awaited(Router.nat_table)
    set_firewall = awaited(Router.set_firewall)
    set_block_icmp_frag_needed = awaited(Router.set_block_icmp_frag_needed)
    port_mapping = _told(lambda router: router.port_mapping)
    port_mappings = _told(lambda router: router.port_mappings)
    pinholes = _told(lambda router: router.pinholes)
    set_port_mapping = awaited(Router.set_port_mapping)
    release = awaited(Router.release)
    hold = awaited(Router.hold)
    set_downlink_condition = awaited(Router.set_downlink_condition)
    ruleset = awaited(Router.ruleset)


class AsyncIx(AsyncNode[Ix]):
    """The internet exchange: the twin of `Ix`."""


AsyncTarget = Target | AsyncNode[Any]


def blocking(target: AsyncTarget) -> Target:
    """What stands for the same address in the blocking twin."""
    return target.sync if isinstance(target, AsyncNode) else target


async def _ends(task: Task[Any], timeout: float) -> bool:
    """Whether a task ends within so many seconds; it is cancelled if its waiter is."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    task.add_done_callback(tell)
    try:
        async with asyncio.timeout(timeout):
            await ended.wait()
    except TimeoutError:
        return False
    except asyncio.CancelledError:
        task.cancel()
        raise
    return True
