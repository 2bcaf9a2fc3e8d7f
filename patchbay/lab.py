"""A lab: a network of real Linux network stacks that lives as long as it is open."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from actors.connection import Connection
from actors.errors import NodeGone
from actors.node import Node
from actors.protocol import Plain
from patchbay.clocked import Clocked
from patchbay.described import Described
from patchbay.errors import PacketProgramFailed, ProgramFailure
from patchbay.finding import Finding
from patchbay.nodes import Device, Router, addresses_of
from patchbay.partitions import LabPartitions
from patchbay.regions import LabRegions
from patchbay.stun_server import add_stun_server
from patchbay.topology.empty import new_topology
from patchbay.topology.model import Topology
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.requests import (
    DeviceRequest,
    RegionRequest,
    Request,
    RouterRequest,
    TrunkRequest,
    device_request,
    router_request,
)
from patchbay.values import (
    Firewall,
    FirewallConfig,
    IfaceConfig,
    IpSupport,
    Ipv6Provisioning,
    LinkEngine,
    Named,
    Nat,
    NatConfig,
    NatV6Mode,
    RouterPreset,
    TimedCondition,
)
from patchbay.watched import Watched, check_options

_KINDS: Mapping[type[Request], str] = {
    RouterRequest: "router",
    DeviceRequest: "device",
    RegionRequest: "region",
    TrunkRequest: "region_link",
}


class Lab(Finding, LabRegions, LabPartitions, Described, Watched, Clocked):
    """A network of namespaces, isolated from the host and from every other lab.

    A context manager; `close()` ends it, and so does the end of this process, in whatever way:
    the kernel takes the processes, namespaces and files of a lab with it. Nothing must be called
    before, no privileges are needed, and this process stays in its own network.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        outdir: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        link_engine: LinkEngine | str = LinkEngine.AUTO,
        ipv6_provisioning: Ipv6Provisioning | str = Ipv6Provisioning.STATIC,
        ipv6_dad: bool = False,
        tls_keys: bool = False,
        metrics_every: float | None = None,
        max_lag_ms: float | None = None,
    ) -> None:
        """Start a lab with nothing in it but the IX.

        Args:
            name: for people, in errors, files and pictures; `lab` if not given.
            outdir: a directory for the event log, the state, and what nodes print; made if
                missing. Nothing is written without it.
            seed: where randomness of the lab begins; drawn if not given, and told as `seed`.
            link_engine: what link conditions are made with that do not say it themselves.
            ipv6_provisioning: how hosts get IPv6 addresses and routes.
            ipv6_dad: whether nodes run duplicate address detection, which takes about a second.
            tls_keys: whether what runs on nodes is asked for its TLS secrets (`SSLKEYLOGFILE`),
                which are then part of captures: they show what was encrypted.
            metrics_every: seconds between two readings of all interfaces' counters, which go to
                `metrics.jsonl` in `outdir`; none are made if not given.
            max_lag_ms: milliseconds that the lab may wake up late before an event
                `timing_untrusted` says so; it wakes up four times in a second to see, for
                `fidelity()` too, and not at all if not given.

        Raises:
            ConfigError: a value is none.
            HostNotCapable: this host cannot run a lab; the text says what mends that.
        """
        topology = new_topology(
            "lab" if name is None else name,
            ipv6_provisioning=ipv6_provisioning,
            ipv6_dad=ipv6_dad,
            link_engine=link_engine,
        )
        check_options(outdir, metrics_every, max_lag_ms)
        self._name = topology.name
        self._seed = int.from_bytes(os.urandom(4), "big") if seed is None else seed
        self._batch: list[Request] | None = None
        self._outdir = None if outdir is None else Path(outdir).absolute()
        if self._outdir is not None:
            self._outdir.mkdir(parents=True, exist_ok=True)
        options: dict[str, Plain] = {
            "name": topology.name,
            "outdir": None if self._outdir is None else str(self._outdir),
            "seed": self._seed,
            "ipv6_provisioning": topology.ipv6_provisioning.value,
            "ipv6_dad": topology.ipv6_dad,
            "tls_keys": tls_keys,
            "link_engine": topology.link_engine.value,
            "metrics_every": metrics_every,
            "max_lag_ms": max_lag_ms,
        }
        self._connection = Connection(topology.name, "patchbay.director:LabDirector", options)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Start a lab from a TOML file; see `patchbay.topology.toml` for what it may say.

        Args:
            path: the file.
            options: those of `Lab`, beside or instead of what the file says.

        Raises:
            ConfigError: all mistakes in the file, with their lines.
            FileNotFoundError: there is no such file.
        """
        from patchbay.topology import toml  # most labs are made in Python

        source = Path(path)
        description = toml.load(source.read_text(encoding="utf-8"), source=str(source))
        topology = description.topology(source.stem)
        lab = cls(
            options.pop("name", topology.name),
            **{
                "ipv6_provisioning": topology.ipv6_provisioning,
                "ipv6_dad": topology.ipv6_dad,
                "link_engine": topology.link_engine,
                **options,
            },
        )
        try:
            lab.request("build", topology=to_plain(topology))
        except BaseException:
            lab.close()
            raise
        return lab

    # -- its life

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except PacketProgramFailed as failed:
            if error is None:
                raise
            error.add_note(str(failed))

    def __repr__(self) -> str:
        state = "closed" if self._connection.closed else "open"
        return f"<{type(self).__name__} {self._name!r} {state}>"

    def close(self) -> None:
        """End the lab: tasks and processes are asked to end, then killed; nothing is left.

        Returns when no process of the lab is left. Closing again does nothing.

        Raises:
            PacketProgramFailed: packet programs of links failed while the lab ran; it is closed
                nevertheless. After another error in a `with` block it becomes a note of that one.
        """
        said = self._connection.close()
        failures = [ProgramFailure(**each) for each in cast("list[dict[str, str]]", said or [])]
        if failures:
            raise PacketProgramFailed(failures)

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def seed(self) -> int:
        """Where its randomness begins."""
        return self._seed

    @property
    def outdir(self) -> Path | None:
        """The run directory; None without one."""
        return self._outdir

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._connection.closed

    # -- adding and removing

    def add_router(
        self,
        name: str,
        *,
        preset: RouterPreset | str | None = None,
        upstream: Named | str | None = None,
        region: Named | str | None = None,
        nat: Nat | NatConfig | str | None = None,
        nat_v6: NatV6Mode | str | None = None,
        ip_support: IpSupport | str | None = None,
        firewall: Firewall | FirewallConfig | str | None = None,
        block_icmp_frag_needed: bool = False,
        port_mapping: bool | None = None,
        downlink: TimedCondition | str | None = None,
        downstream: IPv4Network | str | None = None,
        downstream6: IPv6Network | str | None = None,
        mtu: int | None = None,
    ) -> Router:
        """Add a router, with a LAN of its own.

        Args:
            name: any text without white space and slashes, at most 63 bytes.
            preset: a bundle of NAT, firewall, IP support and addresses; what is given beside it
                overrides it.
            upstream: the router whose LAN its uplink is plugged into; its region, or the IX, if
                not given.
            region: the region it is in; its uplink is plugged into that, or into the LAN of an
                `upstream` in it.
            nat: how it translates IPv4 addresses; not at all if not given.
            nat_v6: how it translates IPv6 addresses; not at all if not given.
            ip_support: which versions of IP it has; both if not given.
            firewall: what it lets through; everything if not given.
            block_icmp_frag_needed: whether it is a black hole for path MTU discovery: nobody learns
                from it, or through it, that packets are too long.
            port_mapping: whether hosts of its LAN can ask for ports by UPnP-IGD, NAT-PMP and PCP.
            downlink: what packets to the hosts of its LAN meet, or a schedule or trace of it.
            downstream: IPv4 subnet of its LAN, such as `"10.64.0.0/18"`; the next free /24 if not
                given.
            downstream6: IPv6 subnet of its LAN; the next free /64 if not given.
            mtu: bytes, of its uplink and its LAN; 1500 if not given.

        Raises:
            ConfigError: all that is wrong with it; nothing was added.
        """
        request = router_request(
            name,
            preset=preset,
            upstream=upstream,
            region=region,
            nat=nat,
            nat_v6=nat_v6,
            ip_support=ip_support,
            firewall=firewall,
            block_icmp_frag_needed=block_icmp_frag_needed,
            port_mapping=port_mapping,
            downlink=downlink,
            downstream=downstream,
            downstream6=downstream6,
            mtu=mtu,
        )
        self._add(request)
        return Router(self, self._connection, name)

    def add_device(
        self,
        name: str,
        gateway: Named | str | None = None,
        *,
        condition: TimedCondition | str | None = None,
        ifaces: Mapping[str, IfaceConfig | Named | str] | None = None,
        default_via: str | None = None,
        mtu: int | None = None,
    ) -> Device:
        """Add a device.

        Args:
            name: any text without white space and slashes, at most 63 bytes.
            gateway: the router whose LAN its one interface, `eth0`, is plugged into.
            condition: what packets of `eth0` meet, in both directions, or a schedule or trace of it.
            ifaces: interfaces by name, instead of one `eth0`: each a router, or an `IfaceConfig`.
            default_via: the interface of the default route; the first if not given.
            mtu: bytes, of interfaces that do not say otherwise; 1500 if not given.

        Raises:
            ConfigError: all that is wrong with it; nothing was added.
        """
        request = device_request(
            name, gateway, condition=condition, ifaces=ifaces, default_via=default_via, mtu=mtu
        )
        self._add(request)
        return Device(self, self._connection, name)

    stun_server = add_stun_server

    def remove(self, node: Named | str) -> None:
        """Remove a device, a router or a region, with every process that runs there.

        With a region go its links to other regions.

        Raises:
            ConfigError: there is none of this name, or something is plugged into its LAN.
        """
        name = node if isinstance(node, str) else node.name
        if isinstance(node, str):
            self.request("find", name=name)
        self.request("remove", node=name)
        self._connection.forget(name)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Plan and build what is added inside together, in parallel, when the block ends.

        Handles can be passed on at once, and used once the block has ended. If anything is wrong
        with any of it, or the block raises, nothing is built.

        Raises:
            ConfigError: all mistakes of everything that was added.
        """
        if self._batch is not None:
            raise RuntimeError("a batch is open already, and is built as a whole")
        self._batch = []
        try:
            yield
            requests, self._batch = self._batch, None
        finally:
            self._batch = None
        self._build(requests)

    def _add(self, *requests: Request) -> None:
        if self._batch is not None:
            self._batch += requests
        else:
            self._build([*requests])

    def _build(self, requests: list[Request]) -> None:
        if not requests:
            return
        told: Plain = [[_KINDS[type(each)], to_plain(each)] for each in requests]
        self.request("add", requests=told)

    # -- names

    def dns_entry(self, name: str, address: IPv4Address | IPv6Address | str | Node) -> None:
        """Have a name resolve on every node, to an address or to the addresses of a node."""
        self.add_name(name, address, None)

    def resolve(self, name: str) -> IPv4Address | IPv6Address:
        """What a name resolves to on a node without entries of its own.

        Raises:
            ConfigError: nothing has that name.
        """
        return self.look_up(name, None)

    def add_name(
        self, name: str, address: IPv4Address | IPv6Address | str | Node, node: str | None
    ) -> None:
        """Have a name resolve, on one node or, with None, on all."""
        known: Plain = list(addresses_of(address))
        self.request("dns_entry", name=name, addresses=known, node=node)

    def look_up(self, name: str, node: str | None) -> IPv4Address | IPv6Address:
        """What a name resolves to, on one node or, with None, on those without own entries."""
        return ip_address(cast("str", self.request("resolve", name=name, node=node)))

    # -- what it is, to read and to keep

    def topology(self) -> Topology:
        """The whole network as it is now: frozen dataclasses."""
        return from_plain(Topology, self.request("topology"))

    # -- how

    def request(self, method: str, **arguments: Plain) -> Plain:
        """Ask the lab's supervisor; for the handles of this package."""
        return self.request_with((), method, **arguments)

    def request_with(self, given: Sequence[int], method: str, **arguments: Plain) -> Plain:
        """The same, with descriptors that go along; they stay open here."""
        if self._batch:
            about = arguments.get("node", arguments.get("name"))
            if about in {request.name for request in self._batch}:
                raise NodeGone(
                    f"node {about!r} is not built yet: it is, once the `with lab.batch()` block ends"
                )
        return self._connection.request_with(given, method, **arguments)
