"""Which values work; the others are refused with a plain word, since nothing may pretend."""

from __future__ import annotations

from patchbay.errors import Problems
from patchbay.values import Ipv6Provisioning, LinkCondition, NatV6Mode


def check_nat_v6(mode: NatV6Mode, problems: Problems, place: str) -> None:
    """Add a problem unless this NAT works."""
    if mode is not NatV6Mode.NONE:
        _refuse(problems, place, mode, (NatV6Mode.NONE,))


def check_condition(condition: LinkCondition | None, problems: Problems, place: str) -> None:
    """Add a problem unless this condition works."""
    if condition is not None and not condition.perfect:
        problems.add(place, "a link condition other than 'lan' is not available yet")


def check_provisioning(provisioning: Ipv6Provisioning, problems: Problems, place: str) -> None:
    """Add a problem unless this way to get IPv6 addresses works."""
    if provisioning is not Ipv6Provisioning.STATIC:
        _refuse(problems, place, provisioning, (Ipv6Provisioning.STATIC,))


def _refuse(problems: Problems, place: str, value: object, known: tuple[object, ...]) -> None:
    shown = value if isinstance(value, str) else repr(str(value))
    works = " or ".join(repr(str(each)) for each in known)
    problems.add(place, f"{shown} is not available yet; {works} is")
