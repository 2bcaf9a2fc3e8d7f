"""Partitions, on paper: where packets are lost, by which addresses, and what is refused."""

import pytest
from labs import device, lab, link, region, router

from patchbay.errors import ConfigError
from patchbay.rules.text import ruleset
from patchbay.rules.words import Verdict
from patchbay.topology import edit, toml
from patchbay.topology.model import IX, Partition
from patchbay.topology.partitions import heal, partition, partition_tables
from patchbay.topology.plan import node_plan


def homes():
    """Two regions; two homes with two devices each in one of them, a data centre in the other."""
    return lab(
        region("us"),
        region("eu"),
        link("us", "eu"),
        router("a", region="us", preset="home"),
        router("b", region="us", preset="home"),
        router("dc", region="eu"),
        *(device(name, "a") for name in ("alice", "anna")),
        *(device(name, "b") for name in ("bob", "ben")),
        device("server", "dc"),
        device("other", "dc"),
    )


def cut(topology, *sides, one_way=False):
    wanted = tuple((side,) if isinstance(side, str) else tuple(side) for side in sides)
    return partition(topology, Partition(sides=wanted, one_way=one_way))


def losses(topology):
    """The rules that lose packets, by node and hook; addresses by the names of who has them."""
    return {
        (name, chain.name): {
            tuple(
                (each.field.value, tuple(str(value) for value in each.values))
                for each in rule.matches
            )
            for rule in chain.rules
            if rule.statements == (Verdict.DROP,)
        }
        for name, tables in partition_tables(topology).items()
        for table in tables
        for chain in table.chains
    }


def address(topology, name):
    node = topology.routers.get(name) or topology.devices[name]
    interface = node.uplink if name in topology.routers else node.interfaces[0]
    return f"{interface.address.ip}/32", f"{interface.address6.ip}/128"


def test_devices_of_a_lan_lose_each_others_packets_themselves():
    t = cut(homes(), "alice", "anna")
    alice, anna = address(t, "alice"), address(t, "anna")
    assert losses(t) == {
        ("anna", "input"): {(("ip saddr", alice[:1]),), (("ip6 saddr", alice[1:]),)},
        ("alice", "input"): {(("ip saddr", anna[:1]),), (("ip6 saddr", anna[1:]),)},
    }


def test_one_way_is_lost_at_the_one_end():
    assert {name for name, _ in losses(cut(homes(), "server", "other", one_way=True))} == {"other"}


def test_what_nat_hides_is_lost_before_it_is_hidden():
    t = cut(homes(), "alice", "server")
    server, alice = address(t, "server"), address(t, "alice")
    found = losses(t)
    assert found["a", "forward"] == {(("ip saddr", alice[:1]), ("ip daddr", server[:1]))}
    assert found["server", "input"] == {(("ip6 saddr", alice[1:]),)}, "IPv6 is not hidden"
    assert (("ip saddr", server[:1]),) in found["alice", "input"]
    assert {name for name, _ in found} == {"a", "server", "alice"}


def test_two_that_are_both_hidden_are_told_apart_by_their_routers():
    t = cut(homes(), "alice", "bob")
    b, alice = address(t, "b"), address(t, "alice")
    assert (("ip saddr", alice[:1]), ("ip daddr", b[:1])) in losses(t)["a", "forward"]


def test_a_router_stands_for_what_is_behind_it():
    t = cut(homes(), "a", "server")
    a, server = address(t, "a"), address(t, "server")
    found = losses(t)
    assert (("ip saddr", a[:1]),) in found["server", "input"]
    assert (("oifname", ("lan",)), ("ip saddr", server[:1])) in found["a", "forward"]
    assert (("ip saddr", server[:1]),) in found["a", "input"]


def test_a_region_stands_for_all_that_is_in_it():
    t = cut(homes(), "us", "eu")
    us = t.regions["us"]
    found = losses(t)
    assert {name for name, _ in found} == {"us", "eu"}
    (v4,) = [rule for rule in found["eu", "input"] if rule[0][0] == "ip saddr"]
    assert v4 == (("ip saddr", (str(us.downstream),)),)
    assert all(rule[0] == ("oifname", ("lan",)) for rule in found["us", "forward"])
    told = ruleset(node_plan(t, "eu").tables)
    assert "table inet partition" in told


def test_addresses_are_followed_as_they_change():
    t = cut(homes(), "alice", "server")
    moved = edit.replug(t, "alice", "eth0", "b")
    assert ("b", "forward") in losses(moved)
    assert ("a", "forward") not in losses(moved)
    renewed = edit.renew_ip(t, "server", "eth0")
    assert str(losses(renewed)).count(address(renewed, "server")[0]) == 2
    assert address(t, "server")[0] not in str(losses(renewed))


def test_a_removed_node_leaves_its_partitions():
    t = cut(cut(homes(), ("alice", "bob"), "server"), "anna", "server", one_way=True)
    assert edit.remove(t, "alice").partitions[0].sides == (("bob",), ("server",))
    assert edit.remove(t, "anna").partitions == t.partitions[:1]
    assert edit.remove(t, "server").partitions == ()


def test_healing_ends_one_or_all():
    t = cut(cut(homes(), "alice", "server"), "us", "eu")
    assert heal(t, t.partitions[0]).partitions == t.partitions[1:]
    assert heal(t, None) == homes()
    with pytest.raises(ConfigError, match="healed already"):
        heal(homes(), t.partitions[0])


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ((("alice",),), "it takes two sets of nodes or more"),
        ((("alice",), ()), "none of them empty"),
        ((("alice",), ("bbo",)), "there is no node 'bbo'; did you mean 'bob'?"),
        ((("alice",), ("bob", IX)), "there is no node 'ix'"),
        ((("alice", "bob"), ("alice",)), "'alice' is in two sets"),
        ((("alice",), ("alice",)), "'alice' is in two sets"),
        ((("us",), ("alice",)), "'alice' is behind 'us' of another set"),
        ((("b",), ("us",)), "'b' is behind 'us' of another set"),
    ],
)
def test_what_cannot_be_cut_is_refused(sides, told):
    with pytest.raises(ConfigError) as caught:
        cut(homes(), *sides)
    assert told in str(caught.value)


def test_the_same_partition_twice_is_a_mistake():
    with pytest.raises(ConfigError, match="this partition already"):
        cut(cut(homes(), "us", "eu"), "us", "eu")


def test_a_file_has_partitions():
    t = cut(cut(homes(), ("alice", "bob"), "server", "other"), "us", "eu", one_way=True)
    assert toml.load(toml.dump(t)).topology() == t
    with pytest.raises(ConfigError) as caught:
        toml.load('[[partition]]\nsides = [["a"], "b"]\n[[partition]]\none-way = 3', source="f")
    for part in ("f:2: partition, sides: [['a'], 'b'] is not", "sides: it is missing", "f:4"):
        assert part in str(caught.value)
