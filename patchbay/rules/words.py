"""The words of nftables and of the packets it looks at, and the numbers behind them."""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag


class Family(Enum):
    """Which packets a table sees; `INET` is both versions of IP."""

    IP = "ip"
    IP6 = "ip6"
    INET = "inet"


class ChainType(Enum):
    """What a chain is for: to decide about packets, or to translate connections."""

    FILTER = "filter"
    NAT = "nat"


class Hook(Enum):
    """Where on their way packets come by a chain."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"


class Priority(IntEnum):
    """The standard places of a chain among those of its hook; any other integer is one too."""

    RAW = -300
    MANGLE = -150
    DSTNAT = -100
    FILTER = 0
    SECURITY = 50
    SRCNAT = 100


class Verdict(Enum):
    """What becomes of a packet, by a rule or by the policy of a chain."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    """Go on where the chain was jumped to from."""


class Field(Enum):
    """What a match looks at. Fields of one protocol imply that the packet is of that protocol."""

    IIFNAME = "iifname"
    IIFTYPE = "iiftype"
    OIFNAME = "oifname"
    NFPROTO = "meta nfproto"
    L4PROTO = "meta l4proto"
    ETHER_SADDR = "ether saddr"
    IP_SADDR = "ip saddr"
    IP_DADDR = "ip daddr"
    IP6_SADDR = "ip6 saddr"
    IP6_DADDR = "ip6 daddr"
    TH_SPORT = "th sport"
    TH_DPORT = "th dport"
    TCP_SPORT = "tcp sport"
    TCP_DPORT = "tcp dport"
    TCP_FLAGS = "tcp flags"
    UDP_SPORT = "udp sport"
    UDP_DPORT = "udp dport"
    ICMP_TYPE = "icmp type"
    ICMP_CODE = "icmp code"
    ICMPV6_TYPE = "icmpv6 type"
    CT_STATE = "ct state"
    CT_STATUS = "ct status"
    CT_DIRECTION = "ct direction"
    CT_MARK = "ct mark"
    """A number that a connection carries, for rules to set and to look at."""
    CT_ORIGINAL_SADDR = "ct original ip saddr"
    CT_ORIGINAL_DADDR = "ct original ip daddr"
    CT_ORIGINAL_SPORT = "ct original proto-src"
    CT_ORIGINAL_DPORT = "ct original proto-dst"
    FIB_DADDR_TYPE = "fib daddr type"
    FIB_SADDR_IIF = "fib saddr . iif oif"
    """Whether the way back to the source leads out of the interface that the packet came in by."""
    RT_TYPE = "rt type"
    """Type of an IPv6 routing header; a packet without one matches nothing."""


class MacAddress(int):
    """A value of `Field.ETHER_SADDR`."""

    @classmethod
    def of(cls, text: str) -> MacAddress:
        """The address that is written like this, with colons."""
        return cls(int(text.replace(":", ""), 16))

    def __str__(self) -> str:
        return self.to_bytes(6, "big").hex(":")


class InterfaceType(IntEnum):
    """Values of `Field.IIFTYPE`."""

    ETHER = 1


class NfProto(IntEnum):
    """Values of `Field.NFPROTO`."""

    IPV4 = 2
    IPV6 = 10


class L4Proto(IntEnum):
    """Values of `Field.L4PROTO`."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ESP = 50
    AH = 51
    ICMPV6 = 58
    SCTP = 132
    HIP = 139


class CtState(IntFlag):
    """Values of `Field.CT_STATE`; several joined match a packet in any one of the states."""

    INVALID = 0x01
    ESTABLISHED = 0x02
    RELATED = 0x04
    NEW = 0x08
    UNTRACKED = 0x40


class CtStatus(IntFlag):
    """Values of `Field.CT_STATUS`; several joined match a connection with any one of the bits."""

    EXPECTED = 0x01
    SEEN_REPLY = 0x02
    ASSURED = 0x04
    CONFIRMED = 0x08
    SNAT = 0x10
    DNAT = 0x20
    DYING = 0x200


class TcpFlag(IntFlag):
    """Values of `Field.TCP_FLAGS`; several joined match a segment with any one of them."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20


class CtDirection(IntEnum):
    """Values of `Field.CT_DIRECTION`."""

    ORIGINAL = 0
    REPLY = 1


class IcmpType(IntEnum):
    """Values of `Field.ICMP_TYPE` (RFC 792)."""

    ECHO_REPLY = 0
    DESTINATION_UNREACHABLE = 3
    REDIRECT = 5
    ECHO_REQUEST = 8
    TIME_EXCEEDED = 11
    PARAMETER_PROBLEM = 12


class Icmpv6Type(IntEnum):
    """Values of `Field.ICMPV6_TYPE` (RFC 4443, RFC 4861, RFC 2710, RFC 3810)."""

    DESTINATION_UNREACHABLE = 1
    PACKET_TOO_BIG = 2
    TIME_EXCEEDED = 3
    PARAMETER_PROBLEM = 4
    ECHO_REQUEST = 128
    ECHO_REPLY = 129
    MLD_LISTENER_QUERY = 130
    MLD_LISTENER_REPORT = 131
    MLD_LISTENER_DONE = 132
    ND_ROUTER_SOLICIT = 133
    ND_ROUTER_ADVERT = 134
    ND_NEIGHBOR_SOLICIT = 135
    ND_NEIGHBOR_ADVERT = 136
    ND_REDIRECT = 137
    MLD2_LISTENER_REPORT = 143


class IcmpCode(IntEnum):
    """Values of `Field.ICMP_CODE` (RFC 792)."""

    FRAG_NEEDED = 4
    """Of `IcmpType.DESTINATION_UNREACHABLE`."""


class Presence(IntEnum):
    """Values of `Field.FIB_SADDR_IIF`."""

    MISSING = 0
    EXISTS = 1


class AddressType(IntEnum):
    """Values of `Field.FIB_DADDR_TYPE`: what the routing table says an address is."""

    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
