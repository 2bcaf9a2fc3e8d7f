"""A STUN server in a lab, and how a node asks it what is between them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Self

from patchbay.errors import ConfigError, Problem, Problems
from patchbay.values.parsing import is_int, is_number, is_port, parse_address

if TYPE_CHECKING:
    from patchbay.lab import Lab
    from patchbay.nodes import Device, LabNode
    from patchbay.stun.attributes import Endpoint
    from patchbay.values import Named

Ports = tuple[int, int]
PORTS: Ports = (3478, 3479)
"""Those that clients expect (RFC 8489 9.3), and the next."""


class StunServer:
    """A running STUN server (RFC 8489, RFC 5780). A context manager that ends it.

    It answers from two addresses with two ports each, over IPv4 and IPv6, whatever speaks STUN.
    """

    def __init__(self, node: Device, number: int, ports: Ports) -> None:
        self._node = node
        self._number = number
        self._ports = ports

    @classmethod
    def start(cls, lab: Lab, name: str, router: Named | str | None, ports: Ports) -> Self:
        """Add a device to a lab, and a public router unless there is one, and start one there."""
        from patchbay.stun import serving  # loaded with the first server

        first, other = ports
        problems = Problems()
        if not is_port(first) or not is_port(other) or first == other:
            problems.add("ports", f"{ports!r} are not two ports from 1 to 65535")
        problems.check()
        made = None
        if router is None:
            router = made = lab.add_router(f"{name}-net", preset="public")
        try:
            node = lab.add_device(name, ifaces={"eth0": router, "eth1": router})
        except BaseException:
            if made is not None:
                lab.remove(made)
            raise
        ifaces = node.ifaces
        by_version = ([each.ip for each in ifaces], [each.ip6 for each in ifaces])
        pairs = [[str(ip) for ip in pair] for pair in by_version if None not in pair]
        return cls(node, node.call(serving.start, pairs, [first, other]), (first, other))

    def __repr__(self) -> str:
        return f"<StunServer on {self._node.name!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def node(self) -> Device:
        """The device that it runs on."""
        return self._node

    @property
    def port(self) -> int:
        """Its first port."""
        return self._ports[0]

    @property
    def address(self) -> tuple[str, int]:
        """Where clients reach it: the first of its addresses, and its first port."""
        return str(self._node.ip or self._node.ip6), self.port

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All that it answers from: the first address with both ports, then the second; IPv4 first."""
        from patchbay.stun.attributes import Endpoint

        ifaces = self._node.ifaces
        both = [each.ip for each in ifaces] + [each.ip6 for each in ifaces]
        return tuple(Endpoint(ip, port) for ip in both if ip for port in self._ports)

    def close(self) -> None:
        """End it; its device stays."""
        from patchbay.stun import serving

        self._node.call(serving.stop, self._number)


def add_stun_server(
    self: Lab, name: str = "stun", *, router: Named | str | None = None, ports: Ports = PORTS
) -> StunServer:
    """Add a device with two addresses, and start a STUN server on it (RFC 8489, RFC 5780).

    It is ready when the call returns; `nat_behaviour` of a node asks it.

    Args:
        self: the lab; this is a method of it.
        name: of the device.
        router: where it is plugged in; a public router of its own, `NAME-net`, if not given.
        ports: the two ports that it answers at.

    Raises:
        ConfigError: the device cannot be added; nothing was.
    """
    return StunServer.start(self, name, router, ports)


def server_address(
    client: LabNode, server: StunServer | tuple[str, int], version: int | None
) -> tuple[str, int]:
    """The address and the port that a node asks a server at.

    Raises:
        ConfigError: there is no such version of IP, the server or the node has no address of it,
            or what was given is no server.
    """
    if version not in (None, 4, 6):
        raise ConfigError(Problem("version", f"{version!r} is not a version of IP: 4 or 6"))
    if not isinstance(server, StunServer):
        return _elsewhere(server)
    if version is None:
        return client.address_of(server.node), server.port
    ip = server.node.ip if version == 4 else server.node.ip6
    own = client.ip if version == 4 else client.ip6
    for node, address in ((server.node, ip), (client, own)):
        if address is None:
            message = f"it has no IPv{version} address to find out with"
            raise ConfigError(Problem(f"node {node.name!r}", message))
    return str(ip), server.port


def check_discovery(source_port: object, longest_lifetime: object, tries: object) -> None:
    """Check what a node is to do when it asks a server.

    Raises:
        ConfigError: it cannot be done.
    """
    problems = Problems()
    if source_port != 0 and not is_port(source_port):
        problems.add("source_port", f"{source_port!r} is not a port, or 0 for any")
    if longest_lifetime is not None and not (is_number(longest_lifetime) and longest_lifetime > 0):
        message = f"{longest_lifetime!r} is not a number of seconds above 0"
        problems.add("longest_lifetime", message)
    if not is_int(tries) or tries < 1:
        problems.add("tries", f"{tries!r} is not a whole number from 1 on")
    problems.check()


def _elsewhere(typed: object) -> tuple[str, int]:
    match typed:
        case (str() | IPv4Address() | IPv6Address() as host, port) if is_port(port):
            problems = Problems()
            address = parse_address(host, "server", problems)
            problems.check()
            return str(address), port
    message = f"{typed!r} is neither a StunServer nor an address and a port"
    raise ConfigError(Problem("server", message))
