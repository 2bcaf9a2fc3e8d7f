"""What tests of labs share: small networks, traffic, and a witness of what a kernel has."""

from __future__ import annotations

import errno
import math
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from patchbay.topology.plan import NodePlan


def home_and_server(lab, **options):
    """A server at a data centre, and a laptop at home behind NAT: (dc, home, server, laptop)."""
    dc = lab.add_router("dc", preset="public")
    home = lab.add_router("home", preset="home", **options)
    return dc, home, lab.add_device("server", dc), lab.add_device("laptop", home)


def reaches(source, target, version=4, *, timeout=30.0):
    """Whether echo requests of a version of IP are answered."""
    address = target.ip if version == 4 else target.ip6
    return bool(source.ping(address, timeout=timeout))


def refused(source, target, version=4):
    """Whether echo requests get lost; short, since waiting is all it does."""
    return not reaches(source, target, version, timeout=0.15)


TURNS = 30
"""How often a process looks for what shall never come, each time for 10 ms.

Turns are counted and not seconds: a machine that is too busy to let others run lets this one wait
longer as well.
"""

PATIENT = 100 * TURNS
"""How often it looks for what shall come."""


def ask(sock, target, turns, question=b"?\n"):
    """Connect a socket, send something, and return the first answer; runs on a node.

    Raises:
        TimeoutError: nothing came.
        OSError: it was refused.
    """
    sock.setblocking(False)
    error = sock.connect_ex(target)
    if error == errno.EINPROGRESS:
        wait_turns(sock, select.POLLOUT, turns)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
    sock.send(question)
    wait_turns(sock, select.POLLIN, turns)
    return sock.recv(2000)


def wait_turns(sock, event, turns):
    """Wait until a socket is ready, or raise TimeoutError."""
    poll = select.poll()
    poll.register(sock, event)
    if not any(poll.poll(10) for _ in range(turns)):
        raise TimeoutError


def exchange(client, server, version=4, *, port=9000):
    """Send a line over TCP from one node to another and back; the address the server saw."""
    host = str(server.ip if version == 4 else server.ip6)
    with server.reflector("tcp", port) as reflector:
        return client.call(_seen_by, host, reflector.port)


def _seen_by(host, port):
    with socket.create_connection((host, port), timeout=60) as connection:
        file = connection.makefile("rw", newline="\n")
        seen = file.readline().split()[1]
        file.write("hello\n")
        file.flush()
        assert file.readline() == "hello\n"
    return seen


@contextmanager
def held_open(client, server, version=4) -> Iterator[Conversation]:
    """A TCP connection that stays open, to say something over again and again."""
    host = str(server.ip if version == 4 else server.ip6)
    with server.reflector("tcp") as reflector:
        sock = client.socket(socket.AF_INET if version == 4 else socket.AF_INET6)
        with sock:
            sock.settimeout(60)
            sock.connect((host, reflector.port))
            yield Conversation(sock)


