"""Where packet programs decide: what the path of a link knows of whoever runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from patchbay.links.packets.frame import Frame
from patchbay.values import PacketProgram

Admit: TypeAlias = "Callable[[int, Frame, Sequence[tuple[int, bytes | None]]], None]"
"""Takes the time at which a packet was sent, the packet, and what a program made of it: packets
that go on, each with nanoseconds of delay and its bytes, None for those that it has."""

PASSES: Sequence[tuple[int, bytes | None]] = ((0, None),)
"""What becomes of a packet that nothing was done to."""


class Gate(Protocol):
    """A program under way, which is asked about packets, and answers in their order."""

    def offer(self, now: int, frame: Frame) -> None:
        """Ask about a packet that was sent at a time; the answer may come later."""

    @property
    def held(self) -> Sequence[Frame]:
        """The packets that have not been answered yet."""

    def close(self) -> None:
        """End the program; nothing is asked any more."""


StartProgram: TypeAlias = Callable[[PacketProgram, str, int, Admit], Gate]
"""Starts a program for a link, by its name and the lab's seed; it hands over its answers."""


def no_programs(program: PacketProgram, name: str, seed: int, admit: Admit) -> Gate:
    """For links that can have none.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"there is nobody to run {program!r} for {name}")
