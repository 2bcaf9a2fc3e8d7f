"""From what a person typed to a value, with a kind word where that fails."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import Self, TypeGuard, TypeVar

from patchbay.errors import ConfigError, Problem, Problems, nearest

_T = TypeVar("_T")

MTU_MIN = 68
"""Bytes that every IPv4 link must carry (RFC 791)."""
MTU_MIN_V6 = 1280
"""Bytes that every IPv6 link must carry (RFC 8200 5)."""
MTU_MAX = 65_535
MTU_DEFAULT = 1500

MS_MAX = 1e9
"""Milliseconds that anything takes at most: eleven days. In nanoseconds, many of them fit into the
64 bits of the kernel's clocks."""
KBIT_MIN, KBIT_MAX = 1e-6, 1e9
"""Kilobits per second of a rate: a frame takes no longer than the clocks reach, and no interface is
quicker (1 Tbit/s)."""


def canonical(name: str) -> str:
    """Return a name the way this module spells it: lower case, `_` between words."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


class NamedEnum(Enum):
    """An enum whose members are also found by any spelling of their lower-case names."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if isinstance(value, str):
            return cls.__members__.get(canonical(value).upper())
        return None

    def __str__(self) -> str:
        return str(self.value)


_WORDS: dict[type, str] = {IPv4Interface: "an IPv4 address", IPv6Interface: "an IPv6 address"}


def parse(kind: type[_T], value: object, place: str = "") -> _T:
    """Return `value` if it is of this kind, else what its name or text stands for.

    Args:
        kind: an enum, a class with named `PRESETS`, or a class of `ipaddress`.
        value: what was typed.
        place: what it was typed for, for the error.

    Raises:
        ConfigError: there is no such value; it names the one that comes nearest.
    """
    if isinstance(value, kind):
        return value
    place = place or kind.__name__
    if issubclass(kind, Enum) or hasattr(kind, "PRESETS"):
        return _parse_name(kind, value, place)
    wanted = _WORDS.get(kind, f"an {kind.__name__}")
    if isinstance(value, int | bytes):  # `ipaddress` would read 80 as 0.0.0.80
        raise ConfigError(Problem(place, f"{value!r} is not {wanted}"))
    try:
        return kind(value)  # type: ignore[call-arg]
    except (ValueError, TypeError) as error:
        raise ConfigError(Problem(place, f"{value!r} is not {wanted} ({error})")) from None


def _parse_name(kind: type[_T], value: object, place: str) -> _T:
    known: Mapping[str, _T]
    if issubclass(kind, Enum):
        known = {name.lower(): member for name, member in kind.__members__.items()}
    else:
        known = kind.PRESETS  # type: ignore[attr-defined]
    if not isinstance(value, str):
        wanted = f"{kind.__name__} or one of {', '.join(known)}"
        raise ConfigError(Problem(place, f"{value!r} is not a {wanted}"))
    name = canonical(value)
    if name in known:
        return known[name]
    message = f"there is no {value!r} (one of {', '.join(known)})"
    raise ConfigError(Problem(place, message, nearest(name, known)))


def parse_address(
    value: IPv4Address | IPv6Address | str, place: str, problems: Problems
) -> IPv4Address | IPv6Address:
    """Return an address of either version; if it is none, add a problem."""
    try:
        return ip_address(value)
    except ValueError:
        problems.add(place, f"{str(value)!r} is not an IP address")
        return IPv4Address(0)


_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def parse_mac(text: str, place: str = "mac") -> str:
    """Return a hardware address in lower case with colons.

    Raises:
        ConfigError: it is none, or not that of a single interface.
    """
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise ConfigError(
            Problem(place, f"{text!r} is not a hardware address such as '02:00:00:00:00:01'")
        )
    if int(mac[:2], 16) & 1:
        raise ConfigError(
            Problem(place, f"{text!r} is a multicast address (its first byte is odd)")
        )
    if mac == "00:00:00:00:00:00":
        raise ConfigError(Problem(place, f"{text!r} is no interface's address"))
    return mac


def check_mtu(mtu: object, problems: Problems, place: str = "mtu", *, v6: bool = False) -> None:
    """Add a problem if `mtu` is no MTU that the kernel takes, for IPv6 if `v6` is set."""
    low = MTU_MIN_V6 if v6 else MTU_MIN
    if not is_int(mtu) or not low <= mtu <= MTU_MAX:
        why = " (with IPv6, RFC 8200)" if v6 else ""
        problems.add(place, f"{mtu!r} is not a number of bytes from {low} to {MTU_MAX}{why}")


def put(
    owner: object,
    name: str,
    kind: type[_T],
    value: object,
    problems: Problems,
    *,
    optional: bool = False,
) -> None:
    """Set a field of a frozen dataclass to what was typed for it, or add a problem."""
    parsed: _T | None = None
    if value is not None or not optional:
        try:
            parsed = parse(kind, value, name)
        except ConfigError as error:
            problems.extend(error)
    object.__setattr__(owner, name, parsed)


def put_seconds(owner: object, name: str, value: object, problems: Problems) -> None:
    """Set a field of a frozen dataclass to a whole number of seconds or to None, or add a problem."""
    object.__setattr__(owner, name, value)
    if value is not None and not (is_int(value) and 1 <= value < 2**31):
        problems.add(name, f"{value!r} is not a whole number of seconds from 1 on")


def check_flag(value: object, place: str, problems: Problems) -> None:
    """Add a problem if `value` is no truth value; "no" would be taken for its opposite."""
    if not isinstance(value, bool):
        problems.add(place, f"{value!r} is neither True nor False")


def parse_flag(value: object, place: str) -> bool:
    """Return `value` if it is a truth value.

    Raises:
        ConfigError: it is none.
    """
    problems = Problems()
    check_flag(value, place, problems)
    problems.check()
    return bool(value)


def put_flags(owner: object, flags: Mapping[str, object], problems: Problems) -> None:
    """Set fields of a frozen dataclass to truth values, or add problems; by their names."""
    for name, value in flags.items():
        object.__setattr__(owner, name, value)
        check_flag(value, name, problems)


def several(values: object, place: str, problems: Problems, wanted: str) -> tuple[object, ...]:
    """Return the elements of a list that was typed; what is no list is a problem, and is left out.

    A text is none, although Python takes it for a list of its letters, nor is a subnet, of its
    addresses.

    Args:
        values: what was typed.
        place: what it was typed for.
        problems: where one is added.
        wanted: what should have been typed, such as `addresses`.
    """
    single = isinstance(values, str | bytes | IPv4Network | IPv6Network)
    if isinstance(values, Iterable) and not single:
        return tuple(values)
    problems.add(place, f"{values!r} is no list of {wanted}")
    return ()


def is_int(value: object) -> TypeGuard[int]:
    """Whether a value is an integer, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_port(value: object) -> TypeGuard[int]:
    """Whether a value is a port number."""
    return is_int(value) and 1 <= value <= 65_535


def is_port_range(ports: object) -> bool:
    """Whether these are the first and the last of a range of ports."""
    if not isinstance(ports, tuple) or len(ports) != 2:
        return False
    return all(map(is_port, ports)) and ports[0] <= ports[1]


def check_number(
    problems: Problems, name: str, value: object, low: float, high: float, unit: str
) -> None:
    """Note a mistake if a value is no number within these limits."""
    if is_number(value) and low <= value <= high:
        return
    limits = f"from {low:g} on" if math.isinf(high) else f"from {low:g} to {high:g}"
    problems.add(name, f"{value!r} is not a number of {unit} {limits}")
