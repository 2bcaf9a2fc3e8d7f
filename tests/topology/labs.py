"""Topologies for tests, and random edits of them."""

from ipaddress import ip_interface

from hypothesis import strategies as st

from patchbay.errors import ConfigError
from patchbay.topology import edit, edit_regions, partitions
from patchbay.topology.empty import new_topology
from patchbay.topology.model import IX, Partition
from patchbay.topology.requests import (
    LaneRequest,
    device_request,
    region_request,
    router_request,
    trunk_request,
)
from patchbay.values import (
    Firewall,
    FlowMatch,
    Hold,
    IfaceConfig,
    LinkCondition,
    LinkEngine,
    Nat,
    NatConfig,
    PortForward,
    Ramp,
    RegionLink,
    Schedule,
    Trace,
)


def lab(*requests, **options):
    return edit.batch(new_topology("test", **options), requests)


def router(name, upstream=None, **options):
    return router_request(name, upstream=upstream, **options)


def device(name, *args, **options):
    return device_request(name, *args, **options)


def region(name, **options):
    return region_request(name, **options)


def link(one, other, there=RegionLink(), back=None):  # noqa: B008 (it is frozen)
    return trunk_request(one, other, there, back)


def usual():
    """A data centre, a home behind a provider, and a phone in both."""
    return lab(
        router("dc", preset="public"),
        router("isp"),
        router("home", "isp", preset="home"),
        device("server", "dc"),
        device("laptop", "home"),
        device("phone", ifaces={"wlan0": "home", "cell0": "isp"}),
    )


_SUBNETS = ("192.168.1.0/24", "10.0.0.0/8", "10.0.1.0/24", "172.16.0.0/30", "198.18.1.0/24")
_numbers = st.integers(0, 30)


@st.composite
def random_edit(draw, kinds=None):
    """A function that changes a topology somehow; a change that is refused leaves it as it is."""
    kind = draw(st.sampled_from(kinds or _EDITS))
    a, b, c = draw(_numbers), draw(_numbers), draw(_numbers)

    def apply(topology):
        try:
            return kind(topology, a, b, c)
        except ConfigError:
            return topology

    apply.__name__ = f"{kind.__name__}({a}, {b}, {c})"
    return apply


def _pick(names, number):
    names = list(names)
    if not names:
        raise ConfigError([])
    return names[number % len(names)]


def _any_interface(t, number):
    pairs = [(r.name, "wan") for r in t.routers.values()]
    pairs += [(d.name, i.name) for d in t.devices.values() for i in d.interfaces]
    return _pick(pairs, number)


def _router(t, a, b, c):
    support = ("dual_stack", "v4_only", "v6_only")[c % 3 if c > 20 else 0]
    return edit.add_router(
        t,
        router(
            f"r{a}",
            _pick((IX, *t.routers, *t.regions), b),
            nat="home" if c % 3 == 1 else "none",
            ip_support=support,
            downstream=_SUBNETS[c % 5] if c < 5 else None,
            mtu=1400 if c == 12 else None,
        ),
    )


def _device(t, a, b, c):
    first = _pick((IX, *t.routers, *t.regions), b)
    if c % 2:
        return edit.add_device(t, device(f"d{a}", first))
    second = IfaceConfig(_pick((IX, *t.routers, *t.regions), c), up=c % 4 == 0)
    return edit.add_device(t, device(f"d{a}", ifaces={"eth0": first, "eth1": second}))


def _remove(t, a, b, c):
    return edit.remove(t, _pick((*t.routers, *t.devices, *t.regions), a))


def _add_iface(t, a, b, c):
    return edit.add_iface(
        t, _pick(t.devices, a), f"eth{b % 4}", IfaceConfig(_pick((IX, *t.routers, *t.regions), c))
    )


def _remove_iface(t, a, b, c):
    d = t.devices[_pick(t.devices, a)]
    return edit.remove_iface(t, d.name, _pick([i.name for i in d.interfaces], b))


def _replug(t, a, b, c):
    return edit.replug(t, *_any_interface(t, a), _pick((IX, *t.routers, *t.regions), b))


def _renew(t, a, b, c):
    return edit.renew_ip(t, *_any_interface(t, a))


def _add_ip(t, a, b, c):
    node, name = _any_interface(t, a)
    interface = edit.find_interface(t, node, name)
    base = interface.address if b % 2 else interface.address6
    if base is None:
        raise ConfigError([])
    return edit.add_ip(t, node, name, ip_interface(base.network.network_address + 100 + c))


def _up(t, a, b, c):
    return edit.set_up(t, *_any_interface(t, a), up=bool(b % 2))


def _mtu(t, a, b, c):
    return edit.set_mtu(t, *_any_interface(t, a), (None, 1300, 9000, 600)[b % 4])


