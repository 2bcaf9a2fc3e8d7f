"""A pure interpreter of steps: what a kernel would have after them, or why it would refuse one."""

import re

from patchbay.rules import nat
from patchbay.topology import steps as s
from patchbay.topology.macs import link_local
from patchbay.values import Nat

UNSTATED = dict(nat.sysctls(Nat.NONE))


def _snake(name):
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


class Refused(Exception):
    pass


def need(condition, *why):
    if not condition:
        raise Refused(*why)


class Kernel:
    """Namespaces, interfaces, addresses, routes and so on, with the kernel's own side effects."""

    def __init__(self):
        self.nodes = {}
        self.links = {}  # (node, name) -> dict(mac, mtu, up, master, peer, kind)
        self.addresses = set()
        self.routes = {}
        self.rules = set()
        self.neighbours = {}
        self.tables = {}
        self.conditions = {}

    def state(self):
        links = {
            key: tuple(sorted((k, v) for k, v in link.items())) for key, link in self.links.items()
        }
        # What a node does not state is what every namespace begins with.
        nodes = {node: {**UNSTATED, **sysctls} for node, sysctls in self.nodes.items()}
        return (
            nodes, links, self.addresses, self.routes, self.rules, self.neighbours, self.tables,
            self.conditions,
        )  # fmt: skip

    def apply(self, steps):
        for step in steps:
            getattr(self, _snake(type(step).__name__))(step)
        return self

    def forget(self, step):
        need(step.node in self.nodes, "no such node", step)

    def add_node(self, step):
        need(step.node not in self.nodes, "node exists", step)
        self.nodes[step.node] = dict(step.sysctls)

    def remove_node(self, step):
        need(step.node in self.nodes, "no such node", step)
        for node, name in list(self.links):
            if node == step.node and (node, name) in self.links:
                self._delete(node, name)
        del self.nodes[step.node]
        self.rules = {key for key in self.rules if key[0] != step.node}
        self.routes = {key: route for key, route in self.routes.items() if key[0] != step.node}
        self.tables.pop(step.node, None)

    def add_bridge(self, step):
        self._new(step.node, step.name, kind="bridge", mac=step.mac, mtu=step.mtu, up=True)

    def add_cable(self, step):
        c = step.cable
        own, peer = (c.node, c.interface), (c.peer_node, c.peer_interface)
        joint = c.node_bridge is not None
        self._new(
            *own, kind="veth", mac=c.mac, mtu=c.mtu, up=joint, peer=peer, master=c.node_bridge
        )
        self._new(
            *peer,
            kind="veth",
            mac=c.peer_mac,
            mtu=c.peer_mtu,
            up=c.bridge is not None,
            peer=own,
            master=c.bridge,
        )

    def move_cable(self, step):
        b, a = step.before, step.after
        own, old, new = (
            (b.node, b.interface),
            (b.peer_node, b.peer_interface),
            (a.peer_node, a.peer_interface),
        )
        need(self.links[own]["peer"] == old, "not plugged in there", step)
        need((a.mtu, a.peer_mtu, a.mac, a.peer_mac) == (b.mtu, b.peer_mtu, b.mac, b.peer_mac))
        need(old not in self.conditions, "packets meet something on it still", step)
        link = self.links.pop(old)
        need(new not in self.links, "name exists", step)
        need((a.peer_node, a.bridge) in self.links, "no such bridge", step)
        self.links[new] = {**link, "master": a.bridge}
        self.links[own]["peer"] = new
        self._check_ports(a.peer_node, a.bridge)

    def remove_interface(self, step):
        need((step.node, step.interface) in self.links, "no such interface", step)
        self._delete(step.node, step.interface)

    def set_link(self, step):
        link = self.links.get((step.node, step.interface))
        need(link is not None, "no such interface", step)
        if step.mtu is not None:
            need(link["mtu"] == step.old_mtu, "another mtu", step, link)
            link["mtu"] = step.mtu
        if step.up is not None:
            need(link["up"] == step.old_up, "in that state", step)
            link["up"] = step.up
            if not step.up:
                self._flush(step.node, step.interface)

    def add_address(self, step):
        need((step.node, step.interface) in self.links, "no such interface", step)
        key = (step.node, step.interface, step.address)
        need(key not in self.addresses, "address exists", step)
        self.addresses.add(key)

    def remove_address(self, step):
        key = (step.node, step.interface, step.address)
        need(key in self.addresses, "no such address", step)
        self.addresses.remove(key)
        version = step.address.version
        if not any(k[:2] == key[:2] and k[2].version == version for k in self.addresses):
            self.routes = {
                k: r
                for k, r in self.routes.items()
                if (k[0], r.interface, k[2].version) != (step.node, step.interface, version)
            }

    def set_route(self, step):
        route, key = step.route, (step.node, step.route.table, step.route.destination)
        need(step.node in self.nodes, "no such node", step)
        if route.interface is not None:
            link = self.links.get((step.node, route.interface))
            need(link is not None and link["up"], "interface is down", step)
        on_link = [
            a.network for n, i, a in self.addresses if (n, i) == (step.node, route.interface)
        ]
        if route.via is not None and not route.via.is_link_local:
            need(any(route.via in network for network in on_link), "no way to next hop", step)
        need(self.routes.get(key) == step.old, "another route", step, self.routes.get(key))
        self.routes[key] = route

    def remove_route(self, step):
        key = (step.node, step.route.table, step.route.destination)
        if self.routes.get(key) == step.route:
            del self.routes[key]

    def add_rule(self, step):
        need((step.node, step.rule) not in self.rules, "rule exists", step)
        self.rules.add((step.node, step.rule))

    def remove_rule(self, step):
        need((step.node, step.rule) in self.rules, "no such rule", step)
        self.rules.remove((step.node, step.rule))

    def set_neighbour(self, step):
        link = self.links.get((step.node, step.neighbour.interface))
        need(link is not None and link["up"], "interface is down", step)
        key = (step.node, step.neighbour.interface, step.neighbour.address)
        need(self.neighbours.get(key) == step.old, "another neighbour", step)
        self.neighbours[key] = step.neighbour

    def remove_neighbour(self, step):
        key = (step.node, step.neighbour.interface, step.neighbour.address)
        self.neighbours.pop(key, None)

    def set_tables(self, step):
        need(step.node in self.nodes, "no such node", step)
        tables = self.tables.pop(step.node, frozenset())
        need(tables >= set(step.old), "other tables", step)
        tables = (tables - set(step.old)) | set(step.tables)
        need(len({table.name for table in tables}) == len(tables), "table exists", step)
        if tables:
            self.tables[step.node] = tables

    def set_condition(self, step):
        key = (step.node, step.interface)
        need(key in self.links, "no such interface", step)
        need(self.conditions.get(key) == step.old, "another condition", step)
        self.conditions.pop(key, None)
        if step.link is not None:
            self.conditions[key] = step.link

    def set_sysctl(self, step):
        sysctls = self.nodes[step.node]
        need(sysctls.get(step.key, step.old) == step.old, "another value", step)
        sysctls[step.key] = step.value

    def _new(self, node, name, *, master=None, peer=None, **link):
        need(node in self.nodes, "no such node", node)
        need((node, name) not in self.links, "name exists", node, name)
        need(len(name.encode()) <= 15, "name too long", name)
        self.links[node, name] = {**link, "master": master, "peer": peer}
        if master is not None:
            self._check_ports(node, master)

    def _check_ports(self, node, bridge):
        need((node, bridge) in self.links, "no such bridge", node, bridge)
        ports = [k for k, v in self.links.items() if (k[0], v["master"]) == (node, bridge)]
        need(len(ports) <= 1023, "too many ports", node, bridge)

    def _delete(self, node, name):
        link = self.links.pop((node, name))
        self.conditions.pop((node, name), None)
        self.conditions.pop(link["peer"], None)
        self._flush(node, name)
        self.addresses = {key for key in self.addresses if key[:2] != (node, name)}
        if link["peer"] is not None:
            del self.links[link["peer"]]
            self._flush(*link["peer"])
            self.addresses = {key for key in self.addresses if key[:2] != link["peer"]}
        for key, other in self.links.items():
            if key[0] == node and other["master"] == name:
                other["master"] = None

    def _flush(self, node, name):
        self.routes = {
            key: route
            for key, route in self.routes.items()
            if (key[0], route.interface) != (node, name)
        }
        self.neighbours = {
            key: value for key, value in self.neighbours.items() if key[:2] != (node, name)
        }

    # ---- packets -------------------------------------------------------------------------------

    def local(self, node, address):
        return any(n == node and a.ip == address for n, _, a in self.addresses)

    def lookup(self, node, destination, source, interface="lo"):
        """The route that a packet takes on a node, as the kernel's rules and tables say."""
        tables = [
            r.table
            for n, r in sorted(self.rules, key=lambda rule: rule[1].priority)
            if n == node and source in r.source and r.interface in (None, interface)
        ]
        for table in (*tables, s.MAIN_TABLE):
            found = [
                (d.prefixlen, route)
                for (n, t, d), route in self.routes.items()
                if (n, t) == (node, table) and destination in d
            ]
            if table == s.MAIN_TABLE:
                found += [
                    (a.network.prefixlen, s.Route(destination=a.network, interface=i))
                    for n, i, a in self.addresses
                    if n == node and destination in a.network and self.links[n, i]["up"]
                ]
            if found:
                return max(found, key=lambda pair: pair[0])[1]
        return None

    def walk(self, node, source, destination):
        """The nodes that a packet crosses to the one with its destination; None if it is lost."""
        path, came_by = [node], "lo"
        for _ in range(32):
            if self.local(path[-1], destination):
                return path
            route = self.lookup(path[-1], destination, source, came_by)
            if route is None or route.interface is None:
                return None
            hop = route.via or destination
            if hop.is_link_local:
                peer = self.links[path[-1], route.interface]["peer"]
                link = self.links[peer]
                if not link["up"] or link_local(link["mac"]) != hop:
                    return None
                owners = {peer}
            else:
                lan = self.segment(path[-1], route.interface)
                owners = {
                    (n, i)
                    for n, i, a in self.addresses
                    if a.ip == hop and self.segment(n, i) == lan and self.links[n, i]["up"]
                }
            if len({n for n, _ in owners}) != 1:
                return None
            ((owner, came_by), *_) = owners
            path.append(owner)
        return None

    def segment(self, node, interface):
        """What a wire is joined to in the end: the first bridge of its LAN."""
        link = self.links[node, interface]
        if link["kind"] == "veth":
            node, port = link["peer"]
            interface = self.links[node, port]["master"]
        while (node, f"{interface}-up") in self.links:
            interface = self.links[node, f"{interface}-down"]["master"]
        return node, interface
