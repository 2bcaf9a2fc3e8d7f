"""The outside addresses that a NAT has beside that of its uplink: whose they are."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from patchbay.topology.allocate import Ledger
from patchbay.topology.graph import lan_of
from patchbay.topology.model import Interface
from patchbay.topology.requests import RouterRequest
from patchbay.values import Nat, NatConfig

if TYPE_CHECKING:
    from patchbay.topology.draft import Draft


def keep_outside(ledger: Ledger, request: RouterRequest) -> None:
    """Keep what a router asks for from being given to another node before it is its turn."""
    if isinstance(request.nat, NatConfig):
        for address in request.nat.outside_addresses:
            ledger.keep(request.upstream, IPv4Interface(address))


def claim_outside(draft: Draft, place: str, nat: Nat | NatConfig, uplink: Interface) -> None:
    """Take what a router's NAT needs on its uplink, of the subnet of that; or add problems."""
    wanted = nat.outside_addresses if isinstance(nat, NatConfig) else ()
    if not wanted:
        return
    place = f"{place}, nat, addresses"
    if uplink.address is None:
        draft.problems.add(place, "its uplink has no IPv4")
        return
    lan = lan_of(draft, uplink.lan)
    for address in wanted:
        draft.chosen_network(lan, IPv4Interface(address), [uplink.address.network], place)
