"""Steps are carried out in real namespaces; what the kernel then has is asked of it."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from small_networks import address, bridge, cable, lan, plugged, route, udp, up

from actors import linux
from patchbay.topology.steps import (
    AddCable,
    AddNode,
    AddRule,
    Neighbour,
    RemoveAddress,
    RemoveInterface,
    RemoveNeighbour,
    RemoveNode,
    RemoveRoute,
    RemoveRule,
    Route,
    Rule,
    SetLink,
    SetNeighbour,
    SetRoute,
    SetSysctl,
    Step,
)
from patchbay.wiring import sysctl
from patchbay.wiring.errors import WiringError
from patchbay.wiring.kernel import Kernel
from patchbay.wiring.namespace import current_namespace

MS_REMOUNT = 32


def state(kernel: Kernel) -> object:
    """All that can be read of all nodes, without what traffic and time change."""
    return {
        node: (
            {
                link.name: replace(link, statistics=None, running=True, index=0)
                for link in kernel.links(node)
            },
            [entry.address for entry in kernel.addresses(node) if not entry.address.is_link_local],
            sorted(repr(e) for e in kernel.routes(node) if not e.destination.is_link_local),
            kernel.rules(node),
            [entry for entry in kernel.neighbours(node) if entry.permanent],
        )
        for node in kernel.nodes
    }


def refused(kernel: Kernel, *plan: Step) -> WiringError:
    with pytest.raises(WiringError) as refusal:
        kernel.apply_all(plan)
    return refusal.value


def link(kernel: Kernel, node: str, name: str):
    return next(link for link in kernel.links(node) if link.name == name)


def unicast(kernel: Kernel, node: str, destination: str):
    return [
        (route.via, route.interface, route.table)
        for route in kernel.routes(node)
        if route.destination == ip_network(destination) and not route.by_kernel
    ]


def test_packets_pass_as_soon_as_the_steps_are_done(kernel):
    """No spanning tree delay, no duplicate address detection, over IPv4 and IPv6."""
    kernel.apply_all(lan())
    for router, laptop in (("10.0.1.1", "10.0.1.2"), ("fd10::1", "fd10::2")):
        receiver, sender = udp(kernel, "home", router, 5000), udp(kernel, "laptop", laptop, 6000)
        sender.sendto(b"at once", (router, 5000))
        data, source = receiver.recvfrom(100)
        assert (data, source[:2]) == (b"at once", (laptop, 6000))


def test_readers_agree_with_an_independent_witness(kernel):
    from pyroute2 import IPRoute

    kernel.apply_all(lan())
    with kernel.inside("laptop"), IPRoute() as witness:
        links = {link.get("ifname"): link for link in witness.get_links()}
        addresses = {(entry.get("address"), entry["prefixlen"]) for entry in witness.get_addr()}
        gateways = {route.get("gateway") for route in witness.get_default_routes()}
        gateways |= {route.get("gateway") for route in witness.get_default_routes(family=10)}
    for ours in kernel.links("laptop"):
        theirs = links.pop(ours.name)
        assert ours.index == theirs["index"]
        assert ours.mac == theirs.get("address")
        assert ours.mtu == theirs.get("mtu")
        assert ours.up == bool(theirs["flags"] & 1)
    assert not links
    assert addresses == {
        (str(entry.address.ip), entry.address.network.prefixlen)
        for entry in kernel.addresses("laptop")
    }
    assert gateways == {"10.0.1.1", "fd10::1"}
    assert unicast(kernel, "laptop", "0.0.0.0/0") == [(ip_address("10.0.1.1"), "eth0", 254)]
    assert unicast(kernel, "laptop", "::/0") == [(ip_address("fd10::1"), "eth0", 254)]


def test_the_process_stays_where_it_was(kernel):
    def here() -> int:
        descriptor = current_namespace()
        try:
            return os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)

    home = here()
    kernel.apply_all(lan())
    kernel.apply(SetSysctl(node="home", key="ipv4.ip_forward", value="0", old="1"))
    kernel.links("laptop")
    kernel.conntrack("home")
    refused(kernel, AddNode(node="new", sysctls=(("ipv4.ip_forward", "nonsense"),)))
    assert here() == home
    with kernel.inside("home"):
        assert here() != home
        kernel.links("laptop")
    assert here() == home


def test_nothing_is_left_open(kernel):
    before = set(os.listdir("/proc/self/fd"))
    with Kernel() as other:
        other.apply_all(lan())
        other.conntrack("home")
        other.apply(RemoveNode(node="laptop"))
        assert list(other.nodes) == ["home"]
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_port_is_silent_and_the_bridge_keeps_its_mtu(kernel):
    narrow = replace(cable(2, "laptop", "eth1", "home"), mtu=1280, peer_mtu=1280)
    kernel.apply_all([*lan(), AddCable(cable=narrow), up("laptop", "eth1")])
    port = link(kernel, "home", "v2")
    assert (port.up, port.running, port.mtu, port.mac) == (True, True, 1280, narrow.peer_mac)
    assert port.bridge == link(kernel, "home", "lan").index
    assert link(kernel, "home", "lan").mtu == 1500
    assert link(kernel, "home", "lan").mac == "02:00:00:03:00:01"
    assert link(kernel, "laptop", "eth1").mac == narrow.mac
    assert not [entry for entry in kernel.addresses("home") if entry.interface in ("v1", "v2")]
    with kernel.inside("home"):  # others of the LAN may speak; the port itself does not
        assert sysctl.read("ipv6.conf.v2.disable_ipv6") == "1"


def test_an_end_of_its_own_is_down_in_no_bridge(kernel):
    kernel.apply_all([*lan(), AddCable(cable=cable(2, "laptop", "eth1", "home", bridge=None))])
    assert not link(kernel, "laptop", "eth1").up
    end = link(kernel, "home", "v2")
    assert (end.up, end.bridge) == (False, None)


def test_a_failure_undoes_what_came_before(kernel):
    kernel.apply_all(lan())
    before = state(kernel)
    error = refused(
        kernel,
        AddNode(node="phone", sysctls=()),
        *plugged(2, "phone", "wlan0", "home", "10.0.1.3/24", gateways=("10.0.1.1",)),
        address("laptop", "eth0", "10.0.1.77/24"),
        SetLink(node="laptop", interface="eth0", mtu=1400, old_mtu=1500),
        AddRule(node="laptop", rule=Rule(source=ip_network("10.0.1.2"), table=100, priority=7)),
        SetSysctl(node="home", key="ipv4.ip_forward", value="0", old="1"),
        AddCable(cable=cable(1, "laptop", "eth0", "home")),
    )
    assert error.reason.errno == errno.EEXIST
    assert error.undoing == ()
    assert str(error).startswith(
        "cannot lay the cable from eth0 of laptop to v1 of home (bridge lan): RTM_NEWLINK: "
        "File exists (EEXIST)"
    )
    assert state(kernel) == before
    with kernel.inside("home"), open("/proc/sys/net/ipv4/ip_forward") as file:
        assert file.read().strip() == "1"


def test_an_error_says_the_kernels_own_words(kernel):
    kernel.apply_all(lan())
    error = refused(kernel, route("laptop", "0.0.0.0/0", "eth0", "192.0.2.1"))
    assert str(error) == (
        "cannot set the route 0.0.0.0/0 via 192.0.2.1 over eth0 of laptop: RTM_NEWROUTE: Network "
        'is unreachable (ENETUNREACH): the kernel says "Nexthop has invalid gateway"'
    )


def test_what_cannot_be_undone_is_told(kernel):
    kernel.apply_all(lan())
    error = refused(
        kernel,
        SetLink(node="laptop", interface="eth0", mtu=1400, old_mtu=-1 & 0xFFFFFFFF),
        up("laptop", "eth7"),
    )
    assert error.reason.errno == errno.ENODEV
    assert [failure.reason.errno for failure in error.undoing] == [errno.EINVAL]
    assert "while undoing what came before it: cannot set eth0 of laptop" in str(error)


def test_a_step_that_takes_several_messages_leaves_nothing_half_done(kernel):
    kernel.apply_all(lan())
    before = state(kernel)
    refused(kernel, *bridge("laptop", 3)[:1], *bridge("laptop", 3)[:1])
    refused(kernel, replace(bridge("laptop", 3)[0], mtu=60))
    refused(kernel, AddNode(node="new", sysctls=(("ipv4.ip_forward", "nonsense"),)))
    refused(kernel, AddNode(node="home", sysctls=()))
    assert state(kernel) == before


def test_routes_are_replaced_and_never_added_beside(kernel):
    kernel.apply_all([*lan(), address("laptop", "eth0", "192.0.2.2/24")])
    for destination, first, second in (
        ("0.0.0.0/0", "10.0.1.1", "10.0.1.9"),
        ("::/0", "fd10::1", "fd10::9"),
        ("198.51.100.0/24", "10.0.1.1", "10.0.1.9"),
        ("2001:db8:7::/48", "fd10::1", "fd10::9"),
    ):
        for via in (first, second, None, first, None, second):
            kernel.apply(route("laptop", destination, "eth0", via))
            wanted = None if via is None else ip_address(via)
            assert unicast(kernel, "laptop", destination) == [(wanted, "eth0", 254)]


def test_replacing_a_route_has_no_gap(kernel):
    """All the while that a default route is replaced, the kernel reports no removal of it."""
    import socket

    kernel.apply_all(lan())
    for family, groups, first, second in (
        ("0.0.0.0/0", 0x40, "10.0.1.1", "10.0.1.9"),
        ("::/0", 0x400, "fd10::1", "fd10::9"),
    ):
        with kernel.inside("laptop"):
            listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        listener.bind((0, groups))
        listener.setblocking(False)
        for via in (second, first, second):
            kernel.apply(route("laptop", family, "eth0", via))
        kinds = [int.from_bytes(listener.recv(65536)[4:6], "little") for _ in range(3)]
        assert kinds == [24, 24, 24]
        listener.close()


def test_a_routes_table_and_source_are_the_kernels(kernel):
    wanted = Route(
        destination=ip_network("0.0.0.0/0"),
        interface="eth0",
        via=ip_address("10.0.1.1"),
        source=ip_address("10.0.1.2"),
        table=1001,
    )
    rule = Rule(source=ip_network("10.0.1.2"), table=1001, priority=100)
    rule6 = Rule(source=ip_network("fd10::2"), table=1001, priority=100)
    kernel.apply_all([*lan(), SetRoute(node="laptop", route=wanted)])
    kernel.apply_all([AddRule(node="laptop", rule=rule), AddRule(node="laptop", rule=rule6)])
    (found,) = (entry for entry in kernel.routes("laptop") if entry.table == 1001)
    assert (found.via, found.source) == (wanted.via, wanted.source)
    ours = [entry for entry in kernel.rules("laptop") if entry.priority == 100]
    assert [(entry.source, entry.table) for entry in ours] == [
        (rule.source, 1001),
        (rule6.source, 1001),
    ]
    kernel.apply_all([RemoveRule(node="laptop", rule=rule), RemoveRule(node="laptop", rule=rule6)])
    kernel.apply(RemoveRoute(node="laptop", route=wanted))
    assert not [entry for entry in kernel.routes("laptop") if entry.table == 1001]
    assert not [entry for entry in kernel.rules("laptop") if entry.priority == 100]


def test_removing_a_route_spares_the_kernels_own(kernel):
    kernel.apply_all(lan())
    before = state(kernel)
    for text in ("10.0.1.0/24", "fd10::/64"):
        kernel.apply(
            RemoveRoute(node="laptop", route=Route(destination=ip_network(text), interface="eth0"))
        )
    assert state(kernel) == before


def test_what_the_kernel_took_away_itself_can_be_removed(kernel):
    kernel.apply_all(lan())
    default = Route(
        destination=ip_network("0.0.0.0/0"), interface="eth0", via=ip_address("10.0.1.1")
    )
    neighbour = Neighbour(interface="eth0", address=ip_address("10.0.1.1"), mac="02:00:00:03:00:01")
    removals = [
        RemoveRoute(node="laptop", route=default),
        RemoveNeighbour(node="laptop", neighbour=neighbour),
        RemoveAddress(node="laptop", interface="eth0", address=ip_interface("fd10::2/64")),
        RemoveAddress(node="laptop", interface="eth0", address=ip_interface("10.0.1.2/24")),
    ]
    kernel.apply(SetLink(node="laptop", interface="eth0", up=False, old_up=True))
    kernel.apply_all([*removals, *removals])
    gone = RemoveInterface(node="laptop", interface="eth0")
    kernel.apply_all([gone, gone, *removals])
    assert [link.name for link in kernel.links("laptop")] == ["lo"]
    assert [link.name for link in kernel.links("home")] == ["lo", "lan"]


def test_neighbours_are_permanent_and_replaced(kernel):
    kernel.apply_all(lan())
    for text in ("10.0.1.1", "fd10::1"):
        for mac in ("02:00:00:03:00:01", "02:00:00:03:00:02"):
            entry = Neighbour(interface="eth0", address=ip_address(text), mac=mac)
            kernel.apply(SetNeighbour(node="laptop", neighbour=entry))
            (found,) = (
                entry for entry in kernel.neighbours("laptop") if str(entry.address) == text
            )
            assert (found.mac, found.permanent, found.interface) == (mac, True, "eth0")
        kernel.apply(RemoveNeighbour(node="laptop", neighbour=entry))
    assert not [entry for entry in kernel.neighbours("laptop") if entry.permanent]


def test_a_sysctl_that_the_host_lacks_is_named_and_one_that_it_refuses_raises(kernel):
    sysctls = (("ipv4.no_such_key", "1"), ("ipv6.conf.default.accept_dad", "0"))
    kernel.apply(AddNode(node="laptop", sysctls=sysctls))
    kernel.apply(SetSysctl(node="laptop", key="core.nothing", value="2", old="1"))
    assert [(lack.node, lack.key, lack.value, lack.reason) for lack in kernel.lacks] == [
        ("laptop", "ipv4.no_such_key", "1", "No such file or directory"),
        ("laptop", "core.nothing", "2", "No such file or directory"),
    ]
    error = refused(kernel, SetSysctl(node="laptop", key="ipv4.ip_forward", value="x", old="0"))
    assert error.reason.errno == errno.EINVAL
    assert "set the sysctl net.ipv4.ip_forward of laptop to x" in str(error)


def test_duplicate_address_detection_is_the_labs_choice(kernel):
    def is_tentative(wired: Kernel, *sysctls: tuple[str, str]) -> bool:
        plan = [AddNode(node="laptop", sysctls=sysctls), *bridge("laptop", 1, "fd10::2/64")]
        plan += [AddCable(cable=cable(1, "laptop", "eth0", "laptop"))]
        wired.apply_all(plan)
        (ours,) = (e for e in wired.addresses("laptop") if str(e.address) == "fd10::2/64")
        return ours.tentative

    assert not is_tentative(kernel)
    with Kernel(dad=True) as careful:
        # It takes a second for each packet.
        assert is_tentative(careful, ("ipv6.conf.default.dad_transmits", "100"))


def test_a_node_that_is_not_there_is_named(kernel):
    kernel.apply_all(lan())
    before = state(kernel)
    with pytest.raises(LookupError, match="'phone'"):
        kernel.apply_all([address("laptop", "eth0", "10.0.1.8/24"), up("phone", "eth0")])
    assert state(kernel) == before


def test_a_namespace_from_outside_is_a_node_too(kernel):
    descriptor = current_namespace()
    kernel.adopt("ix", descriptor)
    os.close(descriptor)
    kernel.apply_all([*bridge("ix", 1, "198.18.0.1/24")])
    assert [link.name for link in kernel.links("ix")] == ["lo", "lan"]


def test_a_host_with_read_only_sysctls_still_has_silent_ports(kernel):
    """As in a container: the sysctls are named as lacking, and ports make themselves no address."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("/proc/sys", "/proc/sys", flags=linux.MS_BIND | linux.MS_REC)
    read_only = linux.MS_BIND | MS_REMOUNT | linux.MS_RDONLY
    read_only |= linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("none", "/proc/sys", flags=read_only)
    kernel.apply_all(lan())
    assert ("home", "ipv4.ip_forward", "1", "Read-only file system") in [
        (lack.node, lack.key, lack.value, lack.reason) for lack in kernel.lacks
    ]
    assert link(kernel, "home", "v1").running
    assert not [entry for entry in kernel.addresses("home") if entry.interface == "v1"]


def test_packets_to_a_new_address_arrive_from_the_first_on(kernel):
    """The kernel grants an IPv6 address before it delivers to it; we wait for that."""
    kernel.apply_all(lan())
    for number in range(100):
        new = f"fd10::{0x100 + number:x}"
        kernel.apply(address("laptop", "eth0", f"{new}/64"))
        with udp(kernel, "laptop", new, 9000) as receiver, udp(kernel, "home", "::", 0) as sender:
            sender.sendto(b"first", (new, 9000))
            assert receiver.recv(100) == b"first"
