"""Which values work; the others are refused with a plain word, since nothing may pretend."""

from __future__ import annotations

from patchbay.errors import ConfigError, Problems
from patchbay.links.choice import EngineChoice, choose, meaningless
from patchbay.links.spec import Flows, LinkSpec
from patchbay.topology.model import Topology
from patchbay.values import (
    Ipv6Provisioning,
    LinkCondition,
    LinkEngine,
    NatV6Mode,
    Schedule,
    TimedCondition,
    Trace,
)


def check_nat_v6(mode: NatV6Mode, problems: Problems, place: str) -> None:
    """Add a problem unless this NAT works."""
    if mode is not NatV6Mode.NONE:
        _refuse(problems, place, mode, (NatV6Mode.NONE,))


def check_condition(
    topology: Topology,
    condition: TimedCondition | None,
    problems: Problems,
    place: str,
    engine: LinkEngine | None = None,
    flows: Flows = (),
) -> None:
    """Add a problem unless an engine that may be chosen can make this condition.

    Of a schedule or a trace, all that packets ever meet is looked at.
    """
    if isinstance(condition, Schedule | Trace):
        found = Problems()
        for each in condition.conditions:
            _check_condition(topology, each, found, place, engine, flows, condition)
        found.pass_on(problems)
    else:
        _check_condition(topology, condition, problems, place, engine, flows)


def _check_condition(
    topology: Topology,
    condition: LinkCondition | None,
    problems: Problems,
    place: str,
    engine: LinkEngine | None,
    flows: Flows,
    timeline: Schedule | Trace | None = None,
) -> None:
    spec = LinkSpec(place, 0, condition or LinkCondition(), flows)
    if spec.clean:
        return
    before = len(problems)
    if (reason := meaningless(spec.condition)) is not None:
        problems.add(place, reason)
    for number, (_, each) in enumerate(flows, 1):
        if (reason := meaningless(each)) is not None:
            problems.add(f"{place}, flow {number}", reason)
    if len(problems) > before:
        return
    try:
        choice_of(topology, spec, engine, timeline)
    except ConfigError as error:
        problems.extend(error, place)


def choice_of(
    topology: Topology,
    spec: LinkSpec,
    engine: LinkEngine | None,
    timeline: Schedule | Trace | None = None,
) -> EngineChoice:
    """Return what makes a link's condition, and all that it becomes by a schedule or a trace.

    Raises:
        ConfigError: nothing that may be chosen can; the text says what helps.
    """
    asked = engine or topology.link_engine
    if topology.link_features is None:
        return EngineChoice(asked, "what the host can do is not known before it runs")
    return choose(asked, spec, frozenset(topology.link_features), timeline)


def check_provisioning(provisioning: Ipv6Provisioning, problems: Problems, place: str) -> None:
    """Add a problem unless this way to get IPv6 addresses works."""
    if provisioning is not Ipv6Provisioning.STATIC:
        _refuse(problems, place, provisioning, (Ipv6Provisioning.STATIC,))


def _refuse(problems: Problems, place: str, value: object, known: tuple[object, ...]) -> None:
    shown = value if isinstance(value, str) else repr(str(value))
    works = " or ".join(repr(str(each)) for each in known)
    problems.add(place, f"{shown} is not available yet; {works} is")
