"""What is raised when a step cannot be carried out."""

from __future__ import annotations

from patchbay.topology import steps
from patchbay.topology.steps import Step


class WiringError(Exception):
    """A step that the kernel refused; all steps before it have been undone.

    Attributes:
        step: the step.
        reason: what the kernel said: an `OSError` with its number.
        undoing: what went wrong while the steps before it were undone; empty if nothing did, and
            then everything is as it was before.
    """

    def __init__(self, step: Step, reason: OSError, undoing: tuple[WiringError, ...] = ()) -> None:
        super().__init__(step, reason, undoing)
        self.step = step
        self.reason = reason
        self.undoing = undoing

    def __str__(self) -> str:
        lines = [f"cannot {describe(self.step)}: {self.reason}"]
        lines += [f"while undoing what came before it: {error}" for error in self.undoing]
        return "\n".join(lines)


def describe(step: Step) -> str:
    """Say what a step does, with the node and the interface: "add the bridge lan of home"."""
    match step:
        case steps.AddNode(node=node):
            return f"make the namespace of {node}"
        case steps.RemoveNode(node=node):
            return f"give up the namespace of {node}"
        case steps.AddBridge(node=node, name=name):
            return f"add the bridge {name} of {node}"
        case steps.AddCable(cable=cable):
            return f"lay the cable {_cable(cable)}"
        case steps.MoveCable(before=before, after=after):
            return f"move the cable {_cable(before)} to {_plug(after)}"
        case steps.RemoveInterface(node=node, interface=interface):
            return f"remove the interface {interface} of {node}"
        case steps.SetLink(node=node, interface=interface, mtu=mtu, up=up):
            wanted = [] if mtu is None else [f"an MTU of {mtu}"]
            wanted += [] if up is None else ["up" if up else "down"]
            return f"set {interface} of {node} to {', '.join(wanted) or 'nothing'}"
        case steps.AddAddress(node=node, interface=interface, address=address):
            return f"add the address {address} to {interface} of {node}"
        case steps.RemoveAddress(node=node, interface=interface, address=address):
            return f"remove the address {address} from {interface} of {node}"
        case steps.SetRoute(node=node, route=route):
            return f"set the route {_route(route)} of {node}"
        case steps.RemoveRoute(node=node, route=route):
            return f"remove the route {_route(route)} of {node}"
        case steps.AddRule(node=node, rule=rule):
            return f"add the rule {_rule(rule)} of {node}"
        case steps.RemoveRule(node=node, rule=rule):
            return f"remove the rule {_rule(rule)} of {node}"
        case steps.SetNeighbour(node=node, neighbour=neighbour):
            return f"set the neighbour {_neighbour(neighbour)} of {node}"
        case steps.RemoveNeighbour(node=node, neighbour=neighbour):
            return f"remove the neighbour {_neighbour(neighbour)} of {node}"
        case steps.SetCondition(node=node, interface=interface, link=link):
            what = "nothing" if link is None else "a condition"
            return f"have packets that leave by {interface} of {node} meet {what}"
        case steps.SetTables(node=node, tables=tables):
            names = ", ".join(f"{table.family.value} {table.name}" for table in tables)
            return f"set the nftables tables of {node} to {names or 'none'}"
        case steps.SetSysctl(node=node, key=key, value=value):
            return f"set the sysctl net.{key} of {node} to {value}"
        case _:
            return f"carry out {step}"


def _plug(cable: steps.Cable) -> str:
    port = f"{cable.peer_interface} of {cable.peer_node}"
    return port if cable.bridge is None else f"{port} (bridge {cable.bridge})"


def _cable(cable: steps.Cable) -> str:
    return f"from {cable.interface} of {cable.node} to {_plug(cable)}"


def _route(route: steps.Route) -> str:
    via = "" if route.via is None else f" via {route.via}"
    table = "" if route.table == steps.MAIN_TABLE else f" in table {route.table}"
    return f"{route.destination}{via} over {route.interface}{table}"


def _rule(rule: steps.Rule) -> str:
    return f"{rule.priority}: from {rule.source} lookup {rule.table}"


def _neighbour(neighbour: steps.Neighbour) -> str:
    return f"{neighbour.address} at {neighbour.mac} on {neighbour.interface}"
