"""Regions, for asyncio code."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, cast

from patchbay.aio.nodes import AsyncNode, AsyncRouter
from patchbay.aio.twin import Told, Twin, awaited, awaited_handle
from patchbay.lab import Lab
from patchbay.regions import Region
from patchbay.values import Named

if TYPE_CHECKING:
    from patchbay.aio.lab import AsyncLab


class AsyncRegion(AsyncNode[Region]):
    """A part of the world: the twin of `Region`."""

    downstream: Told[IPv4Network] = Told(lambda region: region.downstream)
    downstream6: Told[IPv6Network] = Told(lambda region: region.downstream6)
    transit: Told[bool] = Told(lambda region: region.transit)

    @property
    def routers(self) -> list[AsyncRouter]:
        """The routers in it, also those behind others, in the order they were added."""
        return [AsyncRouter(self.lab, each) for each in self.sync.routers]

    @property
    def linked(self) -> list[AsyncRegion]:
        """The regions it is linked with, whether or not the link is broken."""
        return [AsyncRegion(self.lab, each) for each in self.sync.linked]

    set_transit = awaited(Region.set_transit)


def _handles(lab: AsyncLab, regions: Mapping[str, Region]) -> Mapping[str, AsyncRegion]:
    return {name: AsyncRegion(lab, region) for name, region in regions.items()}


class AsyncLabRegions(Twin[Lab]):
    """What a lab does with regions and the links between them: the twin of `LabRegions`."""

    add_region = awaited_handle(Lab.add_region, AsyncRegion)
    add_world = awaited_handle(Lab.add_world, _handles)
    link_regions = awaited(Lab.link_regions)
    update_region_link = awaited(Lab.update_region_link)
    unlink_regions = awaited(Lab.unlink_regions)
    break_region_link = awaited(Lab.break_region_link)
    restore_region_link = awaited(Lab.restore_region_link)

    @property
    def regions(self) -> list[AsyncRegion]:
        """Every region, in the order they were added."""
        return [self._region(each) for each in self.sync.regions]

    def region(self, name: str) -> AsyncRegion:
        """A region by its name; see `Lab.region`."""
        return self._region(self.sync.region(name))

    def region_of(self, router: Named | str) -> AsyncRegion | None:
        """The region that a router is in; None if it is in none."""
        region = self.sync.region_of(router)
        return None if region is None else self._region(region)

    def _region(self, region: Region) -> AsyncRegion:
        return AsyncRegion(cast("AsyncLab", self), region)
