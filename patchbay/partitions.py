"""Partitions: sets of nodes of a lab that are cut off from each other for a while."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from actors.protocol import Plain
from patchbay.topology import model
from patchbay.topology.model import Topology
from patchbay.topology.plain import to_plain
from patchbay.values import Named, name_of

if TYPE_CHECKING:
    from patchbay.lab import Lab

Side = Named | str | Iterable[Named | str]


class Partition:
    """Sets of nodes between which packets get lost; a context manager that heals it at its end.

    Partitions are equal if they cut off the same nodes of the same lab from each other.
    """

    def __init__(self, lab: Lab, partition: model.Partition) -> None:
        self._lab = lab
        self._partition = partition

    def __repr__(self) -> str:
        arrow = " -> " if self.one_way else " | "
        return f"<Partition {arrow.join(', '.join(side) for side in self.sides)}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Partition):
            return NotImplemented
        return (self._lab, self._partition) == (other._lab, other._partition)

    def __hash__(self) -> int:
        return hash((self._lab, self._partition))

    @property
    def sides(self) -> tuple[tuple[str, ...], ...]:
        """The names of the nodes of each set."""
        return self._partition.sides

    @property
    def one_way(self) -> bool:
        """Whether only packets from the first set to the second are lost."""
        return self._partition.one_way

    def heal(self) -> None:
        """End it: packets pass again.

        Raises:
            ConfigError: it has ended already.
        """
        self._lab.request("heal", partition=to_plain(self._partition))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._lab.closed and self in self._lab.partitions:
            self.heal()


class LabPartitions(ABC):
    """What a lab does with partitions."""

    @abstractmethod
    def request(self, method: str, **arguments: Plain) -> Plain:
        """Ask the lab's supervisor."""

    @abstractmethod
    def topology(self) -> Topology:
        """The whole network as it is now."""

    def partition(self, *sides: Side, one_way: bool = False) -> Partition:
        """Cut sets of nodes off from each other: packets between them get lost without a word.

            with lab.partition(us, [eu, asia]):
                ...

        A router or a region stands for itself and all that is behind it, at that moment. Nodes that
        are in none of the sets reach all as before. Where a node shares its address with others,
        behind NAT, and the one it is cut off from does so too, these others lose its packets as well.

        Args:
            sides: two sets or more, each a region, router or device, a name, or several of these.
            one_way: whether only packets from the first set to the second are lost.

        Raises:
            ConfigError: all that is wrong with it; nothing was changed.
        """
        names = tuple(tuple(dict.fromkeys(_names(side))) for side in sides)
        wanted = model.Partition(sides=names, one_way=bool(one_way))
        self.request("partition", partition=to_plain(wanted))
        return Partition(cast("Lab", self), wanted)

    @property
    def partitions(self) -> list[Partition]:
        """The partitions there are, the oldest first."""
        return [Partition(cast("Lab", self), each) for each in self.topology().partitions]

    def heal(self) -> None:
        """End all partitions there are. Links between regions that are broken stay so."""
        self.request("heal", partition=None)


def _names(side: Side) -> list[str]:
    if isinstance(side, Iterable) and not isinstance(side, str):
        return [name_of(each) for each in side]
    return [name_of(side)]
