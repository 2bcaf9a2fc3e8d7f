"""The floor of a star: namespaces on one bridge by raw netlink, one process, no library.

    python -m benchmarks.floor_star 100

Prints one JSON line: seconds for the namespaces, the cables, and link up, address and default
route in each; and for as many forks of this small process.
"""

import ctypes
import itertools
import json
import os
import socket
import struct
import sys
import time

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
NEWLINK, NEWADDR, NEWROUTE = 16, 20, 24
REQUEST_AND_ACK, CREATE = 0x5, 0x600

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def link(index: int = 0, *, up: bool = False) -> bytes:
    return struct.pack("BxHiII", 0, 0, index, int(up), int(up))


class Route:
    """A netlink socket of the namespace that it is opened in."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)

    def ask(self, kind: int, flags: int, body: bytes) -> None:
        header = struct.pack("IHHII", 16 + len(body), kind, flags | REQUEST_AND_ACK, 1, 0)
        self.socket.send(header + body)
        (error,) = struct.unpack_from("i", self.socket.recv(1 << 16), 16)
        if error:
            raise OSError(-error, os.strerror(-error))


def namespaces(count: int) -> list[int]:
    found = []
    for _ in range(count):
        checked(libc.unshare(CLONE_NEWNET))
        found.append(os.open("/proc/self/ns/net", os.O_RDONLY))
    return found


def cables(spaces: list[int]) -> None:
    route = Route()
    kind = attribute(18, attribute(1, b"bridge\0"))
    route.ask(NEWLINK, CREATE, link() + attribute(3, b"br0\0") + kind)
    bridge = socket.if_nametoindex("br0")
    route.ask(NEWLINK, 0, link(bridge, up=True))
    for number, space in enumerate(spaces):
        peer = link() + attribute(3, b"eth0\0") + attribute(28, struct.pack("i", space))
        veth = attribute(18, attribute(1, b"veth\0") + attribute(2, attribute(1, peer)))
        name, master = attribute(3, b"v%d\0" % number), attribute(10, struct.pack("I", bridge))
        route.ask(NEWLINK, CREATE, link(up=True) + name + master + veth)


def addresses(spaces: list[int]) -> None:
    gateway = struct.pack(">I", (10 << 24) + 1)
    for number, space in enumerate(spaces):
        checked(libc.setns(space, CLONE_NEWNET))
        route = Route()
        for index in (1, 2):
            route.ask(NEWLINK, 0, link(index, up=True))
        own = struct.pack(">I", (10 << 24) + number + 2)
        address = struct.pack("BBBBI", 2, 8, 0, 0, 2)
        route.ask(NEWADDR, CREATE, address + attribute(2, own) + attribute(1, own))
        default = struct.pack("BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0)
        way = attribute(5, gateway) + attribute(4, struct.pack("I", 2))
        route.ask(NEWROUTE, CREATE, default + way)
        route.socket.close()


def forks(count: int) -> None:
    children = []
    for _ in range(count):
        child = os.fork()
        if not child:
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def main(count: int) -> None:
    if os.geteuid() != 0:
        user, group = os.geteuid(), os.getegid()
        checked(libc.unshare(CLONE_NEWUSER))
        for name, text in (
            ("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1"),
        ):  # fmt: skip
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    checked(libc.unshare(CLONE_NEWNET))
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    times = [time.perf_counter()]
    spaces = namespaces(count)
    checked(libc.setns(home, CLONE_NEWNET))
    times.append(time.perf_counter())
    cables(spaces)
    times.append(time.perf_counter())
    addresses(spaces)
    checked(libc.setns(home, CLONE_NEWNET))
    times.append(time.perf_counter())
    forks(count)
    times.append(time.perf_counter())
    parts = [after - before for before, after in itertools.pairwise(times)]
    report = dict(zip(("namespaces_s", "cables_s", "addresses_s", "fork_s"), parts, strict=True))
    print(json.dumps({"total_s": sum(parts[:3]), **report}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
