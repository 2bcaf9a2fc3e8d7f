"""Routers that give their mappings up: when asked, and by themselves."""

import pytest
from support import home_and_server

from patchbay import ConfigError, NatConfig
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def net(lab):
    home_and_server(lab)
    return lab


def seen_at_6000(reflector, host):
    """Asked once only: a second request would be answered after the mapping has gone."""
    return reflector.observe(host, source_port=6000, timeout=PATIENCE, tries=1)


def test_a_rebound_router_uses_another_port_and_lets_nobody_in_by_the_old_one(net):
    home, laptop = net.router("home"), net.device("laptop")
    with net.device("server").reflector() as reflector:
        ports = [seen_at_6000(reflector, laptop).port]
        for _ in range(3):
            home.rebind_nat()
            assert home.nat_table() == []
            ports.append(seen_at_6000(reflector, laptop).port)
    assert ports[0] == 6000
    assert len(set(ports)) == 4


def test_the_address_can_change_as_well(net):
    home, laptop = net.router("home"), net.device("laptop")
    before = home.uplink_ip
    with net.device("server").reflector() as reflector:
        assert seen_at_6000(reflector, laptop).ip == before
        home.rebind_nat(address=True)
        seen = seen_at_6000(reflector, laptop)
    assert before != home.uplink_ip == seen.ip
    assert seen.port != 6000
    event = next(each for each in net.events() if each.kind == "nat_rebound")
    assert event.fields == {"node": "home", "address": str(home.uplink_ip)}


def test_a_new_uplink_address_leaves_no_mapping_behind(net):
    home, laptop = net.router("home"), net.device("laptop")
    with net.device("server").reflector() as reflector:
        seen_at_6000(reflector, laptop)
        home.iface("wan").renew_ip()
        assert home.nat_table() == []
        seen = seen_at_6000(reflector, laptop)
    assert seen.ip == home.uplink_ip


def test_a_router_rebinds_by_itself_until_it_is_set_otherwise(net):
    home, laptop = net.router("home"), net.device("laptop")
    home.set_nat(NatConfig(rebind_every=0.2))
    with net.device("server").reflector() as reflector:
        ports = set()

        def has_had_three() -> bool:
            try:
                seen = reflector.observe(laptop, source_port=6000, timeout=0.5, tries=1)
            except TimeoutError:  # it was rebound before the answer came
                return False
            ports.add(seen.port)
            return len(ports) >= 3

        wait_until(has_had_three, patience=2 * PATIENCE)
        home.set_nat("home", flush=True)
        told = len([each for each in net.events() if each.kind == "nat_rebound"])
        assert told >= 2
        home.set_nat(NatConfig(rebind_every=3600))
        assert len([each for each in net.events() if each.kind == "nat_rebound"]) == told


def test_what_has_no_nat_is_not_rebound(net):
    for address in (False, True):
        with pytest.raises(ConfigError, match="it has no NAT to be rebound"):
            net.router("dc").rebind_nat(address=address)


def test_several_outside_addresses_from_the_start(lab):
    server = lab.add_device("server", lab.add_router("dc"))
    pool = [f"198.18.0.{host}" for host in (200, 201)]
    lab.add_router("home", nat=NatConfig(addresses=pool))
    hosts = [lab.add_device(f"host{number}", "home") for number in range(3)]
    with server.reflector() as reflector:
        seen, again = (
            {str(reflector.observe(host, timeout=PATIENCE).ip) for host in hosts} for _ in range(2)
        )
    assert seen == again == {str(lab.router("home").uplink_ip), *pool}
