"""When the kernel refuses a change half way, it is as if nobody had asked."""

import pytest
from support import differences, home_and_server, kernel_state, reaches

from patchbay import PatchbayError, RefusedByKernel


@pytest.fixture
def net(lab):
    home_and_server(lab)
    return lab


def _take(name):
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.link("add", ifname=name, kind="bridge")


def _remove(name):
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.link("del", index=ip.link_lookup(ifname=name)[0])


def _add_rule(source, table, priority):
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.rule("add", src=source, src_len=32, table=table, priority=priority)


def states(lab):
    return {plan.name: lab.node(plan.name).call(kernel_state) for plan in lab.plan().nodes}


def assert_refused(lab, change, words):
    """The change raises one clear error, and leaves everything as it was."""
    kernel, topology, events = states(lab), lab.topology(), lab.events()
    files = lab.device("laptop").run(["cat", "/etc/hosts"]).stdout

    with pytest.raises(RefusedByKernel, match=words) as caught:
        change()

    assert isinstance(caught.value, PatchbayError)
    assert len(str(caught.value).splitlines()) <= 3
    assert states(lab) == kernel
    assert lab.topology() == topology
    assert lab.events() == events
    assert lab.device("laptop").run(["cat", "/etc/hosts"]).stdout == files
    assert reaches(lab.device("laptop"), lab.device("server"))
    assert reaches(lab.device("laptop"), lab.device("server"), 6)


def test_an_interface_name_that_user_code_took(net):
    laptop = net.device("laptop")
    laptop.call(_take, "usb0")

    assert_refused(net, lambda: laptop.add_iface("usb0", "dc"), "usb0 of laptop.*File exists")

    laptop.call(_remove, "usb0")
    laptop.add_iface("usb0", "dc")
    assert differences(net) == []


def test_the_port_of_a_device_that_user_code_took(net):
    """The device is new: its namespace and its process go, its names were never seen."""
    dc = net.router("dc")
    taken = f"p{max(cable.number for plan in net.plan().nodes for cable in plan.cables) + 1}"
    dc.call(_take, taken)

    def build():
        with net.batch():
            net.add_device("one", "home")
            net.add_device("two", "dc")
            net.add_device("three", "dc")

    def add():
        for name in ("one", "two", "three"):
            net.add_device(name, "dc")

    assert_refused(net, add, "File exists")
    dc.call(_remove, taken)
    build()
    assert reaches(net.device("one"), net.device("two"))
    assert differences(net) == []


def test_a_batch_is_undone_as_a_whole(net):
    home = net.router("home")
    numbers = [cable.number for plan in net.plan().nodes for cable in plan.cables]
    home.call(_take, f"p{max(numbers) + 4}")

    def build():
        with net.batch():
            net.add_router("dc2")
            net.add_device("a", "dc2")
            net.add_device("b", "home")
            net.add_device("c", "home")
            net.add_device("d", "home")

    assert_refused(net, build, "home.*File exists")
    home.call(_remove, f"p{max(numbers) + 4}")
    build()
    assert reaches(net.device("b"), net.device("a"))
    assert differences(net) == []


def test_a_replug_into_a_router_whose_port_is_taken(net):
    laptop, dc = net.device("laptop"), net.router("dc")
    [port] = [
        cable.peer_interface
        for plan in net.plan().nodes
        for cable in plan.cables
        if cable.node == plan.name == "laptop"
    ]
    dc.call(_take, port)

    assert_refused(net, lambda: laptop.iface("eth0").replug(dc), "File exists")

    dc.call(_remove, port)
    laptop.iface("eth0").replug(dc)
    assert reaches(laptop, net.device("server"))
    assert differences(net) == []


def test_a_rule_that_user_code_made(net):
    """Late in the change: interface, addresses and ports are there already, and go again."""
    laptop = net.device("laptop")
    _, address = net.device("server").iface("eth0").addresses[0], "198.18.1.3"
    number = max(cable.number for plan in net.plan().nodes for cable in plan.cables) + 1
    laptop.call(_add_rule, address, 1000 + number, 1000 + number)

    assert_refused(net, lambda: laptop.add_iface("usb0", "dc"), "laptop.*File exists")


def test_user_code_that_removed_an_interface_of_ours(net):
    """What is gone cannot be changed; removing it is what was wanted anyway."""
    laptop = net.device("laptop")
    usb0 = laptop.add_iface("usb0", "dc")
    laptop.call(_remove, "usb0")

    with pytest.raises(RefusedByKernel, match=r"usb0.*No such device"):
        usb0.set_mtu(1400)
    assert usb0.mtu == 1500
    usb0.remove()
    assert differences(net) == []
    assert reaches(laptop, net.device("server"))


def test_a_process_that_cannot_start_leaves_nothing(net):
    """What was wired for a node goes, from other nodes too, when its process is not ready."""
    assert net.device("laptop").call(_director_whose_nodes_die) == []


def _director_whose_nodes_die():
    """A director of its own, on a node; what its kernel has otherwise after a node died at birth."""
    import tempfile
    from contextlib import ExitStack
    from types import SimpleNamespace

    from actors.errors import NodeDied
    from patchbay.director import LabDirector
    from patchbay.topology.plain import to_plain
    from patchbay.topology.requests import device_request, router_request

    class Processes:
        lacks = ()
        output_directory = None
        dying = ()

        def watch(self, descriptor, handler):
            """Nothing of this test waits for one."""

        def start_nodes(self, specs):
            list(specs)

        def wait_ready(self, names):
            if died := set(names) & set(self.dying):
                raise NodeDied(died.pop(), "it was told to")

        def stop_nodes(self, names):
            self.stopped = list(names)

    def state():
        kernel = director._kernel
        return {
            node: [  # without what comes and goes by itself
                {(link.name, link.mac, link.mtu) for link in kernel.links(node)},
                {(each.interface, each.address) for each in kernel.addresses(node)},
                {repr(e) for e in kernel.routes(node) if not e.destination.is_link_local},
                {repr(each) for each in kernel.rules(node)},
                {repr(each) for each in kernel.neighbours(node) if each.permanent},
            ]
            for node in sorted(kernel.nodes)
        }

    def add(*wanted):
        director.handle("add", {"requests": [(kind, to_plain(each)) for kind, each in wanted]})

    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        processes = Processes()
        processes.hidden = SimpleNamespace(path=lambda name: f"{directory}/{name}")
        options = {"name": "t", "ipv6_provisioning": "static", "ipv6_dad": False, "outdir": None}
        director = LabDirector(
            processes,
            {
                **options,
                "seed": 1,
                "link_engine": "auto",
                "tls_keys": False,
                "max_lag_ms": 5.0,
                "metrics_every": None,
            },
        )
        stack.callback(director._kernel.close_all)
        add(("router", router_request("dc")), ("device", device_request("a", "dc")))
        before, topology = state(), director.handle("topology", {})
        wrong = []
        for dying in (["b"], ["low"]):
            processes.dying = dying
            try:
                add(
                    ("router", router_request("low", upstream="dc")),
                    ("device", device_request("b", "dc")),
                    ("device", device_request("c", "low")),
                )
                wrong.append("it did not raise")
            except NodeDied:
                pass
            wrong += [f"{node} differs" for node in before if state()[node] != before[node]]
            if list(state()) != list(before) or director.handle("topology", {}) != topology:
                wrong.append("nodes are left")
            if sorted(processes.stopped) != ["b", "c", "low"]:
                wrong.append("processes are left")
        processes.dying = ()
        add(("device", device_request("b", "dc")))
    return wrong
