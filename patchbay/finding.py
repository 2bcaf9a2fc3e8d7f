"""How a lab's nodes are found: the handle of each by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from actors.connection import Connection
from actors.node import Node
from actors.protocol import Plain
from patchbay.errors import ConfigError, Problem
from patchbay.nodes import Device, Ix, Router
from patchbay.regions import Region
from patchbay.topology.model import IX, Topology

if TYPE_CHECKING:
    from patchbay.lab import Lab

_N = TypeVar("_N", Device, Router, Region)
_HANDLES: Mapping[str, type[Device | Router | Region]] = {
    "device": Device,
    "router": Router,
    "region": Region,
}


class Finding(ABC):
    """What a lab has of handles for its nodes."""

    _connection: Connection

    @abstractmethod
    def request(self, method: str, **arguments: Plain) -> Plain:
        """Ask the lab's supervisor."""

    @abstractmethod
    def topology(self) -> Topology:
        """The whole network as it is now."""

    @property
    def ix(self) -> Ix:
        """The internet exchange, which joins the routers without an upstream."""
        return Ix(self._lab, self._connection, IX)

    @property
    def routers(self) -> list[Router]:
        """Every router, in the order they were added."""
        return [Router(self._lab, self._connection, name) for name in self.topology().routers]

    @property
    def devices(self) -> list[Device]:
        """Every device, in the order they were added."""
        return [Device(self._lab, self._connection, name) for name in self.topology().devices]

    def node(self, name: str) -> Device | Router | Region | Ix:
        """A node by its name.

        Raises:
            ConfigError: there is none; the text has the nearest name.
        """
        if name == IX:
            return self.ix
        handle = _HANDLES[cast("str", self.request("find", name=name))]
        return handle(self._lab, self._connection, name)

    def device(self, name: str) -> Device:
        """A device by its name; see `node`."""
        return self._node_of(Device, name)

    def router(self, name: str) -> Router:
        """A router by its name; see `node`."""
        return self._node_of(Router, name)

    def region(self, name: str) -> Region:
        """A region by its name; see `node`."""
        return self._node_of(Region, name)

    def _node_of(self, kind: type[_N], name: str) -> _N:
        found = self.node(name)
        if not isinstance(found, kind):
            is_, wanted = _word(type(found)), _word(kind)
            raise ConfigError(Problem(f"node {name!r}", f"this is {is_}, not {wanted}"))
        return found

    def router_of(self, lan: str | None) -> Router | None:
        """The handle of the router that a LAN belongs to; None for the IX's and a region's."""
        if lan is None or lan == IX:
            return None
        found = self.node(lan)
        return found if isinstance(found, Router) else None

    @property
    def _lab(self) -> Lab:
        return cast("Lab", self)


def _word(kind: type[Node]) -> str:
    return "the internet exchange" if kind is Ix else f"a {kind.__name__.lower()}"
