"""Partitions, for asyncio code."""

from __future__ import annotations

from typing import Self

from patchbay.aio.twin import Told, Twin, awaited, awaited_handle
from patchbay.lab import Lab
from patchbay.partitions import Partition


class AsyncPartition(Twin[Partition]):
    """Sets of nodes between which packets get lost: the twin of `Partition`."""

    sides: Told[tuple[tuple[str, ...], ...]] = Told(lambda partition: partition.sides)
    one_way: Told[bool] = Told(lambda partition: partition.one_way)

    heal = awaited(Partition.heal)
    _end = awaited(Partition.__exit__)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end(None, None, None)


class AsyncLabPartitions(Twin[Lab]):
    """What a lab does with partitions: the twin of `LabPartitions`."""

    partition = awaited_handle(Lab.partition, lambda _, partition: AsyncPartition(partition))
    heal = awaited(Lab.heal)

    @property
    def partitions(self) -> list[AsyncPartition]:
        """The partitions there are, the oldest first."""
        return [AsyncPartition(each) for each in self.sync.partitions]
