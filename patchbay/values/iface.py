"""`IfaceConfig`: an interface to be made."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Protocol

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.values.parsing import check_mtu, parse_mac, put
from patchbay.values.timed import TimedCondition, parse_condition


class Named(Protocol):
    """Anything with a name, such as the handle of a router."""

    @property
    def name(self) -> str:
        """Its name."""


def name_of(value: Named | str) -> str:
    """Return the name of a handle; a name is its own.

    Raises:
        ConfigError: it is neither.
    """
    name: object = value if isinstance(value, str) else getattr(value, "name", None)
    if not isinstance(name, str):
        raise ConfigError(Problem("", f"{value!r} is neither a router nor a name"))
    return name


@dataclass(frozen=True, slots=True, init=False)
class IfaceConfig:
    """An interface to be made: where it is plugged in, and what shall not be left to chance.

    Attributes:
        router: name of the router whose LAN it is plugged into.
        address: its IPv4 address; None for the lowest that is free.
        address6: its IPv6 address; None for the lowest that is free.
        mac: its hardware address; None for one made from the number of its cable.
        mtu: bytes; None for the device's.
        up: whether it is up from the start.
        condition: what packets meet, in both directions, or a schedule or trace of it; None for
            nothing.
    """

    router: str
    address: IPv4Interface | None
    address6: IPv6Interface | None
    mac: str | None
    mtu: int | None
    up: bool
    condition: TimedCondition | None

    def __init__(
        self,
        router: str | Named,
        *,
        address: IPv4Interface | IPv4Address | str | None = None,
        address6: IPv6Interface | IPv6Address | str | None = None,
        mac: str | None = None,
        mtu: int | None = None,
        up: bool = True,
        condition: TimedCondition | str | None = None,
    ) -> None:
        problems = Problems()
        store = object.__setattr__
        store(self, "router", None)
        try:
            store(self, "router", name_of(router))
        except ConfigError as error:
            problems.extend(error)
        store(self, "up", bool(up))
        store(self, "mtu", mtu)
        if mtu is not None:
            check_mtu(mtu, problems)
        put(self, "address", IPv4Interface, address, problems, optional=True)
        put(self, "address6", IPv6Interface, address6, problems, optional=True)
        store(self, "condition", None)
        if condition is not None:
            try:
                store(self, "condition", parse_condition(condition, "condition"))
            except ConfigError as error:
                problems.extend(error)
        store(self, "mac", None)
        if mac is not None:
            try:
                store(self, "mac", parse_mac(mac))
            except ConfigError as error:
                problems.extend(error)
        problems.check()
