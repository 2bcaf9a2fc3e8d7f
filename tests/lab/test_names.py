"""Names: the hosts file, what resolves where, host names, and which names a node can have."""

import socket

import pytest
from support import home_and_server

from patchbay import ConfigError

LONGEST = "n" * 63


def addresses(name, family=0):
    """What the resolver of the C library says; runs on a node."""
    return sorted({entry[4][0] for entry in socket.getaddrinfo(name, 80, family)})


def hosts():
    with open("/etc/hosts") as file:
        return file.read()


def host_name():
    return socket.gethostname()


def test_every_node_resolves_every_node(lab):
    _, home, server, laptop = home_and_server(lab)
    nodes = [lab.ix, lab.router("dc"), home, server, laptop]

    for asking in nodes:
        for asked in nodes:
            wanted = sorted([str(asked.ip), str(asked.ip6)])
            assert asking.call(addresses, asked.name) == wanted, (asking, asked)
            assert asking.resolve(asked.name) == asked.ip
            assert lab.resolve(asked.name) == asked.ip


def test_programs_resolve_names_too(lab):
    _, _, server, laptop = home_and_server(lab)

    done = laptop.run(["getent", "ahostsv4", "server"], check=True)

    assert done.stdout.split()[0] == str(server.ip)
    assert laptop.run(["cat", "/etc/hosts"]).stdout == laptop.call(hosts)


def test_sockets_of_this_process_resolve_on_their_node(lab):
    _, _, server, laptop = home_and_server(lab)
    laptop.dns_entry("away", server)

    with server.reflector("tcp") as reflector, laptop.network():
        socket.create_connection(("away", reflector.port), timeout=60).close()
        assert socket.gethostbyname("away") == str(server.ip)


def test_a_new_entry_is_seen_at_once_by_processes_that_run(lab):
    """Also by one that has the resolver's library loaded and the file open."""
    _, _, _, laptop = home_and_server(lab)
    with laptop.popen(
        ["sh", "-c", "read x; cat /etc/hosts; getent hosts late.example"], stdin=-1, stdout=-1
    ) as program:
        assert laptop.call(_unknown, "late.example")
        lab.dns_entry("late.example", "192.0.2.7")
        out, _ = program.communicate(b"\n", timeout=60)

    assert laptop.call(addresses, "late.example") == ["192.0.2.7"]
    assert out.count(b"late.example") == 2


def _unknown(name):
    try:
        socket.getaddrinfo(name, 80)
    except socket.gaierror:
        return True
    return False


def test_entries_are_of_the_lab_or_of_one_node_which_shadow_them(lab):
    _, home, server, laptop = home_and_server(lab)
    lab.dns_entry("api.example", "192.0.2.1")
    laptop.dns_entry("api.example", "192.0.2.2")
    laptop.dns_entry("own.example", "2001:db8:9::9")

    assert server.call(addresses, "api.example") == ["192.0.2.1"]
    assert laptop.call(addresses, "api.example") == ["192.0.2.2"]
    assert laptop.call(addresses, "own.example") == ["2001:db8:9::9"]
    assert home.call(_unknown, "own.example")
    assert str(lab.resolve("api.example")) == "192.0.2.1"
    assert str(laptop.resolve("api.example")) == "192.0.2.2"
    with pytest.raises(ConfigError, match=r"own.example"):
        lab.resolve("own.example")

    lab.dns_entry("api.example", "192.0.2.3")
    assert server.call(addresses, "api.example") == ["192.0.2.3"]
    assert laptop.call(addresses, "api.example") == ["192.0.2.2"]


def test_an_entry_for_a_node_stands_for_all_its_addresses(lab):
    _, _, server, laptop = home_and_server(lab)
    lab.dns_entry("www.example", server)

    assert laptop.call(addresses, "www.example") == sorted([str(server.ip), str(server.ip6)])
    lab.dns_entry("www.example", laptop)
    assert server.call(addresses, "www.example") == sorted([str(laptop.ip), str(laptop.ip6)])


def test_an_entry_can_shadow_a_nodes_name(lab):
    _, _, _, laptop = home_and_server(lab)
    laptop.dns_entry("server", "192.0.2.80")

    assert laptop.call(addresses, "server") == ["192.0.2.80"]


