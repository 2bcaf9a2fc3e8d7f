"""Filters as programs: run here by a machine of our own, and taken by the kernel's checker."""

import ctypes
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbay.capture import machine
from patchbay.capture.bpf import Instruction, compile_filter, packed, unpacked
from patchbay.capture.language import All, Link, Net, Not, Port, Size, Some, Transport, Way, parse
from patchbay.errors import ConfigError

A, B = ip_address("10.0.0.1"), ip_address("10.200.3.4")
A6, B6 = ip_address("2001:db8::1"), ip_address("fd10::2")


@dataclass(frozen=True)
class Packet:
    """What a test says of a packet: the truth that a program is held against."""

    ethertype: int
    network: bytes
    protocol: int | None = None
    addresses: tuple = ()
    ports: tuple = ()
    outbound: bool = False

    @property
    def size(self):
        return 14 + len(self.network)


def ip4(source, target, protocol, payload, ports=(), *, options=b"", fragment=0, **more):
    header = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, fragment),
        *(64, protocol, 0, source.packed, target.packed),
    )
    data = header + options + payload
    return Packet(0x0800, data, protocol, (source, target), ports, **more)


def ip6(source, target, headers, protocol, payload, ports=(), **more):
    """Headers are pairs of a number and bytes; what is next is put into their first byte."""
    numbers = [*(number for number, _ in headers), protocol]
    chain = b"".join(
        bytes((following,)) + data[1:]
        for following, (_, data) in zip(numbers[1:], headers, strict=True)
    )
    length = len(chain) + len(payload)
    head = struct.pack("!IHBB", 6 << 28, length, numbers[0], 64)
    data = head + source.packed + target.packed + chain + payload
    return Packet(0x86DD, data, protocol, (source, target), ports, **more)


def arp(source, target):
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return Packet(
        0x0806, head + bytes(6) + source.packed + bytes(6) + target.packed, None, (source, target)
    )


def with_ports(source, target, rest=16):
    return struct.pack("!HH", source, target) + bytes(rest)


OPTIONS = (60, bytes(8))
HOP_BY_HOP = (0, bytes((0, 1)) + bytes(14))
FIRST_FRAGMENT = (44, struct.pack("!BBHI", 0, 0, 1, 9))
LATER_FRAGMENT = (44, struct.pack("!BBHI", 0, 0, 8 << 3, 9))

PACKETS = {
    "tcp": ip4(A, B, 6, with_ports(4000, 443), (4000, 443)),
    "udp": ip4(B, A, 17, with_ports(53, 5005), (53, 5005), outbound=True),
    "sctp": ip4(B, A, 132, with_ports(1, 2), (1, 2)),
    "icmp": ip4(A, B, 1, bytes((8, 0, 0, 53)) + bytes(8)),
    "with options": ip4(A, B, 17, with_ports(9, 53), (9, 53), options=bytes(8)),
    "first fragment": ip4(A, B, 17, with_ports(9, 53), (9, 53), fragment=0x2000),
    "later fragment": ip4(A, B, 17, with_ports(9, 53), fragment=0x0010),
    "tcp on ip6": ip6(A6, B6, [], 6, with_ports(443, 4000), (443, 4000)),
    "behind headers": ip6(B6, A6, [HOP_BY_HOP, OPTIONS], 17, with_ports(53, 1), (53, 1)),
    "first fragment on ip6": ip6(A6, B6, [FIRST_FRAGMENT], 17, with_ports(9, 53), (9, 53)),
    "later fragment on ip6": ip6(A6, B6, [LATER_FRAGMENT], 17, with_ports(9, 53)),
    "icmp6": ip6(A6, B6, [], 58, bytes(1200), outbound=True),
    "arp": arp(A, B),
    "something else": Packet(0x88CC, bytes(60)),
}


def holds(wanted, packet):
    """What a filter means, said in another way."""
    match wanted:
        case Link(ethertype):
            return packet.ethertype == ethertype
        case Transport(number):
            return packet.protocol == number
        case Net(side, networks):
            ends = {"src": packet.addresses[:1], "dst": packet.addresses[1:]}.get(
                side, packet.addresses
            )
            return any(end in network for end in ends for network in networks)
        case Port(side, first, last):
            ends = {"src": packet.ports[:1], "dst": packet.ports[1:]}.get(side, packet.ports)
            return any(first <= end <= last for end in ends)
        case Way(outbound):
            return packet.outbound == outbound
        case Size(at_least, size):
            return packet.size >= size if at_least else packet.size <= size
        case Not(part):
            return not holds(part, packet)
        case All(parts):
            return all(holds(part, packet) for part in parts)
        case Some(parts):
            return any(holds(part, packet) for part in parts)


