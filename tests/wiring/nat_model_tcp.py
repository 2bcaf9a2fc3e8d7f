"""What a NAT does with TCP, without a kernel: the reference that the rules are compared with.

Mapping and filtering are those of UDP (RFC 5382 REQ-1, REQ-3), with settings of their own. Beside
that, a connection has a beginning and an end that a NAT can see:

- *Every valid sequence of segments passes* (RFC 5382 REQ-2), so also where both ends begin. What
  neither begins a connection nor belongs to one does not. A connection whose begin was not seen
  may begin with any segment that has an ACK alone (as RFC 6092 REC-32 has it).
- *A closed connection is remembered for a while* (RFC 7857 2.1, 2.2): its segments pass. Whether it
  keeps its mapping is the NAT's to choose, as the RFC has it a SHOULD; its outside endpoint goes to
  nobody else (RFC 6888 REQ-8). It can begin again, and then it may have another endpoint; if it has
  not, it is still the old one, and keeps its mapping or not.
- *What was never answered and is reset is forgotten*: there was no connection (RFC 7857 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from by_hand import ACK, FIN, RST, SYN
from nat_model import Endpoint, Flow, PureNat

from patchbay.values import NatMapping

BEGINS = (SYN, ACK)
"""The flags of segments that a NAT takes for the first one of a connection."""


@dataclass
class PureTcpNat(PureNat):
    """Mappings and connections of TCP. Time stands still, but for what `PureNat` has, and `ends`."""

    protocol: ClassVar[str] = "tcp"
    opening: set[Flow] = field(default_factory=set)
    """Connections of which nothing but SYNs has been seen."""
    answered: set[Flow] = field(default_factory=set)
    """Connections of which segments have passed in both directions."""
    finished: dict[Flow, set[str]] = field(default_factory=dict)
    """The sides, inside or outside, that have sent a FIN."""
    closed_flows: set[Flow] = field(default_factory=set)
    """Connections that both sides have finished, or one has reset."""
    begun_again: set[Flow] = field(default_factory=set)
    """Closed ones that have been begun again, until they are answered."""
    revived: set[Flow] = field(default_factory=set)
    """Open ones that were closed before: whether they keep their mapping is not known."""
    obscure: set[Flow] = field(default_factory=set)
    """Closed ones that somebody tried to begin again in vain: they may be forgotten, or not."""

    # -- what happens

    def leaves(self, inside: Endpoint, peer: Endpoint, flags: int, seen: Endpoint | None) -> None:
        """An inside end has sent a segment, and its peer saw it come from somewhere, or not."""
        flow = inside, peer
        if self._is_untranslated(flow):
            self._pass_untranslated(flow, flags, "inside", seen)
            return
        stays_away = seen is None or self._is_bare(flow, seen)
        if flow in self.closed_flows and flags == SYN:
            if stays_away:
                self._check_vain(flow, seen)
                return
            if seen == self.flows[flow]:
                self._begin_again(flow)
                self.begun.setdefault(inside[0], set()).add(flow)
                self.mappings.setdefault(self.key(inside, peer), seen)
                self._passed(flow, flags, "inside")
                return
            self.ends(inside, peer)
        if stays_away and self._is_out_of_place(flow, flags, "inside"):
            return
        if flow not in self.flows:
            if flags not in BEGINS:
                assert seen is None, f"{inside} sent {peer} what belongs to nothing"
                return
            if seen is None and self._may_have_its_share(inside[0]):
                return
            self._let_dead_mapping_go(inside, peer, seen)
            if flags == SYN and seen is not None:
                self.opening.add(flow)
        self.sends(inside, peer, seen)
        if seen is not None:
            self._passed(flow, flags, "inside")

    def enters(self, peer: Endpoint, to: Endpoint, flags: int, by: Endpoint | None) -> None:
        """A peer has sent a segment to an endpoint, and somebody got it, or nobody."""
        possible = self.receivers(peer, to, flags)
        assert by in possible, f"{peer} sent to {to}: {by} got it, not one of {possible}"
        flow = by or self.owner(to), peer
        if by == to:
            self._pass_untranslated(flow, flags, "outside", to)
            return
        if by is None:
            if len(possible) > 1 and flow in self.closed_flows:
                self.obscure.add(flow)
            return
        if flow in self.closed_flows and flags == SYN:
            self._begin_again(flow)
            self.begun.get(by[0], set()).discard(flow)
        if flow not in self.flows:
            self.flows[flow] = to
            if to in self.owners:
                self.mappings.setdefault(self.key(*flow), to)
            if flags == SYN:
                self.opening.add(flow)
        self._passed(flow, flags, "outside")

    def ends(self, inside: Endpoint, peer: Endpoint) -> None:
        """A connection has been forgotten, by its timeout or because the router was told so."""
        flow = inside, peer
        outside = self.flows.pop(flow, None)
        if outside is None:
            return
        self._bury(flow, outside)
        self.tried.setdefault(outside, set()).add(flow)
        self.begun.get(inside[0], set()).discard(flow)
        self._reset_state(flow)
        for key, mapped in list(self.mappings.items()):
            if not any(self._uses(each, key, mapped) for each in self.flows):
                del self.mappings[key]
        for owned in set(self.owners) - set(self.flows.values()):
            del self.owners[owned]

    def forget(self) -> None:
        super().forget()
        self.finished.clear()
        for each in self._states():
            each.clear()

    # -- what there is to ask

    def surely_leaves(self, inside: Endpoint, peer: Endpoint, flags: int) -> bool:
        """Whether a segment reaches a peer for certain."""
        flow = inside, peer
        if self._is_untranslated(flow):
            return not self._may_refuse_untranslated(flow, flags)
        if flow in self.flows:
            again = flow in self.closed_flows and flags == SYN
            return not again and not self._is_out_of_place(flow, flags, "inside")
        if flags not in BEGINS or self._may_have_its_share(inside[0]):
            return False
        dead = self._is_dead(self.key(inside, peer))
        return self.reaches(inside, peer) and not (dead and self._may_be_full(inside))

    def receivers(self, peer: Endpoint, to: Endpoint, flags: int) -> set[Endpoint | None]:
        """Who may get a segment from a peer to an endpoint; None for nobody."""
        inside = self._owner(to)
        if inside is None:
            mine = self._exempt(peer) or self.flows.get((to, peer)) == to
            return {to if mine else None}
        flow = inside, peer
        if self.flows.get(flow) == to:
            again = flow in self.closed_flows and flags == SYN
            unsure = again or self._is_out_of_place(flow, flags, "outside")
            return {inside, None} if unsure else {inside}
        if flags not in BEGINS:
            return {None}
        if to in self._forwards() or to in self._twins():
            return {inside}
        if not self._lets_in(peer, to):
            return {None}
        return {inside} if self._surely_lets_in(peer, to) else {inside, None}

    def owner(self, to: Endpoint) -> Endpoint:
        """Whose an endpoint is: an inside one is its own."""
        return self._owner(to) or to

    def is_obscure(self, inside: Endpoint, peer: Endpoint) -> bool:
        """Whether nobody outside of the NAT can say what it knows of a connection."""
        flow = inside, peer
        return flow in self.obscure and not self._is_untranslated(flow)

    # -- what keeps what

    def _began(self, flow: Flow) -> str:
        return "inside" if flow in self.begun.get(flow[0][0], ()) else "outside"

    def _is_out_of_place(self, flow: Flow, flags: int, side: str) -> bool:
        """Whether a segment is part of no valid sequence: a SYN of the side that has answered one.

        It comes from who has lost his memory (RFC 9293 3.5.1). A NAT may keep it.
        """
        beyond = flow in self.flows and flow not in self.opening
        return flags == SYN and beyond and side != self._began(flow)

    def _uses(self, flow: Flow, key: tuple[object, ...], mapped: Endpoint) -> bool:
        return self.flows[flow] == mapped and self.key(*flow) == key

    def _keeps(self, flow: Flow, key: tuple[object, ...], mapped: Endpoint) -> bool:
        """Whether a connection keeps a mapping for certain, if it is open.

        One that was begun outside keeps the mapping for all peers; that for one may be kept by what
        is sent there alone (RFC 4787 REQ-6, RFC 5382 REQ-5).
        """
        independent = self.config.mapping_of("tcp") is NatMapping.ENDPOINT_INDEPENDENT
        return self._uses(flow, key, mapped) and (independent or self._began(flow) == "inside")

    def _open(self) -> list[Flow]:
        return [each for each in self.flows if each not in self.closed_flows | self.revived]

    def _is_dead(self, key: tuple[object, ...]) -> bool:
        """Whether there may be no mapping any more for what had one."""
        mapped = self.mappings.get(key)
        if mapped is None:
            return False
        return not any(self._keeps(each, key, mapped) for each in self._open())

    def _let_dead_mapping_go(self, inside: Endpoint, peer: Endpoint, seen: Endpoint | None) -> None:
        """A new connection shows which mappings have ended."""
        key = self.key(inside, peer)
        if self._is_dead(key) and seen != self.mappings[key]:
            del self.mappings[key]
        for other, mapped in list(self.mappings.items()):
            if other != key and mapped == seen and self._is_dead(other):
                del self.mappings[other]

    def _tenants(self, block: tuple[str, int]) -> set[str]:
        """As the blocks are of those who send out: their connections, and no others, keep them."""
        mine = {flow for begun in self.begun.values() for flow in begun} & set(self._open())
        return {flow[0][0] for flow in mine if self._block(self.flows[flow]) == block}

    def _check_block(self, host: str, seen: Endpoint) -> None:
        if host in self.blocks and host not in self._tenants(self.blocks[host]):
            del self.blocks[host]
        super()._check_block(host, seen)

    def _taken(self) -> set[Endpoint]:
        used = {self.flows[each] for each in self._open()}
        return {*(used & set(self.owners)), *self._forwards()}

    def _must_have(self, inside: Endpoint, outside: Endpoint) -> bool:
        return outside not in self.flows.values() and super()._must_have(inside, outside)

    def _may_have_its_share(self, host: str) -> bool:
        """Those begun outside may count, and those begun again may count twice."""
        mine = [flow for flow in self.flows if flow[0][0] == host]
        count = len(mine) + len(self.revived & set(mine))
        return self.config.quota is not None and count >= self.config.quota

    def _has_its_share(self, host: str) -> bool:
        quota, begun = self.config.quota, self.begun.get(host, set())
        return quota is not None and len(begun - self.closed_flows - self.revived) >= quota

    def _surely_lets_in(self, peer: Endpoint, to: Endpoint) -> bool:
        kept, self.flows = self.flows, {each: self.flows[each] for each in self._open()}
        try:
            return to in self.flows.values() and self._lets_in(peer, to)
        finally:
            self.flows = kept

    # -- what is not translated

    def _pass_untranslated(self, flow: Flow, flags: int, side: str, seen: Endpoint | None) -> None:
        """What is for exempt peers passes, whatever it is, but for what is beyond a share."""
        inside, _ = flow
        known = flow in self.flows
        begins = flags in BEGINS and not known
        if seen is None:
            assert self._may_refuse_untranslated(flow, flags)
            return
        assert seen == inside
        if side == "inside" and begins:
            assert not self._has_its_share(inside[0]), f"{inside} has more than its share"
        if begins or (flow in self.closed_flows and flags == SYN):
            self.flows[flow] = inside
            self._begin_again(flow)
            if side == "inside":
                self.begun.setdefault(inside[0], set()).add(flow)
        elif known and flags & (FIN | RST):
            self.closed_flows.add(flow)

    def _is_untranslated(self, flow: Flow) -> bool:
        inside, peer = flow
        return self._exempt(peer) and self.flows.get(flow, inside) == inside

    def _is_bare(self, flow: Flow, seen: Endpoint | None) -> bool:
        """Whether a segment passed for who it is for, while its connection is translated.

        An exempt peer has begun that, with an outside endpoint.
        """
        return self._exempt(flow[1]) and seen == flow[0] != self.flows.get(flow)

    def _may_refuse_untranslated(self, flow: Flow, flags: int) -> bool:
        begins = flags in BEGINS and flow not in self.flows
        again = flags == SYN and flow in self.closed_flows
        return (begins or again) and self._may_have_its_share(flow[0][0])

    # -- the states of a connection

    def _passed(self, flow: Flow, flags: int, side: str) -> None:
        inside, peer = flow
        began = self._began(flow)
        known = flow in self.answered
        if flags != SYN:
            self.opening.discard(flow)
        if side != began:
            self.answered.add(flow)
            self.begun_again.discard(flow)
        if flags & (FIN | RST) and flow in self.answered:
            self._hold_closed(flow, began)
        if flags & RST:
            if known:
                self.closed_flows.add(flow)
            elif flow in self.begun_again:
                self.closed_flows.add(flow)
                self.obscure.add(flow)
            else:
                self.ends(inside, peer)
        if flags & FIN:
            self.finished.setdefault(flow, set()).add(side)
            if len(self.finished[flow]) == 2:
                self.closed_flows.add(flow)

    def _hold_closed(self, flow: Flow, began: str) -> None:
        """Nobody else gets the endpoint while the last segments may come."""
        outside = self.flows[flow]
        if outside in self.owners:
            self.held.add(outside)
            if began == "inside":
                self.closed.add((outside, flow[0]))

    def _check_vain(self, flow: Flow, seen: Endpoint | None) -> None:
        inside, _ = flow
        assert (
            self._began(flow) == "outside"
            or self._is_bare(flow, seen)
            or self._may_be_full(inside)
            or self._may_have_its_share(inside[0])
        )
        self.obscure.add(flow)

    def _begin_again(self, flow: Flow) -> None:
        self._reset_state(flow)
        self.opening.add(flow)
        self.begun_again.add(flow)
        self.revived.add(flow)

    def _reset_state(self, flow: Flow) -> None:
        self.finished.pop(flow, None)
        for each in self._states():
            each.discard(flow)

    def _states(self) -> tuple[set[Flow], ...]:
        known = self.opening, self.answered, self.closed_flows
        return *known, self.begun_again, self.revived, self.obscure

    def _hold(self, inside: Endpoint, peer: Endpoint, seen: Endpoint) -> None:
        """What passes holds nothing: a connection is over when it is closed."""
