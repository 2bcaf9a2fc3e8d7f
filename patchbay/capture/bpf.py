"""Filters as programs for the kernel: classic BPF (Documentation/networking/filter.rst).

What protocol a packet carries and where its ports are is found out once, at the beginning, and kept
in the program's memory: past the options of IPv4 and up to four extension headers of IPv6 (RFC
8200 4.1). All tests then look there. Headers are counted from the network layer on
(`SKF_NET_OFF`), so that one program serves any kind of interface.

A program is written from its end to its beginning: where a jump goes is known when it is written.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Network
from typing import NamedTuple, TypeAlias

from patchbay.capture.language import (
    LINK_PROTOCOLS,
    All,
    Filter,
    Link,
    Net,
    Network,
    Not,
    Port,
    Side,
    Size,
    Some,
    Transport,
    Way,
)
from patchbay.errors import ConfigError, Problem

MOST_INSTRUCTIONS = 4096 - 7
"""What the kernel takes (BPF_MAXINSNS), less those of `arriving_from`."""
WHOLE_PACKET = 0x7FFF_FFFF

NETWORK = -0x100000 & 0xFFFF_FFFF
"""SKF_NET_OFF: offsets from here count from the network header."""
ETHERTYPE, PACKET_TYPE = -0x1000 & 0xFFFF_FFFF, (-0x1000 + 4) & 0xFFFF_FFFF
"""SKF_AD_PROTOCOL and SKF_AD_PKTTYPE: what the kernel knows of a packet."""
OUTGOING = 4
"""PACKET_OUTGOING of packet(7)."""

_SOURCE = 6
"""Where an Ethernet header has its source address."""

LD_W, LD_H, LD_B, LD_LEN, LD_IMM, LD_MEM = 0x20, 0x28, 0x30, 0x80, 0x00, 0x60
LD_H_IND, LD_B_IND = 0x48, 0x50
LDX_IMM, LDX_MEM, ST, STX, TAX = 0x01, 0x61, 0x02, 0x03, 0x07
ADD_K, ADD_X, AND_K, LSH_K = 0x04, 0x0C, 0x54, 0x64
JA, JEQ, JGT, JGE, JSET, RET = 0x05, 0x15, 0x25, 0x35, 0x45, 0x06

PROTOCOL, PORTS = 0, 1
"""Cells of the program's memory: the protocol on IP, and where its header begins."""
NOTHING = 0xFFFF
"""In PROTOCOL: this is not IP. In PORTS: there is no such header here."""

_IP, _IP6, _ARP = (LINK_PROTOCOLS[name] for name in ("ip", "ip6", "arp"))
_WITH_PORTS = (6, 17, 132)
_SKIPPED = (0, 43, 60)
"""Extension headers with their length in the second byte: hop-by-hop, routing, destination."""
_FRAGMENT = 44
_MOST_HEADERS = 4

_INSTRUCTION = struct.Struct("=HBBI")

Label: TypeAlias = int
"""A place in a program: how many instructions follow from there on."""


class Instruction(NamedTuple):
    """One instruction: `struct sock_filter`."""

    code: int
    true: int
    false: int
    constant: int


def compile_filter(wanted: Filter | None, snaplen: int | None = None) -> tuple[Instruction, ...]:
    """The program that keeps what a filter is for.

    Args:
        wanted: which packets to keep; None for all.
        snaplen: bytes to keep of each; None for all.

    Raises:
        ConfigError: the kernel takes no program as long as that.
    """
    program = _Program()
    reject = program.add(RET, 0)
    accept = program.add(RET, WHOLE_PACKET if snaplen is None else snaplen)
    if wanted is not None:
        begin = program.jump_to(program.test(wanted, accept, reject))
        if _needs_transport(wanted):
            _find_transport(program, begin)
    code = program.finished()
    if len(code) > MOST_INSTRUCTIONS:
        message = f"it takes {len(code)} instructions, and there may be {MOST_INSTRUCTIONS}"
        raise ConfigError(Problem("filter", message))
    return code