def run(program, packet):
    """What a program returns, on our machine."""
    frame = bytes(12) + packet.ethertype.to_bytes(2, "big") + packet.network
    return machine.kept(program, memoryview(frame), packet.size, outbound=packet.outbound)


def kept(program):
    return {name for name, packet in PACKETS.items() if run(program, packet)}


def meant(wanted):
    return {name for name, packet in PACKETS.items() if holds(wanted, packet)}


def attach(program):
    """Have the kernel check a program."""
    code = ctypes.create_string_buffer(packed(program))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(
            socket.SOL_SOCKET, 26, struct.pack("HP", len(program), ctypes.addressof(code))
        )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("arp", {"arp"}),
        ("icmp", {"icmp"}),
        ("icmp6", {"icmp6"}),
        ("tcp", {"tcp", "tcp on ip6"}),
        ("ip6 and udp", {"behind headers", "first fragment on ip6", "later fragment on ip6"}),
        (
            "port 53",
            {"udp", "with options", "first fragment", "behind headers", "first fragment on ip6"},
        ),
        ("dst portrange 443-4000", {"tcp", "tcp on ip6"}),
        ("src port 53", {"udp", "behind headers"}),
        ("src host 10.200.3.4", {"udp", "sctp"}),
        ("dst net 2001:db8::/32", {"behind headers"}),
        ("outbound", {"udp", "icmp6"}),
        ("greater 1000", {"icmp6"}),
        ("proto 132", {"sctp"}),
    ],
)
def test_a_filter_keeps(text, names):
    program = compile_filter(parse(text, lambda name: []))

    assert kept(program) == names
    attach(program)


def test_no_filter_keeps_everything():
    assert kept(compile_filter(None)) == set(PACKETS)


def test_what_is_kept_of_a_packet_is_what_the_program_returns():
    assert run(compile_filter(parse("tcp", lambda name: []), 96), PACKETS["tcp"]) == 96


def test_a_packet_that_ends_before_what_is_asked_for_is_not_kept():
    program = compile_filter(parse("tcp port 443", lambda name: []))
    frame = bytes(12) + b"\x08\x00" + PACKETS["tcp"].network

    assert machine.kept(program, memoryview(frame)[:38], len(frame), outbound=False)
    assert not machine.kept(program, memoryview(frame)[:36], len(frame), outbound=False)


def test_a_program_survives_the_way_to_the_kernel():
    program = compile_filter(parse("tcp port 80", lambda name: []))

    assert unpacked(packed(program)) == program
    assert isinstance(program[0], Instruction)


SIDES = st.sampled_from(["src", "dst", "either"])
NETWORKS = st.sampled_from(
    [
        ip_network(each)
        for each in ("10.0.0.0/8", "10.0.0.1", "0.0.0.0/0", "::/0", "fc00::/7", "2001:db8::1")
    ]
)
LEAVES = st.one_of(
    st.builds(Link, st.sampled_from([0x0800, 0x86DD, 0x0806])),
    st.builds(Transport, st.sampled_from([1, 6, 17, 58])),
    st.builds(Net, SIDES, st.lists(NETWORKS, min_size=1, max_size=3).map(tuple)),
    st.builds(Port, SIDES, st.sampled_from([1, 53, 443]), st.sampled_from([443, 500, 65535])),
    st.builds(Way, st.booleans()),
    st.builds(Size, st.booleans(), st.sampled_from([0, 50, 60, 1000])),
)
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(All, st.lists(parts, min_size=1, max_size=4).map(tuple)),
        st.builds(Some, st.lists(parts, min_size=1, max_size=4).map(tuple)),
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(FILTERS)
def test_any_filter_keeps_what_it_means(wanted):
    program = compile_filter(wanted)

    assert kept(program) == meant(wanted)
    attach(program)


@pytest.mark.parametrize("last", ["10.0.0.1", "192.0.2.77"])
def test_a_filter_of_many_hosts_jumps_far(last):
    hosts = tuple(
        ip_network(each) for each in [*(f"192.0.2.{last}" for last in range(1, 200)), last]
    )
    wanted = Not(Some((Link(0x86DD), Net("src", hosts))))
    program = compile_filter(wanted)

    assert len(program) > 512
    assert kept(program) == meant(wanted)
    attach(program)


def test_a_filter_too_long_for_the_kernel_is_told():
    hosts = tuple(ip_network(f"10.{high}.{low}.1") for high in range(8) for low in range(250))
    with pytest.raises(ConfigError, match="instructions, and there may be 4089"):
        compile_filter(Net("either", hosts))
