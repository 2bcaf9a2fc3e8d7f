"""What clients ask about regions and partitions, and how it is answered: a part of the director."""

from __future__ import annotations

from typing import cast

from actors.protocol import Plain
from patchbay.link_requests import LinkRequests
from patchbay.player import described
from patchbay.topology import edit_regions, partitions
from patchbay.topology.graph import find_region, find_trunk, region_of
from patchbay.topology.model import Lane, Partition
from patchbay.topology.plain import from_plain, to_plain
from patchbay.topology.requests import LaneRequest


class RegionRequests(LinkRequests):
    """Answers requests about regions and partitions; whoever is it holds the topology."""

    def on_region(self, node: str) -> Plain:
        """What a region is."""
        return to_plain(find_region(self._topology, node))

    def on_region_of(self, node: str) -> Plain:
        """The region that a router is in."""
        return region_of(self._topology, node)

    def on_update_region_link(
        self, one: str, other: str, link: Plain, back: Plain, since: str = "now"
    ) -> Plain:
        """Set what packets between two regions meet."""
        there, reverse = from_plain(LaneRequest, link), from_plain(LaneRequest, back)
        before, begun = self._able(self._topology), self._player.begun(since)
        self._change(edit_regions.update_link(before, one, other, there, reverse, begun))
        self._note_link(one, other, "changed")
        return None

    def on_unlink_regions(self, one: str, other: str) -> Plain:
        """Remove the link between two regions."""
        self._change(edit_regions.unlink(self._topology, one, other))
        self._log.add("region_link_removed", regions=[one, other])
        return None

    def on_break_region_link(self, one: str, other: str, reroute: bool) -> Plain:
        """Break the link between two regions."""
        self._change(edit_regions.break_link(self._topology, one, other, reroute=reroute))
        self._log.add("region_link_broken", regions=[one, other], reroute=reroute)
        return None

    def on_restore_region_link(self, one: str, other: str) -> Plain:
        """Mend the link between two regions."""
        self._change(edit_regions.restore_link(self._topology, one, other))
        self._log.add("region_link_restored", regions=[one, other])
        return None

    def on_set_transit(self, node: str, transit: bool) -> Plain:
        """Set whether others reach each other through a region."""
        self._change(edit_regions.set_transit(self._topology, node, transit))
        self._log.add("region_transit_changed", region=node, transit=transit)
        return None

    def on_partition(self, partition: Plain) -> Plain:
        """Cut sets of nodes off from each other."""
        wanted = from_plain(Partition, partition)
        self._change(partitions.partition(self._topology, wanted))
        self._log.add("partition_added", **cast("dict[str, Plain]", partition))
        return None

    def on_heal(self, partition: Plain) -> Plain:
        """End a partition, or all of them."""
        which = None if partition is None else from_plain(Partition, partition)
        ended = self._topology.partitions if which is None else (which,)
        self._change(partitions.heal(self._topology, which))
        for each in ended:
            self._log.add("partition_healed", **cast("dict[str, Plain]", to_plain(each)))
        return None

    def _note_link(self, one: str, other: str, what: str = "added") -> None:
        trunk = find_trunk(self._topology, one, other)
        self._log.add(
            f"region_link_{what}",
            regions=[*trunk.ends],
            number=trunk.number,
            link=_told(trunk.link),
            back=_told(trunk.back),
            broken=trunk.broken,
            reroute=trunk.reroute,
        )


def _told(lane: Lane) -> Plain:
    """What an event tells of one direction of a link between regions."""
    return {
        "condition": to_plain(lane.condition),
        "engine": to_plain(lane.engine),
        "flows": to_plain(lane.flows),
        "schedule": described(lane.timed_condition),
    }