def arriving_from(mac: bytes, program: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
    """A program that keeps the same, but of what arrives only what has this source address."""
    high, low = int.from_bytes(mac[:4]), int.from_bytes(mac[4:])
    return (
        Instruction(LD_W, 0, 0, PACKET_TYPE),
        Instruction(JEQ, 5, 0, OUTGOING),
        Instruction(LD_W, 0, 0, _SOURCE),
        Instruction(JEQ, 0, 2, high),
        Instruction(LD_H, 0, 0, _SOURCE + 4),
        Instruction(JEQ, 1, 0, low),
        Instruction(RET, 0, 0, 0),
        *program,
    )


def packed(program: tuple[Instruction, ...]) -> bytes:
    """A program as an array of `struct sock_filter`."""
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def unpacked(data: bytes) -> tuple[Instruction, ...]:
    """What `packed` made bytes of."""
    return tuple(Instruction(*each) for each in _INSTRUCTION.iter_unpack(data))


def _needs_transport(wanted: Filter) -> bool:
    match wanted:
        case Transport() | Port():
            return True
        case Not(part):
            return _needs_transport(part)
        case All(parts) | Some(parts):
            return any(map(_needs_transport, parts))
    return False


class _Program:
    """Instructions, the last one first."""

    def __init__(self) -> None:
        self._reversed: list[Instruction] = []

    def finished(self) -> tuple[Instruction, ...]:
        return tuple(reversed(self._reversed))

    # -- instructions: each method writes before what there is, and returns the place of it

    def add(self, code: int, constant: int = 0) -> Label:
        """One that what there is already follows."""
        self._reversed.append(Instruction(code, 0, 0, constant))
        return len(self._reversed)

    def jump_to(self, target: Label) -> Label:
        """Have what is at a place follow."""
        distance = len(self._reversed) - target
        return self.add(JA, distance) if distance else target

    def lines(self, target: Label, *lines: tuple[int, int]) -> Label:
        """Several instructions in their order, and then what is at a place."""
        self.jump_to(target)
        for code, constant in reversed(lines):
            self.add(code, constant)
        return len(self._reversed)

    def branch(self, code: int, constant: int, true: Label, false: Label) -> Label:
        """A jump to one of two places. One that is too far for it is reached by a second jump."""
        far = max(len(self._reversed) - place for place in (true, false)) > 0xFD
        if far:
            true, false = self.jump_to(true), self.jump_to(false)
        here = len(self._reversed)
        self._reversed.append(Instruction(code, here - true, here - false, constant))
        return len(self._reversed)

    # -- tests: each has what follows if it holds, and if it does not

    def test(self, wanted: Filter, true: Label, false: Label) -> Label:
        """A whole filter."""
        match wanted:
            case Link(ethertype):
                return self.compare(LD_W, ETHERTYPE, ethertype, true, false)
            case Transport(number):
                return self.compare(LD_MEM, PROTOCOL, number, true, false)
            case Way(outbound):
                true, false = (true, false) if outbound else (false, true)
                return self.compare(LD_W, PACKET_TYPE, OUTGOING, true, false)
            case Size(at_least, size):
                if at_least:
                    self.branch(JGE, size, true, false)
                else:
                    self.branch(JGT, size, false, true)
                return self.add(LD_LEN)
            case Net(side, networks):
                for network in reversed(networks):
                    false = self._network(side, network, true, false)
                return self.jump_to(false)
            case Port():
                return self._port(wanted, true, false)
            case Not(part):
                return self.test(part, false, true)
            case All(parts):
                for part in reversed(parts):
                    true = self.test(part, true, false)
                return self.jump_to(true)
            case Some(parts):
                for part in reversed(parts):
                    false = self.test(part, true, false)
                return self.jump_to(false)

    def compare(self, load: int, where: int, value: int, true: Label, false: Label) -> Label:
        """Whether a load gives a value."""
        self.branch(JEQ, value, true, false)
        return self.add(load, where)

    def _network(self, side: Side, network: Network, true: Label, false: Label) -> Label:
        if isinstance(network, IPv4Network):
            arp = self._either(side, network, (14, 24), true, false)
            arp = self.compare(LD_W, ETHERTYPE, _ARP, self.jump_to(arp), false)
            ip = self._either(side, network, (12, 16), true, false)
            return self.compare(LD_W, ETHERTYPE, _IP, self.jump_to(ip), arp)
        ip6 = self._either(side, network, (8, 24), true, false)
        return self.compare(LD_W, ETHERTYPE, _IP6, self.jump_to(ip6), false)

    def _either(
        self, side: Side, network: Network, offsets: tuple[int, int], true: Label, false: Label
    ) -> Label:
        if side != "src":
            false = self._address(network, offsets[1], true, false)
        if side != "dst":
            false = self._address(network, offsets[0], true, false)
        return self.jump_to(false)

    def _address(self, network: Network, offset: int, true: Label, false: Label) -> Label:
        """Whether the address at an offset of the network header is of a network."""
        value, mask = network.network_address.packed, network.netmask.packed
        for word in reversed(range(0, len(value), 4)):
            bits = int.from_bytes(mask[word : word + 4], "big")
            if not bits:
                continue
            self.branch(JEQ, int.from_bytes(value[word : word + 4], "big"), true, false)
            if bits != 0xFFFF_FFFF:
                self.add(AND_K, bits)
            true = self.add(LD_W, NETWORK + offset + word)
        return self.jump_to(true)

    def _port(self, port: Port, true: Label, false: Label) -> Label:
        found = false
        if port.side != "src":
            found = self._port_at(2, port, true, found)
        if port.side != "dst":
            found = self._port_at(0, port, true, found)
        found = self.add(LDX_MEM, PORTS)
        # a later fragment has no ports; nor has a packet without a header of these protocols
        present = self.branch(JEQ, NOTHING, false, found)
        present = self.add(LD_MEM, PORTS)
        for number in _WITH_PORTS:
            false = self.compare(LD_MEM, PROTOCOL, number, present, false)
        return self.jump_to(false)

    def _port_at(self, offset: int, port: Port, true: Label, false: Label) -> Label:
        self.branch(JGT, port.last, false, true)
        low = len(self._reversed)
        self.branch(JGE, port.first, low, false)
        return self.add(LD_H_IND, NETWORK + offset)


def _find_transport(program: _Program, then: Label) -> Label:
    """Find the protocol on IP and its header, put them into the program's memory, and go on."""
    ip6 = _find_transport6(program, then)
    first_fragment = program.lines(then, (LD_B, NETWORK), (AND_K, 0x0F), (LSH_K, 2), (ST, PORTS))
    program.branch(JSET, 0x1FFF, then, first_fragment)
    program.add(LD_H, NETWORK + 6)
    program.add(ST, PROTOCOL)
    ip = program.add(LD_B, NETWORK + 9)
    other = program.branch(JEQ, _IP6, ip6, then)
    program.branch(JEQ, _IP, ip, other)
    program.add(LD_W, ETHERTYPE)
    program.add(ST, PORTS)
    program.add(ST, PROTOCOL)
    return program.add(LD_IMM, NOTHING)


def _find_transport6(program: _Program, then: Label) -> Label:
    """The same for IPv6: X is where a header begins, A and PROTOCOL what it is."""
    following = then  # with more headers than that it is not known where the ports are
    for _ in range(_MOST_HEADERS):
        end = program.lines(then, (STX, PORTS))
        first = program.lines(following, (LD_IMM, 8), (ADD_X, 0), (TAX, 0), (LD_MEM, PROTOCOL))
        fragment = program.branch(JSET, 0xFFF8, then, first)
        fragment = program.lines(
            fragment, (LD_B_IND, NETWORK), (ST, PROTOCOL), (LD_H_IND, NETWORK + 2)
        )
        skipped = program.lines(
            following,
            *((LD_B_IND, NETWORK), (ST, PROTOCOL)),
            *((LD_B_IND, NETWORK + 1), (ADD_K, 1), (LSH_K, 3), (ADD_X, 0), (TAX, 0)),
            (LD_MEM, PROTOCOL),
        )
        following = program.branch(JEQ, _FRAGMENT, fragment, end)
        for number in _SKIPPED:
            following = program.branch(JEQ, number, skipped, following)
    return program.lines(following, (LDX_IMM, 40), (LD_B, NETWORK + 6), (ST, PROTOCOL))
