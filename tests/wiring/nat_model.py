"""What a NAT is, without a kernel: the reference that the rules are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

from patchbay.values import NatConfig, NatFiltering, NatMapping

Endpoint = tuple[str, int]


@dataclass
class PureNat:
    """Mappings and flows of one protocol; nothing in it ever times out.

    Which port a new mapping gets is the NAT's to choose: it is told, and checked.
    """

    config: NatConfig
    ports: dict[tuple[object, ...], int] = field(default_factory=dict)
    """The outside port of each mapping, by what the mapping is for."""
    owners: dict[int, Endpoint] = field(default_factory=dict)
    flows: dict[tuple[Endpoint, Endpoint], int] = field(default_factory=dict)
    """The outside port of each flow, by its inside and outside ends."""

    def sends(self, inside: Endpoint, peer: Endpoint, port: int) -> None:
        """An inside host has sent to a peer, who saw it come from a port."""
        known = self.flows.get((inside, peer))
        if known is None:
            known = self.ports.get(self.key(inside, peer))
        if known is not None:
            assert port == known, f"moved from {known} to {port}"
        else:
            self._check_new(inside, port)
        self.flows[inside, peer] = port
        self.ports.setdefault(self.key(inside, peer), port)
        self.owners[port] = inside

    def receives(self, peer: Endpoint, port: int) -> Endpoint | None:
        """Who gets a packet from a peer to an outside port; None for nobody."""
        inside = self.owners.get(port)
        if inside is None or not self._lets_in(peer, port):
            return None
        self.flows.setdefault((inside, peer), port)
        return inside

    def confused(self, peer: Endpoint, port: int) -> bool:
        """Whether a peer writes to a mapping while its receiver has another one for this peer."""
        inside = self.owners.get(port)
        return inside is not None and self.flows.get((inside, peer), port) != port

    def key(self, inside: Endpoint, peer: Endpoint) -> tuple[object, ...]:
        """What the mapping of an inside socket for a peer is for."""
        match self.config.mapping:
            case NatMapping.ENDPOINT_INDEPENDENT:
                return (inside,)
            case NatMapping.ADDRESS_DEPENDENT:
                return inside, peer[0]
            case NatMapping.ADDRESS_AND_PORT_DEPENDENT:
                return inside, peer

    def _lets_in(self, peer: Endpoint, port: int) -> bool:
        heard = [by for (_, by), used in self.flows.items() if used == port]
        match self.config.filtering:
            case NatFiltering.ENDPOINT_INDEPENDENT:
                return True
            case NatFiltering.ADDRESS_DEPENDENT:
                return peer[0] in [address for address, _ in heard]
            case NatFiltering.ADDRESS_AND_PORT_DEPENDENT:
                return peer in heard

    def _check_new(self, inside: Endpoint, port: int) -> None:
        assert port not in self.owners, f"{port} belongs to {self.owners[port]}"
        first, last = self.config.ports or (1024, 65535)
        assert first <= port <= last, f"{port} is not in the range"
        keeps = self.config.mapping is NatMapping.ENDPOINT_INDEPENDENT
        if keeps and inside[1] not in self.owners and first <= inside[1] <= last:
            assert port == inside[1], f"{inside[1]} was free, and not kept"
