"""An IPv4 NAT, spelled out: all that can be said about how a router translates addresses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from patchbay.errors import ConfigError, Problems
from patchbay.values.parsing import (
    NamedEnum,
    is_int,
    is_number,
    is_port,
    is_port_range,
    parse,
    put,
    put_flags,
    put_seconds,
    several,
)

_T = TypeVar("_T")

LOW_PORTS, HIGH_PORTS = (1, 1023), (1024, 65_535)
"""The two ranges that RFC 4787 4.2.2 tells apart."""
MOST_ADDRESSES = 16
"""Outside addresses that a NAT shares out."""


class NatMapping(NamedEnum):
    """For which packets a NAT uses one external address and port again (RFC 4787 4.1)."""

    ENDPOINT_INDEPENDENT = "endpoint_independent"
    ADDRESS_DEPENDENT = "address_dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address_and_port_dependent"


class NatFiltering(NamedEnum):
    """From whom a NAT lets packets in to a mapping (RFC 4787 5)."""

    ENDPOINT_INDEPENDENT = "endpoint_independent"
    ADDRESS_DEPENDENT = "address_dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address_and_port_dependent"


class NatPorts(NamedEnum):
    """How a NAT chooses the external port of a new mapping (RFC 4787 4.2, RFC 6056)."""

    PRESERVE = "preserve"
    """The internal port where it is free, else a random one."""
    RANDOM = "random"
    SEQUENTIAL = "sequential"
    """One after the other."""


class NatPooling(NamedEnum):
    """How a NAT shares out several external addresses (RFC 4787 4.1)."""

    PAIRED = "paired"
    """An internal address always gets the same external one."""
    ARBITRARY = "arbitrary"
    """Every mapping gets any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatTimeouts:
    """How long a NAT remembers an idle flow, in whole seconds.

    The defaults are the shortest that the RFCs allow, and for `udp_stream` what they recommend.

    Attributes:
        udp: a UDP flow that nobody has answered, or that is younger than two seconds (RFC 4787
            REQ-5: no less than 120).
        udp_stream: a UDP flow that has been answered (RFC 4787 REQ-5: 300 or more recommended).
        tcp_established: an open TCP connection (RFC 5382 REQ-5: no less than 7440).
        tcp_opening: one whose opening is under way (RFC 5382 REQ-5: no less than 240).
        tcp_closing: one that is being closed, was closed or reset (RFC 7857 2: 240).
        icmp: an ICMP query (RFC 5508 REQ-2: no less than 60).
    """

    udp: int = 120
    udp_stream: int = 300
    tcp_established: int = 7440
    tcp_opening: int = 240
    tcp_closing: int = 240
    icmp: int = 60

    def __post_init__(self) -> None:
        problems = Problems()
        for name in self.__slots__:
            value = getattr(self, name)
            if not is_int(value) or not 1 <= value < 2**31:
                problems.add(name, f"{value!r} is not a whole number of seconds from 1 on")
        problems.check()


@dataclass(frozen=True, slots=True, init=False)
class PortForward:
    """A port of the router that leads to a host of its LAN, for everybody and for good.

    Attributes:
        protocol: `udp` or `tcp`.
        port: the external port, on the router's own external address.
        host: the internal address: of the router's LAN, or of one behind it that no other NAT
            hides from it. The host need not be there yet.
        host_port: the internal port; the external one if it is not given.
    """

    protocol: str
    port: int
    host: IPv4Address
    host_port: int

    def __init__(
        self, protocol: str, port: int, host: IPv4Address | str, host_port: int | None = None
    ) -> None:
        problems = Problems()
        if protocol not in ("udp", "tcp"):
            problems.add("protocol", f"{protocol!r} is neither 'udp' nor 'tcp'")
        object.__setattr__(self, "protocol", protocol)
        object.__setattr__(self, "port", port)
        put(self, "host", IPv4Address, host, problems)
        object.__setattr__(self, "host_port", port if host_port is None else host_port)
        for name in ("port", "host_port"):
            if not is_port(getattr(self, name)):
                problems.add(name, f"{getattr(self, name)!r} is not a port from 1 to 65535")
        problems.check()


OneToOne = Mapping[IPv4Address | str, IPv4Address | str] | Iterable[tuple[IPv4Address, IPv4Address]]


