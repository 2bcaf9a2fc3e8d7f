"""What packets meet that leave by an interface, with the engine that makes it."""

from __future__ import annotations

from patchbay.errors import ConfigError, Problem
from patchbay.links.spec import Flows, LinkSpec
from patchbay.topology.available import choice_of
from patchbay.topology.graph import LAN_BRIDGE
from patchbay.topology.model import Playing, Router, Topology
from patchbay.topology.steps import Link
from patchbay.values import MTU_DEFAULT, LinkCondition, LinkEngine


def make_link(
    topology: Topology,
    name: str,
    condition: LinkCondition | None,
    engine: LinkEngine | None,
    mtu: int,
    flows: Flows = (),
    playing: Playing | None = None,
) -> Link | None:
    """Return what an interface is told of what packets meet; None for a clean link.

    Raises:
        ConfigError: this host cannot do it with the engine that was asked for.
    """
    spec = LinkSpec(name, topology.seed, condition or LinkCondition(), flows)
    if spec.clean:
        return None
    timeline = None if playing is None else playing.timeline
    try:
        return Link(spec=spec, choice=choice_of(topology, spec, engine, timeline), mtu=mtu)
    except ConfigError as error:
        raise ConfigError(
            Problem(f"link {name}", each.message, each.nearest) for each in error.problems
        ) from None


def downlink(topology: Topology, router: Router) -> Link | None:
    """Return what packets meet that a router sends into its LAN; None for nothing."""
    return make_link(
        topology,
        f"{router.name}/{LAN_BRIDGE}/up",
        router.downlink,
        router.downlink_engine,
        router.mtu or MTU_DEFAULT,
        router.downlink_flows,
        router.downlink_playing,
    )
