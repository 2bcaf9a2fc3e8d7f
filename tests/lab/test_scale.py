"""Large labs: more routers than an octet counts, more cables than a bridge has ports."""

from support import exchange, kernel_state, planned_state, reaches

from patchbay.topology.plan import node_plan
from tests.waiting import PATIENCE


def test_three_hundred_routers_reach_each_other(lab):
    """More than the 254 addresses of one /24 at the IX, and more than 255 subnets."""
    with lab.batch():
        routers = [
            lab.add_router(f"r{number}", preset="home" if number % 2 else "public")
            for number in range(300)
        ]
        first, last = lab.add_device("first", routers[0]), lab.add_device("last", routers[-1])
        middle = lab.add_device("middle", routers[150])

    assert len({router.uplink.address for router in lab.topology().routers.values()}) == 300
    assert exchange(last, first) == str(routers[-1].uplink_ip)
    assert exchange(last, first, 6) == str(last.ip6)
    assert exchange(first, middle) == str(first.ip)
    assert reaches(routers[299], routers[2])
    assert reaches(lab.ix, middle)
    late = lab.add_device("late", lab.add_router("r300"))
    assert reaches(late, middle)


def test_a_thousand_devices_of_one_lan_reach_each_other(lab):
    """A bridge of the kernel takes 1,023 ports at most; this LAN has more, and is one all the same."""
    with lab.batch():
        dc = lab.add_router("dc")
        home = lab.add_router("home", downstream="10.0.0.0/20")
        devices = [lab.add_device(f"d{number}", home) for number in range(1030)]

    assert [bridge.name for bridge in node_plan(lab.topology(), "home").bridges] == [
        "lan",
        "lan1",
        "lan2",
    ]
    for one, other in [(0, 1), (0, 999), (999, 0), (1000, 1029), (1029, 5), (3, 1015)]:
        # Who asks all the others for an address may not be heard by each of them at once.
        for address in (devices[other].ip, devices[other].ip6):
            assert devices[one].ping(address, 3, timeout=PATIENCE), (one, address)
    assert reaches(devices[1029], lab.ix)
    assert reaches(lab.ix, devices[1029])

    late = lab.add_device("late", home)
    assert late.ping(devices[0], 3, timeout=PATIENCE)
    assert late.ping("d700", 3, timeout=PATIENCE)
    late.iface("eth0").replug(dc)
    assert reaches(late, devices[0])

    told, has = planned_state(node_plan(lab.topology(), "home")), home.call(kernel_state)
    assert {kind: told[kind] ^ has[kind] for kind in told} == {kind: set() for kind in told}
