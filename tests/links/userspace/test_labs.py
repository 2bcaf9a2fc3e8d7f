"""The process that makes the conditions of a lab: when it is there, when it dies, what it leaves."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest
from traffic import cross, eventually, frame_ms

from patchbay import Hold, Lab, LinkCondition, RefusedByKernel, RegionLink, Schedule


def engine_process():
    """The host's process id of the engine of the only lab; None if there is none."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/comm") as file:
                if file.read() == "pb-links\n" and is_ours(int(name)):
                    return int(name)
        except OSError:
            continue
    return None


def is_ours(pid):
    while pid > 1:
        if pid == os.getpid():
            return True
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
    return False


def test_a_dead_engine_is_told_and_its_links_can_be_made_plain(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    assert engine_process() is None, "it is started with the first condition"
    eth0.set_condition(LinkCondition(latency_ms=5))
    os.kill(engine_process(), signal.SIGKILL)
    eventually(
        lambda: "link_engine_died" in [event.kind for event in lab.events()], "nobody tells of it"
    )
    with pytest.raises(RefusedByKernel, match="SIGKILL"):
        eth0.set_condition(LinkCondition(latency_ms=6))
    assert eth0.condition("up") == LinkCondition(latency_ms=5)
    eth0.set_condition(None)
    assert cross(laptop, server, 1).in_order


def kill_while_it_is_asked(process):
    """Kill the engine while the supervisor waits for its answer, and so before it is told of it."""
    os.kill(process, signal.SIGSTOP)
    time.sleep(0.3)  # in which the supervisor asks; if it is later, it finds the engine dead
    os.kill(process, signal.SIGKILL)


def test_an_engine_that_dies_when_a_link_is_to_be_plain_again_takes_nothing_with_it(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=5))
    process = engine_process()
    eth0.set_condition(None)
    kill_while_it_is_asked(process)
    eventually(
        lambda: "link_engine_died" in [event.kind for event in lab.events()], "nobody tells of it"
    )
    assert eth0.engine("up") is None
    eventually(lambda: laptop.ping(server, timeout=1).received == 1, "its link is not plain")


def test_a_clean_link_that_somebody_deletes_takes_nothing_with_it(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=5))
    eth0.set_condition(None)
    laptop.run(["ip", "link", "delete", "eth0"], check=True)
    # another link becomes plain later than the one that is gone was to
    phone = lab.add_device("phone", "home", condition=LinkCondition(latency_ms=5))
    phone.iface("eth0").set_condition(None)
    eventually(lambda: phone.iface("eth0").stats().up is None, "it does not become plain")
    lab.remove(laptop)
    assert phone.ping(server, timeout=60).received == 1


def test_an_engine_that_dies_under_a_schedule_ends_the_schedule_and_nothing_else():
    steps = (Hold(LinkCondition(rate_kbit=9_000), 0.05), Hold(LinkCondition(mtu=900), 0.05))
    with Lab("played") as lab:
        laptop = lab.add_device("laptop", lab.add_router("home"))
        eth0 = laptop.iface("eth0")
        eth0.set_condition(Schedule(*steps, repeat=None))
        kill_while_it_is_asked(engine_process())
        eventually(lambda: eth0.schedule("up") is eth0.schedule("down") is None, "it goes on")
        eth0.set_condition(None)
        assert laptop.ping(lab.router("home"), timeout=60).received == 1


def send_numbers(address, count, pause=0.0005):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            sender.sendto(number.to_bytes(4), address)
            time.sleep(pause)


def test_a_lab_that_is_closed_under_traffic_says_nothing_of_a_death(tmp_path):
    with Lab("end", link_engine="user", outdir=tmp_path) as lab:
        home = lab.add_router("home")
        laptop = lab.add_device("laptop", home, condition=LinkCondition(latency_ms=1))
        laptop.submit(send_numbers, (str(home.ip), 9), 100_000)
    assert "link_engine_died" not in (tmp_path / "events.jsonl").read_text()
    assert engine_process() is None


def test_either_engine_can_make_a_direction_of_the_same_cable(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    slow = LinkCondition(rate_kbit=400)
    row_ms = 0.8 * 20 * frame_ms(1_000, 400)
    eth0.set_condition(slow, "down", engine="kernel")
    eth0.set_condition(LinkCondition(mtu=1_400), "up", engine="user")
    assert cross(server, laptop, 20, size=1_000, window=5).took >= row_ms
    server.iface("eth0").set_condition(LinkCondition(mtu=1_400), "up", engine="user")
    server.iface("eth0").set_condition(slow, "down", engine="kernel")
    assert cross(laptop, server, 20, size=1_000, window=5).took >= row_ms


def test_late_packets_count_once_and_are_not_forgotten_with_their_link():
    with Lab("late", link_engine="user") as lab:
        us, eu = lab.add_region("us"), lab.add_region("eu")

        def be_late(since):
            """Stop the process while a packet is on its way; whether it was late for that."""
            us.call(send_numbers, (str(eu.ip), 9), 1)
            known = us.iface("trunk1").stats().up
            os.kill(engine_process(), signal.SIGSTOP)
            time.sleep(0.25)  # which is the lateness that is to be found
            os.kill(engine_process(), signal.SIGCONT)
            return known.queued_packets and lab.fidelity(since=since).late_packets

        lab.link_regions(us, eu, LinkCondition(latency_ms=200))
        eventually(lambda: be_late(None), "no packet was late")
        before = us.iface("trunk1").stats()
        found = lab.fidelity()
        after = us.iface("trunk1").stats()
        once = [each.up.late + each.down.late for each in (before, after)]
        assert 1 <= once[0] <= found.late_packets <= once[1]

        lab.unlink_regions(us, eu)
        assert lab.fidelity().late_packets >= found.late_packets
        lab.link_regions(us, eu, LinkCondition(latency_ms=200))
        eventually(lambda: be_late(found), "no packet was late")


def filters():
    """How many interfaces drop what no process has sent; runs on a node."""
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=5) as nft:
        return len(nft.get_tables())


def test_a_link_between_regions_becomes_a_plain_one_again():
    with Lab("world", link_engine="user") as lab:
        us, eu = lab.add_region("us"), lab.add_region("eu")
        lab.link_regions(us, eu, RegionLink(latency_ms=20))
        with lab.batch():
            near = lab.add_device("near", lab.add_router("home", region=us))
            far = lab.add_device("far", lab.add_router("dc", region=eu))
        assert near.ping(far, timeout=30).rtt_ms >= 40
        assert near.ping(far.ip6, timeout=30).rtt_ms >= 40
        assert eu.call(filters) == 1
        lab.update_region_link(us, eu, RegionLink())
        eventually(lambda: not eu.call(filters) + us.call(filters), "it does not become plain")
        assert cross(near, far, 5).in_order
        lab.update_region_link(us, eu, RegionLink(loss_pct=100))
        assert near.ping(far, timeout=0.1).received == 0
