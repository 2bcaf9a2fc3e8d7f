"""The language of capture filters: a part of that of tcpdump (pcap-filter(7)), from text to a tree.

    tcp port 443 and not host laptop
    udp and (src net 10.0.0.0/8 or dst portrange 5000-5010)
    icmp6 or arp

A host is an address or the name of a node. Where tcpdump would read `a or b and c` from left to
right and most people would not, parentheses are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Literal, TypeAlias

from patchbay.errors import ConfigError, Problem, Problems, nearest

Side = Literal["src", "dst", "either"]
Network: TypeAlias = IPv4Network | IPv6Network
Lookup: TypeAlias = Callable[[str], Sequence[IPv4Address | IPv6Address]]
"""The addresses of a node's name; raises `ConfigError` if there is none of that name."""

LINK_PROTOCOLS = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806}
"""Ethertypes (IEEE 802 numbers)."""
IP_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "icmp6": 58, "sctp": 132}
"""Protocol numbers (IANA)."""


@dataclass(frozen=True, slots=True)
class Link:
    """Packets of a protocol of the link: `ip`, `ip6`, `arp`."""

    ethertype: int


@dataclass(frozen=True, slots=True)
class Transport:
    """Packets that carry a protocol on IP, such as `tcp`, past the extension headers of IPv6."""

    number: int


@dataclass(frozen=True, slots=True)
class Net:
    """Packets from or to an address of these networks; in ARP, those that are spoken of."""

    side: Side
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """Packets of TCP, UDP or SCTP from or to these ports; of a fragmented one the first."""

    side: Side
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Way:
    """Packets that left the node by the interface, or came in by it."""

    outbound: bool


@dataclass(frozen=True, slots=True)
class Size:
    """Packets of at least (or else at most) so many bytes, with their link-layer header."""

    at_least: bool
    bytes: int


@dataclass(frozen=True, slots=True)
class Not:
    """Packets that something does not hold for."""

    part: Filter


