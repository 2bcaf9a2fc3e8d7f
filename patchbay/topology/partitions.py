"""Partitions: which packets get lost so that nodes are cut off from each other, and where.

A packet is lost where it comes to what it must not reach, by its source address. Behind NAT that
address is shared with others; then it is lost at the router next to its sender, by the address it is
sent to. If that is shared as well, whoever shares it is cut off from that sender too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import chain, permutations, product

from patchbay.errors import ConfigError, Problem, Problems, nearest
from patchbay.rules.model import Chain, Match, Rule, Table, Value, match
from patchbay.rules.words import ChainType, Family, Field, Hook, Icmpv6Type, Priority, Verdict
from patchbay.topology.domains import domain, hides
from patchbay.topology.graph import LAN_BRIDGE, ancestors, lan_of, networks_of, plugged_in
from patchbay.topology.model import IX, Address, Interface, Partition, Topology
from patchbay.topology.steps import Network

_MOST = 500
"""Subnets that one rule matches: more would not fit into one message to the kernel."""
_DISCOVERY = (Icmpv6Type.ND_NEIGHBOR_SOLICIT, Icmpv6Type.ND_NEIGHBOR_ADVERT)
_SOURCE = {4: Field.IP_SADDR, 6: Field.IP6_SADDR}
_TARGET = {4: Field.IP_DADDR, 6: Field.IP6_DADDR}


@dataclass(slots=True)
class _Losses:
    """What gets lost at one node.

    Attributes:
        sources: where packets come from that must not get in.
        pairs: where packets come from, and where they go, that must not pass.
    """

    sources: set[Network] = field(default_factory=set)
    pairs: dict[frozenset[Network], set[Network]] = field(default_factory=dict)


def partition(topology: Topology, wanted: Partition) -> Topology:
    """Cut sets of nodes off from each other.

    Raises:
        ConfigError: there are less than two sets, a node is none or behind one of another set, or
            there is this partition already.
    """
    problems, place = Problems(), "partition"
    known = [*topology.regions, *topology.routers, *topology.devices]
    if len(wanted.sides) < 2 or not all(wanted.sides):
        problems.add(place, "it takes two sets of nodes or more, none of them empty")
    if wanted.one_way and len(wanted.sides) > 2:
        problems.add(place, "one way leads from one set to one other; these are more")
    for name in dict.fromkeys(chain.from_iterable(wanted.sides)):
        if name not in known:
            problems.add(place, f"there is no node {name!r}", nearest(name, known))
    problems.check()
    for (ours, our), (others, their) in permutations(enumerate(wanted.sides), 2):
        for outer, inner in product(our, their):
            if contains(topology, outer, inner) and (outer != inner or ours < others):
                what = "in two sets" if outer == inner else f"behind {outer!r} of another set"
                problems.add(place, f"{inner!r} is {what}")
    if wanted in topology.partitions:
        problems.add(place, "there is this partition already")
    problems.check()
    return replace(topology, partitions=(*topology.partitions, wanted))


def heal(topology: Topology, which: Partition | None) -> Topology:
    """End a partition, or with None all that there are.

    Raises:
        ConfigError: there is no such partition.
    """
    if which is None:
        return replace(topology, partitions=())
    if which not in topology.partitions:
        raise ConfigError(Problem("partition", "there is none such: it was healed already"))
    return replace(
        topology, partitions=tuple(each for each in topology.partitions if each != which)
    )


def without_member(topology: Topology, name: str) -> Topology:
    """Return the lab without a node in its partitions; one that has no two sets any more ends."""
    left: list[Partition] = []
    for each in topology.partitions:
        sides = tuple(tuple(member for member in side if member != name) for side in each.sides)
        kept = replace(each, sides=tuple(side for side in sides if side))
        one_way_is_left = not each.one_way or len(kept.sides) == len(each.sides)
        if len(kept.sides) > 1 and one_way_is_left and kept not in left:
            left.append(kept)
    return replace(topology, partitions=tuple(left))


def partition_tables(topology: Topology) -> Mapping[str, tuple[Table, ...]]:
    """Return the nftables tables of the nodes that lose packets."""
    losses: defaultdict[str, _Losses] = defaultdict(_Losses)
    for partition in topology.partitions:
        sides = list(permutations(partition.sides, 2))
        for sources, targets in sides[:1] if partition.one_way else sides:
            _cut(topology, losses, _members(topology, sources), _members(topology, targets))
    return {name: (_table(topology, name, found),) for name, found in losses.items()}


def contains(topology: Topology, outer: str, inner: str) -> bool:
    """Whether a node is another one, or all that is plugged into its network is behind that."""
    if outer == inner:
        return True
    if inner in topology.devices:
        lans = [interface.lan for interface in topology.devices[inner].interfaces]
        return bool(lans) and all(contains(topology, outer, lan) for lan in lans)
    router = topology.routers.get(inner)
    return router is not None and outer in ancestors(topology, router)


@dataclass(frozen=True, slots=True)
class _Member:
    """What is cut off: a node, with all that is behind it.

    Attributes:
        name: the node's.
        networks: its subnets and addresses, each with who is at the top of their domain.
        lans: the LANs it is plugged into.
        scope: the routers that are it or behind it.
    """

    name: str
    networks: tuple[tuple[Network, str], ...]
    lans: tuple[str, ...]
    scope: frozenset[str]


def _members(topology: Topology, names: Iterable[str]) -> list[_Member]:
    return [_member(topology, name) for name in names]


def _member(topology: Topology, name: str) -> _Member:
    if name in topology.devices:
        plugs = topology.devices[name].interfaces
        networks = [each for interface in plugs for each in _own(topology, interface)]
        lans = tuple(dict.fromkeys(interface.lan for interface in plugs))
        return _Member(name, tuple(networks), lans, frozenset())
    inside = [
        router
        for router in topology.routers.values()
        if router.name == name or name in ancestors(topology, router)
    ]
    networks = []
    for router in inside:
        for subnet in (router.downstream, router.downstream6):
            if subnet is not None:
                networks.append((subnet, domain(topology.routers, router.name, subnet.version)))
    scope = frozenset(router.name for router in inside)
    if name in topology.regions:
        plugged = [interface for _, interface in plugged_in(topology, name)]
        region = topology.regions[name]
        own: list[Network] = [*networks_of(lan_of(topology, name), plugged), region.downstream6]
        return _Member(name, (*networks, *((each, IX) for each in own)), (), scope)
    uplink = topology.routers[name].uplink
    return _Member(name, (*networks, *_own(topology, uplink)), (uplink.lan,), scope)


def _own(topology: Topology, interface: Interface) -> Iterator[tuple[Network, str]]:
    for address in (interface.address, interface.address6, *interface.extra):
        if address is not None:
            yield _host(address), domain(topology.routers, interface.lan, address.version)


def _host(address: Address) -> Network:
    return ip_network(address.ip)


def _cut(
    topology: Topology,
    losses: Mapping[str, _Losses],
    sources: Iterable[_Member],
    targets: Iterable[_Member],
) -> None:
    for source in sources:
        for target in targets:
            for version in (4, 6):
                known, shared = _seen(topology, source, target, version)
                if not shared:
                    losses[target.name].sources |= known
                    continue
                known, _ = _seen(topology, target, source, version)
                own = frozenset(each for each, _ in source.networks if each.version == version)
                for lan in source.lans:
                    losses[lan].pairs.setdefault(own, set()).update(known)


def _seen(
    topology: Topology, whom: _Member, by: _Member, version: int
) -> tuple[set[Network], bool]:
    """The addresses that one has as another sees them, and whether it shares them with more."""
    tops = {IX}
    for lan in by.lans:
        name = lan
        while name in topology.routers:
            if hides(topology.routers[name], version):
                tops.add(name)
            name = topology.routers[name].upstream
    found: set[Network] = set()
    shared = False
    for network, top in whom.networks:
        if network.version != version:
            continue
        seen: Network | None = network
        while top not in tops and seen is not None:
            shared = shared or top not in whom.scope
            uplink = topology.routers[top].uplink
            outside = uplink.address if version == 4 else uplink.address6
            seen = None if outside is None else _host(outside)
            top = domain(topology.routers, uplink.lan, version)
        if seen is not None:
            found.add(seen)
    return found, shared


def _table(topology: Topology, name: str, losses: _Losses) -> Table:
    into = () if name in topology.devices else (match(Field.OIFNAME, LAN_BRIDGE),)
    entering = [*_drops(losses.sources, _SOURCE)]
    if any(network.version == 6 for network in losses.sources):
        # Who may be written to must be found: that is no more than ARP is for IPv4.
        entering.insert(0, Rule((match(Field.ICMPV6_TYPE, *_DISCOVERY),), (Verdict.ACCEPT,)))
    passing = [*_drops(losses.sources, _SOURCE, into)] if into else []
    for own, targets in losses.pairs.items():
        for part in _parts(own, _SOURCE):
            passing += _drops(
                {each for each in targets if each.version == _version(part)}, _TARGET, (part,)
            )
    chains = (_chain("input", Hook.INPUT, entering), _chain("forward", Hook.FORWARD, passing))
    return Table(
        family=Family.INET,
        name="partition",
        chains=tuple(chain for chain in chains if chain.rules),
    )


def _chain(name: str, hook: Hook, rules: Iterable[Rule]) -> Chain:
    return Chain(
        name=name, type=ChainType.FILTER, hook=hook, priority=Priority.FILTER, rules=tuple(rules)
    )


def _drops(
    networks: Iterable[Network], fields: Mapping[int, Field], first: tuple[Match, ...] = ()
) -> Iterator[Rule]:
    for part in _parts(networks, fields):
        yield Rule((*first, part), (Verdict.DROP,))


def _parts(networks: Iterable[Network], fields: Mapping[int, Field]) -> Iterator[Match]:
    """Yield matches of as many subnets each as a rule takes."""
    every = set(networks)
    v4 = collapse_addresses(each for each in every if isinstance(each, IPv4Network))
    v6 = collapse_addresses(each for each in every if isinstance(each, IPv6Network))
    values: list[tuple[Value, ...]] = [tuple(v4), tuple(v6)]
    for version, merged in zip((4, 6), values, strict=True):
        for begin in range(0, len(merged), _MOST):
            yield match(fields[version], *merged[begin : begin + _MOST])


def _version(part: Match) -> int:
    return 4 if part.field is Field.IP_SADDR else 6
