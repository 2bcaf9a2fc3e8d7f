"""Names: the hosts file of a node says what `resolve` says."""

from ipaddress import ip_address

import pytest
from labs import device, lab, router, usual

from patchbay.errors import ConfigError
from patchbay.topology import edit
from patchbay.topology.hosts import dns_entry, hosts_text, resolve


def table(text):
    """What a hosts file says, name by name."""
    found = {}
    for line in text.splitlines():
        address, *names = line.split()
        for name in names:
            found.setdefault(name, []).append(address)
    return found


def test_every_node_is_known_by_its_default_addresses():
    names = table(hosts_text(usual(), "server"))
    assert names["localhost"] == ["127.0.0.1", "::1"]
    assert names["laptop"] == ["10.0.1.2", "fd10:0:0:1::2"]
    assert names["phone"] == ["10.0.1.3", "fd10:0:0:1::3"]
    assert names["home"] == ["198.18.2.2", "2001:db8:1:2::2"]
    assert names["ix"] == ["198.18.0.1", "2001:db8::1"]


def test_a_node_without_interfaces_has_no_address():
    assert "d" not in table(hosts_text(lab(device("d")), "d"))


def test_own_entries_shadow_those_of_the_lab_which_shadow_nodes():
    t = dns_entry(usual(), "server", "192.0.2.1")
    t = dns_entry(t, "Server", ip_address("192.0.2.2"), node="phone")
    assert table(hosts_text(t))["server"] == ["192.0.2.1"]
    on_phone = table(hosts_text(t, "phone"))
    assert on_phone["Server"] == ["192.0.2.2"]
    assert "server" not in on_phone
    assert resolve(t, "SERVER", "phone") == ip_address("192.0.2.2")
    assert resolve(t, "server") == ip_address("192.0.2.1")


def test_an_entry_takes_the_place_of_the_one_before():
    t = usual()
    for address in ("192.0.2.1", "2001:db8::5", "192.0.2.9"):
        t = dns_entry(t, "api.example", address)
    assert t.names == (("api.example", "2001:db8::5"), ("api.example", "192.0.2.9"))
    assert resolve(t, "api.example") == ip_address("192.0.2.9")


def test_unicode_names_are_there_as_resolvers_ask_for_them():
    t = lab(router("bücher"))
    names = table(hosts_text(t, "bücher"))
    assert names["bücher"] == names["xn--bcher-kva"]


def test_names_are_resolved_or_told_to_be_unknown():
    t = usual()
    assert resolve(t, "laptop") == ip_address("10.0.1.2")
    assert resolve(t, "192.0.2.1") == ip_address("192.0.2.1")
    with pytest.raises(ConfigError, match="did you mean 'laptop'"):
        resolve(t, "labtop")


@pytest.mark.parametrize(
    ("name", "address"),
    [("a b", "10.0.0.1"), ("localhost", "10.0.0.1"), ("x", "10.0.0"), ("", "::1")],
)
def test_what_cannot_stand_in_a_hosts_file_is_refused(name, address):
    with pytest.raises(ConfigError):
        dns_entry(usual(), name, address)


def test_entries_of_a_node_go_with_it():
    t = dns_entry(usual(), "x", "10.0.0.1", node="laptop")
    t = edit.remove(t, "laptop")
    assert t.node_names == {}
    with pytest.raises(ConfigError, match="no such node"):
        dns_entry(t, "x", "10.0.0.1", node="laptop")
