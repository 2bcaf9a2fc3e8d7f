"""What a lab says of itself: plan, TOML, drawings."""

import pytest
from support import differences, home_and_server, reaches

from patchbay import IfaceConfig, Lab


@pytest.fixture
def net(lab):
    """A lab that has been through something."""
    _, home, server, laptop = home_and_server(lab)
    lab.add_router("below", upstream=home, downstream="172.20.0.0/22", mtu=1400)
    lab.add_router("six", ip_support="v6_only")
    lab.add_device("küche", ifaces={"eth0": "below", "six0": IfaceConfig("six", mtu=1300)})
    lab.add_device("lonely")
    laptop.iface("eth0").replug("dc")
    laptop.iface("eth0").renew_ip()
    server.iface("eth0").add_ip("198.18.1.99/24")
    lab.device("küche").set_default_route("six0")
    lab.device("küche").iface("eth0").down()
    lab.dns_entry("all.example", "192.0.2.1")
    server.dns_entry("own.example", "2001:db8:5::5")
    home.set_firewall("none")
    return lab


def test_toml_makes_the_same_lab(net, tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(net.to_toml())

    with Lab.load(path) as copy:
        assert copy.topology() == net.topology()
        assert differences(copy) == []
        assert copy.to_toml() == net.to_toml()
        assert reaches(copy.device("laptop"), copy.device("server"))
        assert [event.kind for event in copy.events()].count("router_added") == 4
        copy.add_device("more", "dc")


def test_a_file_with_mistakes_starts_nothing(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('[[router]]\nname = "dc"\nprest = "home"\n')
    with pytest.raises(ValueError, match=r"bad.toml"):
        Lab.load(path)
    with pytest.raises(FileNotFoundError):
        Lab.load(tmp_path / "missing.toml")


def test_the_plan_is_printable_and_names_everything(net):
    told = str(net.plan())

    for node in ("ix", "dc", "home", "below", "six", "server", "laptop", "küche", "lonely"):
        assert f"\n{node}\n" in told or told.endswith(f"\n{node}")
    for part in ("198.18.1.99/24", "mtu 1400", "down", "rule from", "snat to"):
        assert part in told


def test_drawings_name_every_node(net):
    for drawing in (str(net), net.to_mermaid(), net.to_dot(), net.to_svg(), net._repr_html_()):
        for node in ("dc", "home", "below", "six", "server", "laptop", "küche", "lonely"):
            assert node in drawing
    assert net._repr_html_().lstrip().startswith("<svg")
    assert net.to_mermaid().startswith(("flowchart", "graph"))
    assert str(net.device("laptop").ip) in str(net)


def test_drawings_of_an_empty_lab(lab):
    for drawing in (str(lab), lab.to_mermaid(), lab.to_dot(), lab.to_svg(), str(lab.plan())):
        assert "ix" in drawing
    assert lab.topology().routers == {}
    assert repr(lab) == "<Lab 'test' open>"
