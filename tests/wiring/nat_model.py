"""What a NAT is, without a kernel: the reference that the rules are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from patchbay.values import NatConfig, NatFiltering, NatMapping, NatPooling, NatPorts

Endpoint = tuple[str, int]
Flow = tuple[Endpoint, Endpoint]
"""An inside endpoint and its peer."""
FEW = 8
"""So many ports of a block can be in use, and another one is drawn from it for certain."""


@dataclass
class PureNat:
    """Mappings and flows of UDP. Time stands still, but for `forget` and `age`.

    Which port a new mapping gets is the NAT's to choose, as far as its settings leave it to it: it
    is told, and checked.
    """

    config: NatConfig
    uplink: str
    """The first of its outside addresses."""
    protocol: ClassVar[str] = "udp"
    mappings: dict[tuple[object, ...], Endpoint] = field(default_factory=dict)
    """The outside endpoint of each mapping, by what the mapping is for."""
    owners: dict[Endpoint, Endpoint] = field(default_factory=dict)
    """Whose the outside endpoints of mappings are."""
    flows: dict[Flow, Endpoint] = field(default_factory=dict)
    """What the peer of each flow sees: an outside endpoint, or the inside one."""
    begun: dict[str, set[Flow]] = field(default_factory=dict)
    """The flows that hosts have begun."""
    paired: dict[str, str] = field(default_factory=dict)
    """The outside addresses that hosts have been given."""
    blocks: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The outside address and the number of the block that hosts draw from."""
    held: set[Endpoint] = field(default_factory=set)
    """Outside endpoints that nobody gets for a while, but who had them."""
    closed: set[tuple[Endpoint, Endpoint]] = field(default_factory=set)
    """Those, and the inside endpoints that had them."""
    tried: dict[Endpoint, set[Flow]] = field(default_factory=dict)
    """Flows that may have tried in vain for a taken endpoint, and, when it was forgotten, its own.

    Where one of them goes on with another, the endpoint is taken for a second longer.
    """
    ghosts: dict[tuple[object, ...], set[tuple[Flow, Endpoint]]] = field(default_factory=dict)
    """Flows that have ended, with their outside endpoints, by what their mapping was for."""
    fresh: set[Endpoint] = field(default_factory=set)
    """Outside endpoints that something was sent from lately."""

    # -- what happens

    def sends(self, inside: Endpoint, peer: Endpoint, seen: Endpoint | None) -> None:
        """An inside socket has sent to a peer, who saw it come from somewhere, or saw nothing."""
        flow = inside, peer
        if flow not in self.flows and self._has_its_share(inside[0]):
            assert seen is None, f"{inside} has more flows than its share"
            return
        known = self._known(inside, peer)
        if known is None:
            for taken in {*self.owners, *self.tried}:
                self.tried.setdefault(taken, set()).add(flow)
            if seen is None:
                assert self._may_be_full(inside), f"{inside} got no port"
                return
            self._check_new(inside, seen)
            self.mappings[self.key(inside, peer)] = seen
            self.owners[seen] = inside
            self.ghosts.pop(self.key(inside, peer), None)
        assert seen is not None, f"{inside} did not reach {peer} from {known}"
        assert known in (None, seen), f"{inside} is seen at {seen} by {peer}, not at {known}"
        if flow not in self.flows:
            self.begun.setdefault(inside[0], set()).add(flow)
        self.flows[flow] = seen
        self.fresh.add(seen)
        self._hold(inside, peer, seen)

    def receives(self, peer: Endpoint, to: Endpoint) -> Endpoint | None:
        """Who gets a packet from a peer to an outside or inside endpoint; None for nobody."""
        inside = self._receiver(peer, to)
        if inside is not None:
            self.flows.setdefault((inside, peer), to)
            self._hold(inside, peer, to)
        return inside

    def forget(self) -> None:
        """Every flow has ended, by its timeout or because the router was told so."""
        for flow, outside in self.flows.items():
            self._bury(flow, outside)
            if outside in self.tried:
                self.tried[outside].add(flow)
        for each in (self.flows, self.begun, self.mappings, self.owners, self.blocks):
            each.clear()

    def age(self) -> None:
        """All that has a lifetime has ended; flows go on."""
        for each in (self.fresh, self.held, self.closed):
            each.clear()

    def rebind(self) -> None:
        """All is forgotten, and what was in use is not used again."""
        self.held |= set(self.flows.values())
        self.forget()
        for each in (self.paired, self.fresh, self.closed, self.ghosts):
            each.clear()

    # -- what there is to ask

    def reaches(self, inside: Endpoint, peer: Endpoint) -> bool:
        """Whether a packet reaches a peer for certain."""
        if (inside, peer) not in self.flows and self._has_its_share(inside[0]):
            return False
        return self._known(inside, peer) is not None or not self._may_be_full(inside)

    def confused(self, peer: Endpoint, to: Endpoint) -> bool:
        """Whether a peer writes to an endpoint while its receiver has another one for this peer.

        The kernel tells flows apart by both their ends, and changes the sender's port.
        """
        inside = self._owner(to) or to
        return self.flows.get((inside, peer), to) != to

    def haunted(self, inside: Endpoint, peer: Endpoint) -> bool:
        """Whether a mapping that has ended may seem alive, while another host has its endpoint.

        The kernel knows flows by their ends: one that was there has ended, until there is one with
        the same ends, whoever has begun it. In a second or two it forgets the mapping altogether.
        """
        key = self.key(inside, peer)
        if (inside, peer) in self.flows or key in self.mappings:
            return False
        return any(
            self.owners.get(outside, inside) != inside
            and ((was, by) in self.flows or outside in self._seen_by(by))
            for (was, by), outside in self.ghosts.get(key, ())
        )

    def targets(self) -> list[Endpoint]:
        """The outside endpoints that lead inside, or may."""
        return sorted([*self.owners, *self._forwards(), *self._twins()])

    def key(self, inside: Endpoint, peer: Endpoint) -> tuple[object, ...]:
        """What the mapping of an inside socket for a peer is for."""
        match self.config.mapping_of(self.protocol):
            case NatMapping.ENDPOINT_INDEPENDENT:
                return (inside,)
            case NatMapping.ADDRESS_DEPENDENT:
                return inside, peer[0]
            case NatMapping.ADDRESS_AND_PORT_DEPENDENT:
                return inside, peer

    def _bury(self, flow: Flow, outside: Endpoint) -> None:
        self.ghosts.setdefault(self.key(*flow), set()).add((flow, outside))

    def _seen_by(self, peer: Endpoint) -> set[Endpoint]:
        """The outside endpoints that a peer has flows with."""
        return {outside for (_, by), outside in self.flows.items() if by == peer}

    # -- out

    def _known(self, inside: Endpoint, peer: Endpoint) -> Endpoint | None:
        """What a peer must see a socket as; None if that is the NAT's to choose."""
        if (inside, peer) in self.flows:
            return self.flows[inside, peer]
        if self._exempt(peer):
            return inside
        for host, outside in self.config.one_to_one:
            if str(host) == inside[0]:
                return str(outside), inside[1]
        for outside, host in self._forwards().items():
            if host == inside:
                return outside
        return self.mappings.get(self.key(inside, peer))

    def _has_its_share(self, host: str) -> bool:
        return self.config.quota is not None and len(self.begun.get(host, ())) >= self.config.quota

    def _check_new(self, inside: Endpoint, seen: Endpoint) -> None:
        address = seen[0]
        assert address in self._addresses(inside[0]), f"{inside} has {address}"
        assert self._may_have(inside, seen), f"{inside} must not have {seen}"
        self._check_block(inside[0], seen)
        if self._keeps_ports():
            same = address, inside[1]
            assert seen == same or not self._must_have(inside, same), f"{same} was not kept"
        if self.config.pooling is NatPooling.PAIRED:
            self.paired[inside[0]] = address

    def _check_block(self, host: str, seen: Endpoint) -> None:
        if self.config.block_size is None:
            return
        block = self._block(seen)
        tenants = self._tenants(block)
        assert tenants <= {host}, f"{seen} is in a block of {tenants}"
        its_own = self.blocks.setdefault(host, block)
        used = [each for each in {*self.owners, *self.held} if self._block(each) == its_own]
        assert block == its_own or len(used) > FEW, f"{host} has {its_own}, and got {seen}"
        self.blocks[host] = block

    def _tenants(self, block: tuple[str, int]) -> set[str]:
        """The hosts that draw from a block."""
        return {inside[0] for each, inside in self.owners.items() if self._block(each) == block}

    def _block(self, outside: Endpoint) -> tuple[str, int]:
        assert self.config.block_size is not None
        return outside[0], outside[1] // self.config.block_size

    def _addresses(self, host: str) -> list[str]:
        """The outside addresses that a new mapping of a host may have."""
        if host in self.paired:
            return [self.paired[host]]
        return [self.uplink, *map(str, self.config.addresses)]

    def _may_be_full(self, inside: Endpoint) -> bool:
        first, last = self._range()
        return not all(
            any(self._must_have(inside, (address, port)) for port in range(first, last + 1))
            for address in self._addresses(inside[0])
        )

    def _may_have(self, inside: Endpoint, outside: Endpoint) -> bool:
        """Whether a new mapping may have an outside endpoint."""
        first, last = self._range()
        if not first <= outside[1] <= last or outside in self._taken():
            return False
        if self.config.parity and (outside[1] - inside[1]) % 2:
            return False
        if outside not in self.held:
            return True
        return self._keeps_ports() and outside[1] == inside[1] and (outside, inside) in self.closed

    def _taken(self) -> set[Endpoint]:
        """The outside endpoints that no new mapping can have."""
        return {*self.owners, *self._forwards()}

    def _must_have(self, inside: Endpoint, outside: Endpoint) -> bool:
        """Whether it may have it, and it is known that nothing keeps it from there."""
        free = self.tried.get(outside, set()).isdisjoint(self.flows)
        return free and self._may_have(inside, outside)

    def _range(self) -> tuple[int, int]:
        return self.config.ports or (1024, 65535)

    def _keeps_ports(self) -> bool:
        choice = self.config.port_choice_of(self.protocol)
        return choice is NatPorts.PRESERVE and self.config.block_size is None

    def _hold(self, inside: Endpoint, peer: Endpoint, seen: Endpoint) -> None:
        """A packet has passed, out or in."""
        if self.config.hold_down and seen in self.owners:
            self.held.add(seen)
            if (inside, peer) in self.begun.get(inside[0], ()):
                self.closed.add((seen, inside))

    # -- in

    def _receiver(self, peer: Endpoint, to: Endpoint) -> Endpoint | None:
        inside = self._owner(to)
        if inside is None:
            return to if self._exempt(peer) or self.flows.get((to, peer)) == to else None
        forwarded = to in self._forwards()
        mapped = to in self.owners and not forwarded
        if mapped and not self.config.inbound_refresh and to not in self.fresh:
            return None
        if forwarded or to in self._twins() or self.flows.get((inside, peer)) == to:
            return inside
        return inside if self._lets_in(peer, to) else None

    def _owner(self, to: Endpoint) -> Endpoint | None:
        return self._forwards().get(to) or self._twins().get(to) or self.owners.get(to)

    def _lets_in(self, peer: Endpoint, to: Endpoint) -> bool:
        heard = [by for (_, by), used in self.flows.items() if used == to]
        match self.config.filtering_of(self.protocol):
            case NatFiltering.ENDPOINT_INDEPENDENT:
                return True
            case NatFiltering.ADDRESS_DEPENDENT:
                return peer[0] in [address for address, _ in heard]
            case NatFiltering.ADDRESS_AND_PORT_DEPENDENT:
                return peer in heard

    # -- what the settings say

    def _exempt(self, peer: Endpoint) -> bool:
        return any(peer[0] == str(each.network_address) for each in self.config.exempt)

    def _forwards(self) -> dict[Endpoint, Endpoint]:
        return {
            (self.uplink, each.port): (str(each.host), each.host_port)
            for each in self.config.forwards
            if each.protocol == self.protocol
        }

    def _twins(self) -> dict[Endpoint, Endpoint]:
        """The inside endpoints of what stands for an outside address, port by port."""
        return {
            (str(outside), port): (str(host), port)
            for host, outside in self.config.one_to_one
            for port in TWIN_PORTS
        }


TWIN_PORTS = (40000, 40001, 39999)
"""The ports that hosts have sockets at."""