@dataclass(frozen=True, slots=True)
class All:
    """Packets that all of these hold for."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Packets that one of these holds for."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = Link | Transport | Net | Port | Way | Size | Not | All | Some

_TOKEN = re.compile(r"&&|\|\||[()!]|(?:(?!&&|\|\|)[^\s()!])+")
_SYNONYMS = {"&&": "and", "||": "or", "!": "not"}
_KINDS = ("host", "net", "port", "portrange", "proto")
_WORDS = (
    *("and", "or", "not", "src", "dst", "inbound", "outbound", "less", "greater"),
    *(*_KINDS, *LINK_PROTOCOLS, *IP_PROTOCOLS),
)


def parse(text: str, look_up: Lookup) -> Filter:
    """Read a filter.

    Args:
        text: what a person wrote.
        look_up: what names of hosts stand for.

    Raises:
        ConfigError: what is wrong with it, and where.
    """
    return _Parser(text, look_up).parse()


class _Parser:
    """Recursive descent over the words of a filter."""

    def __init__(self, text: str, look_up: Lookup) -> None:
        self._text = text
        self._words = [_SYNONYMS.get(each, each) for each in _TOKEN.findall(text)]
        self._at = 0
        self._look_up = look_up
        self._problems = Problems()

    def parse(self) -> Filter:
        if not self._words:
            raise self._mistake("it is empty; leave it out to record everything")
        found = self._expression()
        if self._at < len(self._words):
            raise self._mistake(*self._unexpected("`and`, `or` or the end"))
        self._problems.check()
        return found

    def _expression(self) -> Filter:
        parts, joined = [self._term()], ""
        while (word := self._peek()) in ("and", "or"):
            if joined and word != joined:
                raise self._mistake(
                    "`and` and `or` are mixed: say by parentheses what belongs together"
                )
            joined = word
            self._at += 1
            parts.append(self._term())
        if not joined:
            return parts[0]
        return All(tuple(parts)) if joined == "and" else Some(tuple(parts))

    def _term(self) -> Filter:
        word = self._peek()
        if word == "not":
            self._at += 1
            return Not(self._term())
        if word == "(":
            self._at += 1
            inside = self._expression()
            if self._peek() != ")":
                raise self._mistake(*self._unexpected("`)`"))
            self._at += 1
            return inside
        return self._primitive()

    def _primitive(self) -> Filter:
        word = self._peek()
        if word in ("inbound", "outbound"):
            self._at += 1
            return Way(outbound=word == "outbound")
        if word in ("less", "greater"):
            self._at += 1
            return Size(word == "greater", self._number(self._value(word), 0xFFFF_FFFF, "bytes"))
        qualifier: Filter | None = None
        if word in LINK_PROTOCOLS:
            qualifier = Link(LINK_PROTOCOLS[word])
        elif word in IP_PROTOCOLS:
            qualifier = Transport(IP_PROTOCOLS[word])
        if qualifier is not None:
            self._at += 1
            if self._peek() not in ("src", "dst", *_KINDS):
                return qualifier
        found = self._located()
        return found if qualifier is None else All((qualifier, found))

    def _located(self) -> Filter:
        side: Side = "either"
        word = self._peek()
        if word == "src" or word == "dst":
            side = "src" if word == "src" else "dst"
            self._at += 1
        kind = self._peek()
        if kind not in _KINDS or (kind == "proto" and side != "either"):
            after = f"after `{side}`, " if side != "either" else ""
            known = "host, net, port or portrange" if after else "what packets to record"
            raise self._mistake(*self._unexpected(f"{after}{known}"))
        self._at += 1
        value = self._value(kind)
        if kind == "host":
            return Net(side, self._host(value))
        if kind == "net":
            return Net(side, self._net(value))
        if kind == "proto":
            return Transport(self._protocol(value))
        first, dash, last = value.partition("-") if kind == "portrange" else (value, "", "")
        if kind == "portrange" and not dash:
            self._note(f"a range of ports is written 5000-5010, not {value!r}")
            return Port(side, 0, 0)
        low = self._number(first, 0xFFFF, "a port")
        high = self._number(last, 0xFFFF, "a port") if dash else low
        if low > high:
            self._note(f"the range of ports {value!r} ends before it begins")
        return Port(side, low, high)

    # -- values

    def _host(self, value: str) -> tuple[Network, ...]:
        try:
            return (ip_network(value),) if "/" not in value else self._net(value)
        except ValueError:
            pass
        try:
            return tuple(ip_network(address) for address in self._look_up(value))
        except ConfigError as error:
            self._problems.extend(error, self._place)
            return ()

    def _net(self, value: str) -> tuple[Network, ...]:
        try:
            return (ip_network(value),)
        except ValueError as error:
            near = None
            try:
                near = str(ip_network(value, strict=False))
            except ValueError:
                self._note(f"{value!r} is no network such as 10.0.0.0/8: {error}")
            else:
                self._note(f"{value!r} has bits set beyond its prefix", near)
            return ()

    def _protocol(self, value: str) -> int:
        if value in IP_PROTOCOLS:
            return IP_PROTOCOLS[value]
        if not value.isdigit():
            self._note(f"{value!r} is no protocol", nearest(value, IP_PROTOCOLS))
            return 0
        return self._number(value, 0xFF, "a protocol")

    def _number(self, value: str, most: int, what: str) -> int:
        if not value.isdecimal() or int(value) > most:
            self._note(f"{what} is a number from 0 to {most}, not {value!r}")
            return 0
        return int(value)

    # -- words

    def _peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def _value(self, after: str) -> str:
        word = self._peek()
        if word in ("", "(", ")", "and", "or", "not"):
            raise self._mistake(*self._unexpected(f"a value after `{after}`"))
        self._at += 1
        return word

    def _unexpected(self, wanted: str) -> tuple[str, str | None]:
        word = self._peek()
        if not word:
            return f"it ends where {wanted} should come", None
        return f"{word!r} stands where {wanted} should come", nearest(word, _WORDS)

    def _note(self, message: str, near: str | None = None) -> None:
        self._problems.add(self._place, message, near)

    def _mistake(self, message: str, near: str | None = None) -> ConfigError:
        self._note(message, near if near != self._peek() else None)
        problems = self._problems
        try:
            problems.check()
        except ConfigError as error:
            return error
        return ConfigError(Problem(self._place, message))

    @property
    def _place(self) -> str:
        return f"filter {self._text!r}"
