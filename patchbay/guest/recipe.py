"""What a guest kernel is built from, besides its source: the packaged configuration and patches."""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything of ours that goes into a kernel.

    Attributes:
        fragment: the options that are merged over `allnoconfig`.
        patches: the patches for the source, by file name.
        init: the C source of the first process in the guest, by file name.
    """

    fragment: str
    patches: dict[str, str]
    init: dict[str, str]

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that change when the kernel has to be built again."""
        return _digest(self.fragment, *(self.patches[name] for name in sorted(self.patches)))

    @property
    def init_key(self) -> str:
        """Eight hexadecimal digits that change when only the first process has to be."""
        return _digest(*(self.init[name] for name in sorted(self.init)))


@functools.cache
def recipe() -> Recipe:
    """The recipe that this version of patchbay comes with."""
    data = Path(__file__).parent / "data"
    return Recipe(
        fragment=(data / "lab.config").read_text(),
        patches={each.name: each.read_text() for each in (data / "patches").glob("*.patch")},
        init={name: (data / name).read_text() for name in ("init.c", "processes.h")},
    )


FEATURES = {
    "virtual time": "UML_TIME_TRAVEL_SUPPORT",
    "namespaces": "NET_NS",
    "netem": "NET_SCH_NETEM",
    "tbf": "NET_SCH_TBF",
    "htb": "NET_SCH_HTB",
    "fq_codel": "NET_SCH_FQ_CODEL",
    "cake": "NET_SCH_CAKE",
    "nftables": "NF_TABLES_INET",
    "NAT": "NFT_NAT",
    "conntrack": "NF_CT_NETLINK",
    "IPv6": "IPV6",
    "bridge": "BRIDGE",
    "VLAN": "VLAN_8021Q",
    "VXLAN": "VXLAN",
    "VRF": "NET_VRF",
    "TUN": "TUN",
    "WireGuard": "WIREGUARD",
    "MPTCP": "MPTCP",
    "BPF": "BPF_SYSCALL",
    "BBR": "TCP_CONG_BBR",
}
"""What people look for in a kernel, and the option that stands for it."""


def features(config: str) -> tuple[str, ...]:
    """The features that a kernel with this configuration has."""
    enabled = set(re.findall(r"^CONFIG_(\w+)=y$", config, re.MULTILINE))
    return tuple(name for name, option in FEATURES.items() if option in enabled)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]