class Conversation:
    """An open connection to an echo server."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._file = sock.makefile("rb")
        self.greeting = self._file.readline()
        self._said = 0

    def works(self) -> bool:
        """Say something new, and hear it back."""
        self._said += 1
        line = f"line {self._said}\n".encode()
        self.socket.sendall(line)
        return self._file.readline() == line


class Traffic:
    """Datagrams from a node to a reflector, one after the other, until it is stopped."""

    def __init__(self, client, host: str, port: int) -> None:
        """Begin; the first has been sent when this returns."""
        client.call(_begin_traffic)
        self._task = client.submit(_traffic, host, port)
        self._client = client
        client.call(_await_traffic)

    def stop(self, most_lost: float = 0) -> tuple[int, int]:
        """How many were sent, and how many answered.

        Args:
            most_lost: how many may be missing: waits for the others, and sends more than that.
        """
        self._client.call(_stop_traffic, most_lost)
        return self._task.result(timeout=60)


_flows = threading.Event()
_stopped = threading.Event()
_may_be_lost = [0.0]


def _begin_traffic():
    """By a call of its own: what is submitted may begin after it is told to stop."""
    _flows.clear()
    _stopped.clear()
    _may_be_lost[0] = 0.0


def _traffic(host, port):
    sent = answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        # in virtual time, time passes only while all wait
        while not _stopped.wait(0.001) or sent <= _may_be_lost[0] < math.inf:
            sock.sendto(b"x", (host, port))
            sent += 1
            _flows.set()
            try:
                sock.recv(100)
                answered += 1
            except TimeoutError:
                pass
        deadline = time.monotonic() + 30
        while answered < sent - _may_be_lost[0] and time.monotonic() < deadline:
            try:
                sock.recv(100)
                answered += 1
            except TimeoutError:
                pass
    return sent, answered


def _await_traffic():
    assert _flows.wait(60)


def _stop_traffic(most_lost):
    _may_be_lost[0] = most_lost
    _stopped.set()


# ---- the kernel as a witness --------------------------------------------------------------------


def kernel_state() -> dict[str, set[tuple]]:
    """What this process's network namespace has, read by pyroute2; runs on a node."""
    from ipaddress import ip_network

    from pyroute2 import IPRoute

    state: dict[str, set[tuple]] = {}
    with IPRoute() as ip:
        links = {link["index"]: link for link in ip.get_links()}
        names = {index: link.get_attr("IFLA_IFNAME") for index, link in links.items()}
        state["links"] = {
            (
                names[index],
                link.get_attr("IFLA_ADDRESS"),
                link.get_attr("IFLA_MTU"),
                bool(link["flags"] & 1),
                names.get(link.get_attr("IFLA_MASTER")),
            )
            for index, link in links.items()
            if names[index] != "lo"
        }
        state["addresses"] = {
            (names[each["index"]], f"{each.get_attr('IFA_ADDRESS')}/{each['prefixlen']}")
            for each in ip.get_addr()
            if names[each["index"]] != "lo" and not each.get_attr("IFA_ADDRESS").startswith("fe80:")
        }
        state["routes"] = set()
        for family in (2, 10):
            for route in ip.get_routes(family=family):
                table = route.get_attr("RTA_TABLE")
                unicast, black_hole = 1, 6
                lost = route["type"] == black_hole
                kernels_own = route["proto"] == 2 or not (lost or route["type"] == unicast)
                kernels_own = kernels_own or table == 255
                if kernels_own:
                    continue
                destination = route.get_attr("RTA_DST")
                bare = "0.0.0.0" if family == 2 else "::"
                state["routes"].add(
                    (
                        table,
                        str(ip_network(f"{destination or bare}/{route['dst_len']}")),
                        None if lost else names[route.get_attr("RTA_OIF")],
                        via["addr"]
                        if (via := route.get_attr("RTA_VIA"))
                        else route.get_attr("RTA_GATEWAY"),
                        route.get_attr("RTA_PREFSRC"),
                        metrics.get_attr("RTAX_MTU")
                        if (metrics := route.get_attr("RTA_METRICS"))
                        else None,
                    )
                )
        state["rules"] = {
            (
                str(ip_network(f"{rule.get_attr('FRA_SRC') or bare}/{rule['src_len']}")),
                rule.get_attr("FRA_IIFNAME"),
                rule.get_attr("FRA_TABLE"),
                priority,
            )
            for family, bare in ((2, "0.0.0.0"), (10, "::"))
            for rule in ip.get_rules(family=family)
            if (priority := rule.get_attr("FRA_PRIORITY")) not in (0, None, 32766, 32767)
        }
        state["neighbours"] = {
            (names[each["ifindex"]], each.get_attr("NDA_DST"), each.get_attr("NDA_LLADDR"))
            for family in (2, 10)
            for each in ip.get_neighbours(family=family)
            if each["state"] & 0x80
        }
    return state


def link_states() -> dict[str, bool]:
    """Which interfaces can carry packets now; runs on a node."""
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        return {
            link.get_attr("IFLA_IFNAME"): link.get_attr("IFLA_OPERSTATE") == "UP"
            for link in ip.get_links()
        }


def planned_state(plan: NodePlan) -> dict[str, set[tuple]]:
    """The same, as the plan says it."""
    links: set[tuple] = {(each.name, each.mac, each.mtu, True, None) for each in plan.bridges}
    for cable in plan.cables:
        if cable.node == plan.name:
            up = cable.interface not in plan.down
            links.add((cable.interface, cable.mac, cable.mtu, up, cable.node_bridge))
        if cable.peer_node == plan.name:
            links.add((cable.peer_interface, cable.peer_mac, cable.peer_mtu, True, cable.bridge))
    return {
        "links": links,
        "addresses": {(name, str(address)) for name, address in plan.addresses},
        "routes": {
            (
                route.table,
                str(route.destination),
                route.interface,
                None if route.via is None else str(route.via),
                None if route.source is None else str(route.source),
                route.mtu,
            )
            for route in plan.routes
        },
        "rules": {
            (str(rule.source), rule.interface, rule.table, rule.priority) for rule in plan.rules
        },
        "neighbours": {(each.interface, str(each.address), each.mac) for each in plan.neighbours},
    }


def differences(lab) -> list[str]:
    """What the kernel of each node has otherwise than `plan()` and the handles say."""
    found = []
    for plan in lab.plan().nodes:
        node = lab.node(plan.name)
        told, has = planned_state(plan), node.call(kernel_state)
        for kind in told:
            found += [
                f"{plan.name}: {kind} lacks {each}"
                for each in sorted(told[kind] - has[kind], key=str)
            ]
            found += [
                f"{plan.name}: {kind} has also {each}"
                for each in sorted(has[kind] - told[kind], key=str)
            ]
        addresses = {(name, address) for name, address in has["addresses"]}
        links = {link[0]: link for link in has["links"]}
        for iface in node.ifaces:
            _, mac, mtu, up, _ = links[iface.name]
            if (iface.mac, iface.mtu, iface.is_up) != (mac, mtu, up):
                found.append(f"{plan.name}: {iface} says {iface.mac, iface.mtu, iface.is_up}")
            for address in iface.addresses:
                if (iface.name, str(address)) not in addresses:
                    found.append(f"{plan.name}: {iface} says {address}")
    return found
