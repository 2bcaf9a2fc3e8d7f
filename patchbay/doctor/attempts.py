"""Finding out what the kernel grants by asking for it, in namespaces that end with the process.

The process enters new namespaces, one kind after the other, and asks for one thing of each kind
that labs use. It writes a line about each attempt into a pipe, so that what it has found out
survives whatever becomes of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from ipaddress import IPv4Address
from pathlib import Path
from typing import NoReturn

from actors import linux
from patchbay.doctor.facts import Outcome
from patchbay.rules import encode, nat
from patchbay.values import NatConfig
from patchbay.wiring import netlink
from patchbay.wiring.connection import NETLINK_NETFILTER, NETLINK_ROUTE, Connection

_RTM_NEWLINK, _RTM_NEWQDISC = 16, 36
_NFT_NEWTABLE, _NFT_NEWCHAIN, _CONNTRACK_GET = 0x0A00, 0x0A03, 0x0101
_IFLA_LINKINFO, _IFLA_INFO_KIND = 18, 1
_TCA_KIND, _TCA_OPTIONS, _TCA_TBF_PARMS, _TCA_TBF_BURST = 1, 2, 1, 6
_TC_H_ROOT, _TC_H_CLSACT = 0xFFFFFFFF, 0xFFFFFFF1
_NFTA_TABLE, _NFTA_CHAIN_NAME, _NFTA_CHAIN_HOOK, _NFTA_CHAIN_TYPE = 1, 3, 4, 7
_POSTROUTING, _SOURCE_NAT = 4, 100
_LOOPBACK, _IFF_UP = 1, 1
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_NAMESPACES = {
    "mntns": linux.CLONE_NEWNS,
    "utsns": linux.CLONE_NEWUTS,
    "ipcns": linux.CLONE_NEWIPC,
    "netns": linux.CLONE_NEWNET,
    "pidns": linux.CLONE_NEWPID,
}
_INTERFACE = struct.Struct("=BxHiII")
_QUEUE = struct.Struct("=BxxxiIII")


def attempt_all(tell: int) -> NoReturn:
    """Try everything, write the outcomes into a pipe, and end this process.

    Each line is the JSON of a pair: the name of a capability, and the fields of its `Outcome`.
    """
    _end_after(_Attempts(tell).all)


def _end_after(work: Callable[[], None]) -> NoReturn:
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class _Attempts:
    """What the child tries; its first refusal at a step leaves the steps that rest on it untried."""

    def __init__(self, tell: int) -> None:
        self._tell = tell
        self._works: set[str] = set()

    def all(self) -> None:
        euid, egid = os.geteuid(), os.getegid()
        with self._attempt("userns", "enter a user namespace"):
            linux.unshare(linux.CLONE_NEWUSER)
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {euid} 1")
            Path("/proc/self/gid_map").write_text(f"0 {egid} 1")
        for name, flag in _NAMESPACES.items():
            with self._attempt(name, "enter a namespace of its own"):
                linux.unshare(flag)
                if name == "mntns":
                    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        if "netns" in self._works:
            self._network()
        child = os.fork()
        if child == 0:
            _end_after(self._mounts)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) > 0:
            raise ChildProcessError("the attempts in a process namespace failed")

    def _mounts(self) -> None:
        """What the first process of a new pid namespace can mount, and write below /proc/sys."""
        original = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        current = original
        if "mntns" in self._works:
            hidden = linux.MS_NOSUID | linux.MS_NODEV
            with self._attempt("mntns", "mount a tmpfs"):
                linux.mount("patchbay", "/proc", "tmpfs", hidden, "mode=0700")
            if "pidns" in self._works:
                with self._attempt("proc", "mount /proc"):
                    linux.mount("proc", "/proc", "proc", hidden | linux.MS_NOEXEC)
                    current = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        if "netns" in self._works:
            with self._attempt("sysctl", "write net.ipv4.ip_forward"):
                setting = os.open("sys/net/ipv4/ip_forward", os.O_WRONLY, dir_fd=current)
                os.write(setting, b"1")

    def _network(self) -> None:
        """What the kernel makes in a new, empty network namespace."""
        route = Connection(NETLINK_ROUTE)
        for name, message in _routing_requests().items():
            with self._attempt(name, message.asks):
                route.ask(message)
        with self._attempt("ipv6", "bind ::1"):
            up = _INTERFACE.pack(0, 0, _LOOPBACK, _IFF_UP, _IFF_UP)
            route.ask(netlink.Message(_RTM_NEWLINK, 0, up, "set lo up"))
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
                bound.bind(("::1", 0))
        with self._attempt("nftables", "add a table with a NAT chain"):
            Connection(NETLINK_NETFILTER).transact(_nat_table())
        if "nftables" in self._works:
            with self._attempt("nftables", "add the rules of a NAT (ct count, numgen, sets)"):
                Connection(NETLINK_NETFILTER).transact(_nat_rules())
        with self._attempt("conntrack", "list the connections"):
            family = netlink.NFGENMSG.pack(socket.AF_INET, 0, 0)
            every = netlink.Message(_CONNTRACK_GET, 0, family, "list the connections")
            Connection(NETLINK_NETFILTER).dump(every)
        with self._attempt("tun", "make a TAP interface by /dev/net/tun"):
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("=16sH22x", b"tap", _IFF_TAP | _IFF_NO_PI))

    @contextmanager
    def _attempt(self, name: str, what: str) -> Iterator[None]:
        """Report whether the block works; the last word about a name counts."""
        outcome = Outcome("works")
        try:
            yield
        except OSError as error:
            said = getattr(error, "words", None) or os.strerror(error.errno or 0)
            outcome = Outcome("refused", error.errno or 0, f"{what}: {said}")
        (self._works.add if outcome.state == "works" else self._works.discard)(name)
        os.write(self._tell, json.dumps((name, asdict(outcome))).encode() + b"\n")


def _routing_requests() -> dict[str, netlink.Message]:
    """What the routing half of netlink is asked for, by the name of the capability."""
    delay = netlink.attribute(_TCA_OPTIONS, struct.pack("=6I", 0, 1000, 0, 0, 0, 0))
    return {
        "veth": _link("veth"),
        "bridge": _link("bridge"),
        "ifb": _link("ifb"),
        "tbf": _queue("tbf", _TC_H_ROOT, netlink.NLM_F_EXCL, _tbf_options()),
        "netem": _queue("netem", _TC_H_ROOT, netlink.NLM_F_REPLACE, delay),
        "clsact": _queue("clsact", _TC_H_CLSACT, netlink.NLM_F_EXCL),
    }


def _link(kind: str) -> netlink.Message:
    body = bytes(_INTERFACE.size) + netlink.nested(
        _IFLA_LINKINFO, netlink.text(_IFLA_INFO_KIND, kind)
    )
    flags = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
    return netlink.Message(_RTM_NEWLINK, flags, body, f"make a {kind} interface")


def _queue(kind: str, parent: int, flags: int, options: bytes = b"") -> netlink.Message:
    body = _QUEUE.pack(0, _LOOPBACK, 0, parent, 0) + netlink.text(_TCA_KIND, kind) + options
    return netlink.Message(
        _RTM_NEWQDISC, netlink.NLM_F_CREATE | flags, body, f"put a {kind} queue on lo"
    )


def _tbf_options() -> bytes:
    """One megabyte a second, in bursts of 64 KiB, with a queue as long."""
    rate = struct.pack("=BBHhHI", 0, 0, 0, 0, 0, 1_000_000)
    parameters = rate + bytes(12) + struct.pack("=III", 65536, 1_000_000, 0)
    return netlink.nested(
        _TCA_OPTIONS,
        netlink.attribute(_TCA_TBF_PARMS, parameters),
        netlink.u32(_TCA_TBF_BURST, 65536),
    )


def _nat_rules() -> list[netlink.Message]:
    """All that the rules of a NAT can ask for, and the rejections of a firewall."""
    config = NatConfig(
        addresses=["198.18.0.11"], block_size=64, quota=1, hold_down=1, refuse_syn_after=6
    )
    tables = nat.tables(config, wan="wan", address=IPv4Address("198.18.0.10"))
    return encode.replacement((), tables)


def _nat_table() -> list[netlink.Message]:
    """A table with an empty chain that sees packets after routing, to rewrite their source."""
    family = netlink.NFGENMSG.pack(socket.AF_INET, 0, 0)
    table = netlink.text(_NFTA_TABLE, "doctor")
    hook = netlink.nested(
        _NFTA_CHAIN_HOOK, netlink.be32(1, _POSTROUTING), netlink.be32(2, _SOURCE_NAT)
    )
    chain = netlink.text(_NFTA_CHAIN_NAME, "nat") + hook + netlink.text(_NFTA_CHAIN_TYPE, "nat")
    create = netlink.NLM_F_CREATE
    return [
        netlink.Message(_NFT_NEWTABLE, create, family + table, "make a table"),
        netlink.Message(_NFT_NEWCHAIN, create, family + table + chain, "make a NAT chain"),
    ]
