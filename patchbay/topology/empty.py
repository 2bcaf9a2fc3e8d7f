"""The network that a lab begins with."""

from __future__ import annotations

from patchbay.errors import Problems
from patchbay.topology import available
from patchbay.topology.model import Topology
from patchbay.values import Ipv6Provisioning, LinkEngine, parse


def new_topology(
    name: str,
    *,
    ipv6_provisioning: Ipv6Provisioning | str = Ipv6Provisioning.STATIC,
    ipv6_dad: bool = False,
    link_engine: LinkEngine | str = LinkEngine.AUTO,
    seed: int = 0,
) -> Topology:
    """Return a lab's network with nothing in it but the IX."""
    problems = Problems()
    given: object = name
    if not isinstance(given, str):
        problems.add("name", f"{given!r} is no name: a name is text")
    provisioning = parse(Ipv6Provisioning, ipv6_provisioning, "ipv6_provisioning")
    available.check_provisioning(provisioning, problems, "ipv6_provisioning")
    engine = parse(LinkEngine, link_engine, "link_engine")
    problems.check()
    return Topology(
        name=name,
        ipv6_dad=bool(ipv6_dad),
        ipv6_provisioning=provisioning,
        link_engine=engine,
        seed=seed,
    )
