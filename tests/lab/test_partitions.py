"""Partitions on real network stacks: who hears whom, one way or both, through NAT and across regions."""

from __future__ import annotations

import select
import socket

import pytest
from support import PATIENT, TURNS, differences, held_open, reaches, refused, wait_turns

from patchbay import ConfigError, Lab


@pytest.fixture
def world(lab):
    """Two linked regions: two homes with two devices each in one, a data centre in the other."""
    with lab.batch():
        us, eu = lab.add_region("us"), lab.add_region("eu")
        lab.link_regions(us, eu)
        for home, names in (("a", ("alice", "anna")), ("b", ("bob", "ben"))):
            router = lab.add_router(home, region=us, nat="home")
            for name in names:
                lab.add_device(name, router)
        dc = lab.add_router("dc", region=eu)
        lab.add_device("server", dc)
        lab.add_device("other", dc)
    return lab


def hears(target, source, version=4, *, turns=PATIENT):
    """Whether a datagram from one node arrives at another; nobody answers."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with (
        target.socket(family, socket.SOCK_DGRAM) as ear,
        source.socket(family, socket.SOCK_DGRAM) as mouth,
    ):
        ear.bind(("", 0))
        address = str(target.ip if version == 4 else target.ip6)
        mouth.sendto(b"hello", (address, ear.getsockname()[1]))
        try:
            wait_turns(ear, select.POLLIN, turns)
            return ear.recv(100) == b"hello"
        except TimeoutError:
            return False


def deaf(target, source, version=4):
    """Whether it does not arrive; short, since waiting is all it does."""
    return not hears(target, source, version, turns=TURNS)


def devices(lab, *names):
    return [lab.device(name) for name in names]


@pytest.mark.parametrize("version", [4, 6])
def test_regions_are_cut_off_and_healed(world, version):
    alice, anna, server, other = devices(world, "alice", "anna", "server", "other")
    with held_open(alice, server, version) as conversation:
        with world.partition("us", world.region("eu")) as partition:
            assert refused(alice, server, version)
            assert refused(world.region("eu"), world.region("us"), version)
            assert reaches(alice, anna, version)
            assert reaches(server, other, version)
            assert world.partitions == [partition]
            assert differences(world) == []
        assert world.partitions == []
        assert reaches(alice, server, version)
        assert conversation.works()


@pytest.mark.parametrize("version", [4, 6])
def test_one_way_is_lost_and_the_other_is_not(world, version):
    server, other = devices(world, "server", "other")
    us, eu = world.regions
    world.partition(server, other, one_way=True)
    assert deaf(other, server, version)
    assert hears(server, other, version)
    world.heal()
    world.partition(us, eu, one_way=True)
    inside = world.add_device("inside", world.add_router("in-us", region=us))
    assert deaf(server, inside, version)
    assert deaf(eu, us, version)
    assert hears(us, eu, version)
    assert hears(inside, server, version)


def test_a_device_behind_nat_is_cut_off_alone(world):
    alice, anna, server, other = devices(world, "alice", "anna", "server", "other")
    with world.partition(alice, server):
        assert refused(alice, server)
        assert refused(alice, server, 6)
        for version in (4, 6):
            assert reaches(anna, server, version)
            assert reaches(alice, other, version)
    with world.partition(alice, world.router("b")):
        assert refused(alice, world.router("b"))
        assert reaches(anna, world.router("b"))
        assert refused(world.device("bob"), alice, 6)
        assert reaches(world.device("bob"), anna, 6)


def test_a_router_takes_all_behind_it_along(world):
    alice, bob, server = devices(world, "alice", "bob", "server")
    with world.partition([world.router("a"), "b"], "server"):
        assert refused(alice, server)
        assert refused(bob, server, 6)
        assert reaches(alice, world.router("b"))
        assert reaches(alice, world.device("other"))


def test_three_sets_are_cut_off_from_each_other(world):
    alice, bob, server = devices(world, "alice", "bob", "server")
    world.partition("a", "b", "dc")
    assert refused(alice, bob, 6)
    assert refused(alice, server)
    assert refused(server, bob, 6)
    assert reaches(alice, world.device("anna"))


def test_a_partition_follows_its_nodes(world):
    alice, server = devices(world, "alice", "server")
    partition = world.partition(alice, server)
    alice.iface("eth0").replug("b")
    server.iface("eth0").renew_ip()
    assert refused(alice, server)
    assert refused(alice, server, 6)
    assert differences(world) == []
    partition.heal()
    assert reaches(alice, server)
    with pytest.raises(ConfigError, match="healed already"):
        partition.heal()


def test_partitions_are_told_written_and_read(world, tmp_path, nothing_left_behind):
    world.partition("us", "eu", one_way=True)
    (tmp_path / "lab.toml").write_text(world.to_toml())
    with Lab.load(tmp_path / "lab.toml") as again:
        assert again.topology() == world.topology()
        assert deaf(again.device("server"), again.router("a"))
        (partition,) = again.partitions
        assert (partition.sides, partition.one_way) == ((("us",), ("eu",)), True)
        assert repr(partition) == "<Partition us -> eu>"
    world.heal()
    kinds = [event.kind for event in world.events() if "partition" in event.kind]
    assert kinds == ["partition_added", "partition_healed"]
