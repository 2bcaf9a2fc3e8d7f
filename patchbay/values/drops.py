"""Exactly which packets are lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from patchbay.errors import Problems
from patchbay.values.flow import FlowMatch
from patchbay.values.parsing import is_int, is_number


@dataclass(frozen=True, slots=True, init=False, repr=False)
class DropList:
    """Packets that are lost for sure, beside those that a condition loses by chance.

    What counts are IP packets, from the moment on in which the list is set: numbers and times
    begin anew then, and go on as long as the condition's list stays the same. A packet is lost if
    one of the three says so. What hosts send on their own about the link (neighbour discovery,
    multicast listeners, IGMP) has no number unless `match` matches it.

    Attributes:
        packets: numbers of packets that are lost; the first packet is number 1.
        flow_packets: the same within each flow: all packets that have the same source,
            destination, protocol and ports. `[1]` loses the first packet of every flow.
        between_ms: pairs of times in milliseconds since the list was set; everything that comes
            from the first on and before the second is lost, ARP as well if there is no `match`.
        match: the packets that the list is for; others are neither lost nor counted. None for all.
    """

    packets: tuple[int, ...]
    flow_packets: tuple[int, ...]
    between_ms: tuple[tuple[float, float], ...]
    match: FlowMatch | None

    def __init__(
        self,
        packets: Iterable[int] = (),
        *,
        flow_packets: Iterable[int] = (),
        between_ms: Iterable[tuple[float, float]] = (),
        match: FlowMatch | None = None,
    ) -> None:
        """Say which packets are lost; see the attributes.

        Raises:
            ConfigError: values that are none; all of them are told.
        """
        put = object.__setattr__
        problems = Problems()
        put(self, "packets", _numbers("packets", packets, problems))
        put(self, "flow_packets", _numbers("flow_packets", flow_packets, problems))
        put(self, "between_ms", _times(between_ms, problems))
        put(self, "match", match)
        given: object = match
        if not isinstance(given, FlowMatch | None):
            problems.add("match", f"{match!r} is no FlowMatch(...)")
        if not (problems or self.packets or self.flow_packets or self.between_ms):
            problems.add(
                "", "the list is empty: give packets, flow_packets or between_ms (no list is None)"
            )
        problems.check()

    def __repr__(self) -> str:
        given = [
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name))
        ]
        return f"DropList({', '.join(given)})"


def _numbers(place: str, given: object, problems: Problems) -> tuple[int, ...]:
    """Numbers of packets in order, each once."""
    if not isinstance(given, Iterable) or isinstance(given, str):
        problems.add(place, f"{given!r} are no numbers of packets, such as [3, 7]")
        return ()
    found = []
    for number in given:
        if is_int(number) and number >= 1:
            found.append(number)
        else:
            problems.add(place, f"{number!r} is not a whole number from 1 on")
    return tuple(sorted(set(found)))


def _times(given: object, problems: Problems) -> tuple[tuple[float, float], ...]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        problems.add("between_ms", f"{given!r} are no pairs of times, such as [(500, 1500)]")
        return ()
    found = []
    for pair in given:
        match pair:
            case (first, last) if is_number(first) and is_number(last) and 0 <= first < last:
                found.append((first, last))
            case _:
                problems.add("between_ms", f"{pair!r} is not two times, the earlier one first")
    return tuple(found)