@dataclass(frozen=True, slots=True, init=False)
class NatConfig:
    """An IPv4 NAT, spelled out.

    Attributes:
        mapping: when an external port is used again.
        filtering: who may send to it.
        hairpin: whether hosts of the LAN reach each other by their external addresses
            (RFC 4787 REQ-9); they see each other's external addresses.
        timeouts: how long idle flows are remembered.
        ports: first and last external port; None for all, low ones for low ones (RFC 4787 REQ-3a).
        tcp_mapping: the mapping of TCP, if it is not that of UDP.
        tcp_filtering: the filtering of TCP, if it is not that of UDP.
        port_choice: how ports are chosen; None to preserve them with endpoint-independent mapping,
            and to draw them with the others.
        parity: whether even ports become even ones and odd ones odd (RFC 4787 REQ-4).
        addresses: external addresses beside the one that the uplink has, in its subnet.
        pooling: how they are shared out.
        one_to_one: pairs of an internal and an external address that stand for each other, all
            protocols and ports, in both directions (RFC 3022 2.1); a mapping is taken as well.
        forwards: ports that lead to a host of the LAN, or of one behind it.
        exempt: destinations that are not translated (RFC 6888 REQ-6); the nodes above then have
            routes to the LAN.
        block_size: ports of the contiguous block that an internal host draws from, a power of two;
            it gets another one when it has used that up (RFC 6888 REQ-14). None for no blocks.
        quota: UDP flows, and TCP connections, that an internal host may have at a time, and so
            external ports at most (RFC 6888 REQ-4). What is more is refused with ICMP. None for any.
        hold_down: seconds for which a port that was given up goes to no other host (RFC 6888
            REQ-8). That of a TCP connection is held for `timeouts.tcp_closing` at least.
        inbound_refresh: whether packets from outside keep a UDP mapping alive as well (RFC 4787
            REQ-6a); those from inside always do.
        refuse_syn_after: seconds after which a TCP SYN from outside that belongs to no mapping is
            answered with "port unreachable" of ICMP, unless its flow has been begun from inside
            meanwhile (RFC 5382 REQ-4: 6 or more); None for never (REQ-4a), which is also what a
            firewall makes of it that blocks inbound flows and has none itself.
        rebind_every: seconds after which all mappings are given up for new ones, again and again;
            None for never.
        rebind_address: whether that changes the external address too.
    """

    mapping: NatMapping
    filtering: NatFiltering
    hairpin: bool
    timeouts: NatTimeouts
    ports: tuple[int, int] | None
    tcp_mapping: NatMapping | None
    tcp_filtering: NatFiltering | None
    port_choice: NatPorts | None
    parity: bool
    addresses: tuple[IPv4Address, ...]
    pooling: NatPooling
    one_to_one: tuple[tuple[IPv4Address, IPv4Address], ...]
    forwards: tuple[PortForward, ...]
    exempt: tuple[IPv4Network, ...]
    block_size: int | None
    quota: int | None
    hold_down: int
    inbound_refresh: bool
    rebind_every: float | None
    rebind_address: bool
    refuse_syn_after: int | None

    def __init__(
        self,
        mapping: NatMapping | str = NatMapping.ENDPOINT_INDEPENDENT,
        filtering: NatFiltering | str = NatFiltering.ADDRESS_AND_PORT_DEPENDENT,
        hairpin: bool = False,
        timeouts: NatTimeouts | None = None,
        ports: tuple[int, int] | None = None,
        *,
        tcp_mapping: NatMapping | str | None = None,
        tcp_filtering: NatFiltering | str | None = None,
        port_choice: NatPorts | str | None = None,
        parity: bool = False,
        addresses: Iterable[IPv4Address | str] = (),
        pooling: NatPooling | str = NatPooling.PAIRED,
        one_to_one: OneToOne = (),
        forwards: Iterable[PortForward] = (),
        exempt: Iterable[IPv4Network | str] = (),
        block_size: int | None = None,
        quota: int | None = None,
        hold_down: int = 0,
        inbound_refresh: bool = True,
        rebind_every: float | None = None,
        rebind_address: bool = False,
        refuse_syn_after: int | None = None,
    ) -> None:
        problems = Problems()
        put(self, "mapping", NatMapping, mapping, problems)
        put(self, "filtering", NatFiltering, filtering, problems)
        put(self, "tcp_mapping", NatMapping, tcp_mapping, problems, optional=True)
        put(self, "tcp_filtering", NatFiltering, tcp_filtering, problems, optional=True)
        put(self, "port_choice", NatPorts, port_choice, problems, optional=True)
        put(self, "pooling", NatPooling, pooling, problems)
        flags = {
            "hairpin": hairpin,
            "parity": parity,
            "inbound_refresh": inbound_refresh,
            "rebind_address": rebind_address,
        }
        put_flags(self, flags, problems)
        typed: object = ports
        plain = {
            "timeouts": NatTimeouts() if timeouts is None else timeouts,
            "ports": tuple(typed) if isinstance(typed, list) else typed,
            "addresses": _all(IPv4Address, addresses, "addresses", problems),
            "one_to_one": _pairs(one_to_one, problems),
            "forwards": tuple(_forwards(forwards, problems)),
            "exempt": _all(IPv4Network, exempt, "exempt", problems),
            "block_size": block_size,
            "quota": quota,
            "hold_down": hold_down,
            "rebind_every": rebind_every,
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        put_seconds(self, "refuse_syn_after", refuse_syn_after, problems)
        self._check_numbers(problems)
        self._check_addresses(problems)
        problems.check()

    def _check_numbers(self, problems: Problems) -> None:
        timeouts: object = self.timeouts
        if not isinstance(timeouts, NatTimeouts):
            problems.add(
                "timeouts", f"{timeouts!r} is not a NatTimeouts, as NatTimeouts(udp=30) is"
            )
        if self.ports is not None and not is_port_range(self.ports):
            message = f"{self.ports!r} is not a first and a last port from 1 to 65535"
            problems.add("ports", message)
            return
        first, last = self.ports or HIGH_PORTS
        size = self.block_size
        if size is not None:
            if not is_int(size) or not 2 <= size <= 2**15 or size & (size - 1):
                message = f"{size!r} is not a power of two from 2 to 32768"
                problems.add("block_size", message)
            elif -(-first // size) + 1 > (last + 1) // size:
                problems.add("block_size", f"no block of {size} ports is within {first} to {last}")
            if self.parity:
                problems.add("parity", "is for ports that are not given out in blocks")
        if self.quota is not None and not (is_int(self.quota) and 1 <= self.quota < 2**31):
            problems.add("quota", f"{self.quota!r} is not a whole number from 1 on")
        if not is_int(self.hold_down) or not 0 <= self.hold_down < 2**22:
            message = f"{self.hold_down!r} is not a whole number of seconds from 0 on"
            problems.add("hold_down", message)
        every = self.rebind_every
        if every is not None and not (is_number(every) and every >= 0.1):
            problems.add("rebind_every", f"{every!r} is not a number of seconds from 0.1 on")
        ports = [(each.protocol, each.port) for each in self.forwards]
        for protocol, port in sorted({each for each in ports if ports.count(each) > 1}):
            problems.add("forwards", f"{protocol} port {port} is forwarded twice")

    def _check_addresses(self, problems: Problems) -> None:
        if len(self.addresses) >= MOST_ADDRESSES:
            message = f"there are {len(self.addresses)}, more than {MOST_ADDRESSES - 1}"
            problems.add("addresses", message)
        used = [*self.addresses, *(outside for _, outside in self.one_to_one)]
        used += [inside for inside, _ in self.one_to_one]
        for address in sorted({each for each in used if used.count(each) > 1}):
            problems.add("addresses", f"{address} is there twice")

    @property
    def outside_addresses(self) -> tuple[IPv4Address, ...]:
        """The external addresses beside the one that the uplink has, those of one host included."""
        return (*self.addresses, *(outside for _, outside in self.one_to_one))

    @property
    def port_count(self) -> int:
        """How many ports there are at each external address, of each protocol."""
        first, last = self.ports or HIGH_PORTS
        return last - first + 1

    def mapping_of(self, protocol: str) -> NatMapping:
        """The mapping of `udp` or `tcp`."""
        own = self.tcp_mapping if protocol == "tcp" else None
        return self.mapping if own is None else own

    def filtering_of(self, protocol: str) -> NatFiltering:
        """The filtering of `udp` or `tcp`."""
        own = self.tcp_filtering if protocol == "tcp" else None
        return self.filtering if own is None else own

    def port_choice_of(self, protocol: str) -> NatPorts:
        """How the ports of `udp` or `tcp` are chosen."""
        if self.port_choice is not None:
            return self.port_choice
        independent = self.mapping_of(protocol) is NatMapping.ENDPOINT_INDEPENDENT
        return NatPorts.PRESERVE if independent else NatPorts.RANDOM


def _all(kind: type[_T], values: object, place: str, problems: Problems) -> tuple[_T, ...]:
    """What was typed as addresses or subnets, but for what is none, which is a problem."""
    found = []
    wanted = "subnets" if kind is IPv4Network else "addresses"
    for value in several(values, place, problems, wanted):
        try:
            found.append(parse(kind, value, place))
        except ConfigError as error:
            problems.extend(error)
    return tuple(found)


def _pairs(typed: object, problems: Problems) -> tuple[tuple[IPv4Address, IPv4Address], ...]:
    found = []
    values = typed.items() if isinstance(typed, Mapping) else typed
    for pair in several(values, "one_to_one", problems, "pairs of addresses"):
        before = len(problems)
        each = _all(IPv4Address, pair, "one_to_one", problems)
        if len(each) == 2:
            found.append((each[0], each[1]))
        elif len(problems) == before:
            message = f"{pair!r} is no pair of an internal and an external address"
            problems.add("one_to_one", message)
    return tuple(found)


def _forwards(typed: object, problems: Problems) -> Iterator[PortForward]:
    for number, each in enumerate(several(typed, "forwards", problems, "PortForwards")):
        if isinstance(each, PortForward):
            yield each
        else:
            problems.add(f"forwards[{number}]", f"{each!r} is not a PortForward")