def test_entries_of_a_node_hold_for_nodes_that_come_later_and_after_a_restart(lab):
    _, _, server, laptop = home_and_server(lab)
    laptop.dns_entry("own.example", "192.0.2.2")
    lab.dns_entry("all.example", "192.0.2.1")
    lab.add_device("late", "dc")
    laptop.restart()
    server.restart()

    assert laptop.call(addresses, "own.example") == ["192.0.2.2"]
    assert laptop.call(addresses, "late") == sorted(
        map(str, (lab.node("late").ip, lab.node("late").ip6))
    )
    assert lab.node("late").call(addresses, "all.example") == ["192.0.2.1"]
    assert server.call(_unknown, "own.example")


def test_names_follow_a_node_that_moves_and_go_with_it(lab):
    _, _, server, laptop = home_and_server(lab)
    laptop.iface("eth0").replug("dc")

    assert server.call(addresses, "laptop", socket.AF_INET) == [str(laptop.ip)]
    lab.remove(laptop)
    assert server.call(_unknown, "laptop")


def test_unknown_names_fail_at_once_and_name_the_nearest(lab):
    _, _, _, laptop = home_and_server(lab)

    with pytest.raises(ConfigError, match="did you mean 'server'"):
        laptop.resolve("srever")
    with pytest.raises(ConfigError, match="did you mean 'laptop'"):
        lab.device("latop")
    with pytest.raises(ConfigError, match="did you mean 'home'"):
        lab.router("hoem")
    with pytest.raises(ConfigError, match="this is a router"):
        lab.device("home")
    with pytest.raises(ConfigError, match="this is a device"):
        lab.router("laptop")
    with pytest.raises(socket.gaierror):
        laptop.call(addresses, "nowhere.example")
    with pytest.raises(ConfigError, match="did you mean 'eth0'"):
        laptop.iface("eht0")


@pytest.mark.parametrize(
    "name",
    ["küche", "日本", "данные", "🦊", "a.b.c", "with'quote", LONGEST, "-dash", "under_score", "%d"],
)
def test_nodes_can_have_any_name_without_white_space(lab, name, tmp_path):
    router = lab.add_router(f"{name}"[:60] if name.isascii() else name + "r")
    device = (
        lab.add_device(name, router) if name != router.name else lab.add_device("d" + name, router)
    )

    assert lab.node(device.name).ip == device.ip
    assert router.call(addresses, device.name, socket.AF_INET) == [str(device.ip)]
    assert device.call(host_name).isascii()
    assert router.ping(device.name, timeout=30)
    assert router.ping(device, timeout=30)
    assert device.run(["hostname"]).stdout.strip() == device.call(host_name)


def test_each_node_has_its_own_host_name(lab):
    _, home, server, laptop = home_and_server(lab)

    assert [node.call(host_name) for node in (home, server, laptop)] == ["home", "server", "laptop"]
    server.restart()
    assert server.call(host_name) == "server"
    assert socket.gethostname() not in ("home", "server", "laptop")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("n" * 64, "64 bytes; at most 63"),
        ("ü" * 32, "64 bytes; at most 63"),
        ("two words", "' ' in it"),
        ("a/b", "'/' in it"),
        ("ix", "belongs to the internet exchange"),
        ("dc", "there is a router of this name already"),
        ("server", "there is a device of this name already"),
        ("..", "cannot be a name"),
        ("new\nline", r"'\\n' in it"),
    ],
)
def test_names_that_cannot_be_give_one_clear_error(lab, name, why):
    home_and_server(lab)
    before = lab.topology()

    for add in (lab.add_router, lambda name: lab.add_device(name, "dc")):
        with pytest.raises(ConfigError, match=why) as caught:
            add(name)
        assert len(caught.value.problems) == 1
    assert lab.topology() == before


def test_nothing_of_the_hosts_names_is_seen(lab):
    """The hosts file, the resolver's and the host name of this machine stay out, and stay as they are."""
    before = hosts()
    _, _, _, laptop = home_and_server(lab)

    assert socket.gethostname() not in laptop.call(hosts) or socket.gethostname() == "localhost"
    assert "127.0.0.1" in laptop.run(["cat", "/etc/resolv.conf"]).stdout
    assert hosts() == before