TIMED = (
    Schedule(Hold("wifi", 1), Ramp("satellite", 2, 0.25), Hold(None, 3), repeat=None),
    Schedule(Ramp(LinkCondition(50, rate_kbit=9), 2, start=LinkCondition(rate_kbit=3)), Hold(None)),
    Trace([(0, "lan"), (0.25, None), (7, LinkCondition(loss_pct=2.5))], 9.5, repeat=3),
)


def _condition(t, a, b, c):
    condition = (
        *(None, LinkCondition.WIFI, LinkCondition(rate_kbit=1000), LinkCondition.LAN),
        *TIMED,
    )[b % 7]
    direction = ("up", "down", "both")[c % 3]
    flows = ((FlowMatch(port=443), LinkCondition.WIFI_BAD),) if a % 3 == 0 else ()
    return edit.set_condition(t, *_any_interface(t, a), condition, direction, flows=flows)


def _downlink(t, a, b, c):
    condition = (None, LinkCondition.WIFI, TIMED[0])[b % 3]
    return edit.set_downlink(t, _pick(t.routers, a), condition)


def _default(t, a, b, c):
    d = t.devices[_pick(t.devices, a)]
    return edit.set_default_route(t, d.name, _pick([i.name for i in d.interfaces], b))


def _nat(t, a, b, c):
    router = _pick(t.routers, a)
    own = t.routers[router].uplink.address
    pool = [] if own is None else [own.network[200 + c]]
    lan = t.routers[_pick(t.routers, c)].downstream
    forwards = [] if lan is None else [PortForward("tcp", 80, lan[2])]
    kinds = (
        Nat.NONE,
        Nat.HOME,
        NatConfig(addresses=pool),
        NatConfig(exempt=["203.0.113.0/24"]),
        NatConfig(forwards=forwards),
    )
    return edit.set_nat(t, router, kinds[b % len(kinds)])


def _firewall(t, a, b, c):
    return edit.set_firewall(t, _pick(t.routers, a), (Firewall.NONE, Firewall.BLOCK_INBOUND)[b % 2])


def _region(t, a, b, c):
    return edit.batch(t, [region(f"g{a % 6}", transit=c % 4 == 0)])


def _router_in_region(t, a, b, c):
    return edit.add_router(t, router(f"r{a}", _pick(t.regions, b), nat="home" if c % 3 else "none"))


def _link(t, a, b, c):
    return edit.batch(t, [link(_pick(t.regions, a), _pick(t.regions, b))])


def _any_trunk(t, a):
    one, other = _pick(t.trunks, a).ends
    return (one, other) if a % 2 else (other, one)


def _update_link(t, a, b, c):
    lanes = (
        LaneRequest(),
        LaneRequest(condition=LinkCondition.SATELLITE, engine=LinkEngine.USER),
        LaneRequest(condition=TIMED[0], flows=((FlowMatch(port=53), LinkCondition.WIFI),)),
        LaneRequest(condition=TIMED[1 % len(TIMED)]),
        LaneRequest(condition=LinkCondition(40, rate_kbit=0.1, ecn=True, queue_discipline="codel")),
    )
    link, back = lanes[b % len(lanes)], lanes[c % len(lanes)]
    return edit_regions.update_link(t, *_any_trunk(t, a), link, back)


def _break_link(t, a, b, c):
    return edit_regions.break_link(t, *_any_trunk(t, a), reroute=bool(b % 2))


def _restore_link(t, a, b, c):
    return edit_regions.restore_link(t, *_any_trunk(t, a))


def _unlink(t, a, b, c):
    return edit_regions.unlink(t, *_any_trunk(t, a))


def _transit(t, a, b, c):
    return edit_regions.set_transit(t, _pick(t.regions, a), bool(b % 2))


def _partition(t, a, b, c):
    nodes = (*t.regions, *t.routers, *t.devices)
    sides = ((_pick(nodes, a),), tuple({_pick(nodes, b), _pick(nodes, c)}))
    return partitions.partition(t, Partition(sides=sides, one_way=bool(a % 2)))


def _heal(t, a, b, c):
    return partitions.heal(t, _pick(t.partitions, a) if b % 3 else None)


_OF_REGIONS = (
    _partition, _partition, _heal,
    _region, _region, _region, _link, _link, _link, _router_in_region, _router_in_region,
    _update_link, _break_link, _restore_link, _unlink, _transit,
)  # fmt: skip
_EDITS = (
    _router, _router, _router, _device, _device, _device, _remove, _add_iface, _remove_iface,
    _replug, _replug, _renew, _add_ip, _up, _mtu, _default, _nat, _firewall,
    *_OF_REGIONS,
    _condition, _downlink,
)  # fmt: skip
region_edits = st.lists(random_edit(_OF_REGIONS), min_size=1, max_size=20)
edits = st.lists(random_edit(), min_size=1, max_size=20)
