"""What a NAT does with ICMP, without a kernel: the reference that the rules are compared with.

- *Queries go out, and their answers come back* (RFC 5508 REQ-1): each goes with an outside address
  of its host and with its own identifier, or with another one where somebody else has it with the
  same peer. Nobody but that peer can answer.
- *An error is about a flow, or it is dropped* (REQ-4, REQ-5): it says what it said, of whomever it
  comes from, and the packet in it is as the receiver knows it. What leaves has the NAT's address.
- *No error changes anything* (REQ-6, RFC 4787 REQ-12, RFC 5382 REQ-10), so there is nothing here
  that one could do to the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nat_model import Endpoint, PureNat

from patchbay.values import NatPooling


@dataclass
class PureIcmpNat(PureNat):
    """Queries, whose endpoints are of addresses and identifiers; a peer has the identifier 0."""

    protocol: ClassVar[str] = "icmp"

    def asks(self, inside: Endpoint, peer: Endpoint, seen: Endpoint) -> None:
        """A host has sent a query, and the peer saw it come from somewhere."""
        known = self.flows.get((inside, peer))
        if self._exempt(peer):
            known = inside
        elif (twin := self._twin_of(inside[0])) is not None:
            known = twin, inside[1]
        assert known in (None, seen), f"{inside} is seen at {seen} by {peer}, not at {known}"
        if known is None:
            address, identifier = seen
            assert address in self._addresses(inside[0]), f"{inside} has {address}"
            taken = self._asked(peer)
            assert seen not in taken, f"{inside} and {taken[seen]} are {seen} for {peer}"
            elsewhere = {of for (by, _), (_, of) in self.flows.items() if by == inside}
            kept = identifier in {inside[1], *elsewhere} or (address, inside[1]) in taken
            assert kept, f"{inside} is seen at {seen}, without need"
            if self.config.pooling is NatPooling.PAIRED:
                self.paired[inside[0]] = address
        self.flows[inside, peer] = seen

    def answered(self, peer: Endpoint, to: Endpoint) -> Endpoint | None:
        """Who gets an answer of a peer; None for nobody."""
        inside = self._asked(peer).get(to)
        return to if inside is None and self._exempt(peer) and self._is_inside(to) else inside

    def asked_by(self, peer: Endpoint, to: Endpoint) -> Endpoint | None:
        """Who gets a query of a peer, other than the router itself; None for nobody."""
        for host, outside in self.config.one_to_one:
            if to[0] == str(outside):
                return str(host), to[1]
        return to if self._exempt(peer) and self._is_inside(to) else None

    def _asked(self, peer: Endpoint) -> dict[Endpoint, Endpoint]:
        """The inside endpoints that have asked a peer, by what it has seen."""
        return {seen: inside for (inside, by), seen in self.flows.items() if by == peer}

    def _twin_of(self, host: str) -> str | None:
        twins = {str(inside): str(outside) for inside, outside in self.config.one_to_one}
        return twins.get(host)

    def _is_inside(self, to: Endpoint) -> bool:
        return to[0] not in {self.uplink, *map(str, self.config.outside_addresses)}


def told_inside(model: PureNat, peer: Endpoint, outside: Endpoint) -> Endpoint | None:
    """Whom an error is for that is about a packet from an outside endpoint to a peer (REQ-4).

    Args:
        model: that of the protocol of the packet.
        peer: whom it was sent to.
        outside: where it came from, as whoever tells of it has seen it.
    """
    return next(
        (inside for (inside, by), seen in model.flows.items() if (by, seen) == (peer, outside)),
        None,
    )


def told_outside(model: PureNat, inside: Endpoint, peer: Endpoint) -> Endpoint | None:
    """Which endpoint an error is about and comes from, if a host tells a peer of its packet (REQ-5).

    Args:
        model: that of the protocol of the packet.
        inside: whom it had come to.
        peer: who had sent it.
    """
    return model.flows.get((inside, peer), inside if model._exempt(peer) else None)
