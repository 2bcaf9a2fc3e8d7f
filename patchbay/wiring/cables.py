"""Bridges and cables: the changes that take several messages, each done whole or not at all."""

from __future__ import annotations

import errno
import os

from patchbay.topology.steps import AddBridge, Cable
from patchbay.wiring import messages
from patchbay.wiring.namespace import Namespace
from patchbay.wiring.readers import link

_DEFAULT_MTU = 1500


def add_bridge(namespace: Namespace, bridge: AddBridge) -> None:
    """Make a bridge, and switch it on, that keeps its MTU whatever is plugged into it.

    A bridge takes the smallest MTU of its ports until its own is changed by request. Only a
    change counts, so it begins with another one.
    """
    other = _DEFAULT_MTU if bridge.mtu != _DEFAULT_MTU else _DEFAULT_MTU + 1
    namespace.route.ask(messages.new_bridge(bridge.name, bridge.mac, other))
    try:
        namespace.route.ask(messages.set_link(bridge.name, mtu=bridge.mtu, up=True))
    except OSError:
        namespace.route.ask(messages.delete_link(bridge.name))
        raise


def add_cable(near: Namespace, far: Namespace, cable: Cable) -> None:
    """Make a veth pair with an end in either namespace; ends that are to be ports are up.

    They are not plugged in yet: an interface that comes up tells the hosts of its LAN which
    groups it listens to, and a thousand of them would tell a thousand each. `plug_in` follows.
    An end that is to be no port is down.
    """
    name = cable.peer_interface
    far.route.ask(
        messages.new_veth(
            name,
            cable.peer_mac,
            cable.peer_mtu,
            peer_name=cable.interface,
            peer_mac=cable.mac,
            peer_mtu=cable.mtu,
            peer_namespace=near.descriptor,
        )
    )
    try:
        if cable.bridge is not None:
            bring_up_port(far, name)
        if cable.node_bridge is not None:
            bring_up_port(near, cable.interface)
    except OSError:
        far.route.ask(messages.delete_link(name))
        raise


def plug_in(near: Namespace, far: Namespace, cable: Cable) -> None:
    """Make the ends of a new cable the ports that they are to be."""
    if cable.bridge is not None:
        far.route.ask(messages.plug(cable.peer_interface, far.index(cable.bridge)))
    if cable.node_bridge is not None:
        near.route.ask(messages.plug(cable.interface, near.index(cable.node_bridge)))


def move_cable(source: Namespace, target: Namespace, before: Cable, after: Cable) -> None:
    """Move the peer's end from one place to another; if that fails, it is back where it was."""
    was_up = link(source.route, before.peer_interface).up
    try:
        _carry(source, target, before.peer_interface, after.peer_interface)
        _settle(target, after, up=was_up)
    except OSError as failure:
        try:
            if not _has(source, before.peer_interface):
                _carry(target, source, after.peer_interface, before.peer_interface)
            _settle(source, before, up=was_up)
        except OSError as error:
            failure.add_note(f"and it could not be put back: {error}")
        raise


def _carry(source: Namespace, target: Namespace, old: str, new: str) -> None:
    """Move an interface and name it anew, in one message; it is then down and in no bridge."""
    index = source.index(old)
    if source is target:
        source.route.ask(messages.rename(index, new))
        return
    try:
        source.route.ask(messages.move(index, target.descriptor, new))
    except OSError:
        # The kernel moves first: if the new name is taken, the end is there under its old one.
        if not _has(source, old):
            target.route.ask(messages.move(target.index(old), source.descriptor, old))
        raise


def _settle(namespace: Namespace, cable: Cable, *, up: bool) -> None:
    name = cable.peer_interface
    bridge = None if cable.bridge is None else namespace.index(cable.bridge)
    namespace.route.ask(messages.set_link(name, mtu=cable.peer_mtu, mac=cable.peer_mac))
    namespace.route.ask(messages.plug(name, bridge))
    if bridge is not None:
        bring_up_port(namespace, name)
    elif up:
        namespace.route.ask(messages.set_link(name, up=True))


def bring_up_port(namespace: Namespace, name: str) -> None:
    """Switch an interface on that is a port, or is to be one."""
    # A port only carries others' frames: without IPv6 it sends none of its own. Where its sysctl
    # cannot be written, it at least makes itself no address.
    key = f"ipv6.conf.{name.replace('.', '/')}.disable_ipv6"
    if namespace.write_sysctl(key, "1") == os.strerror(errno.EROFS):
        namespace.route.ask(messages.silence(name))
    namespace.route.ask(messages.set_link(name, up=True))


def _has(namespace: Namespace, name: str) -> bool:
    try:
        namespace.index(name)
    except OSError:
        return False
    return True
