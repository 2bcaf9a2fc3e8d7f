"""Conditions of whole labs, made by a process: all ways to set them, and what becomes of it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from patchbay import Lab, LinkCondition, RefusedByKernel, RegionLink

PATIENCE = 10.0


def round_trips(source, target, count=5):
    """Milliseconds of the quickest of a few round trips."""
    result = source.ping(target, count=count)
    assert result.received == count
    return min(result.rtts_ms)


def receive_numbers(port, count):
    """The numbers that arrive, until the last one or a pause; runs on a node."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        receiver.bind(("0.0.0.0", port))
        receiver.settimeout(2)
        found = []
        try:
            while not found or found[-1] < count - 1:
                found.append(int.from_bytes(receiver.recv(100)))
        except TimeoutError:
            pass
        return found


def send_numbers(address, count, pause=0.0005):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(count):
            sender.sendto(number.to_bytes(4), address)
            time.sleep(pause)


def survivors(lab, count):
    laptop, server = lab.device("laptop"), lab.device("server")
    receiver = server.submit(receive_numbers, 7000, count)
    address = (str(server.ip), 7000)
    laptop.run(["true"])
    wait_for_port(server, 7000)
    laptop.call(send_numbers, address, count)
    return receiver.result(timeout=60)


def is_bound(port):
    with open("/proc/net/udp") as lines:
        return any(f":{port:04X} " in line for line in lines)


def wait_for_port(node, port):
    deadline = time.monotonic() + PATIENCE
    while not node.call(is_bound, port):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_condition_from_the_start_at_run_time_and_never_more(lab):
    server = lab.device("server")
    phone = lab.add_device("phone", lab.router("home"), condition=LinkCondition(latency_ms=20))
    eth0 = phone.iface("eth0")
    assert round_trips(phone, server) >= 40
    assert str(eth0.engine("up")) == "user: asked for"
    eth0.set_condition(LinkCondition(latency_ms=30), "down")
    assert round_trips(phone, server) >= 50
    eth0.set_condition(None, "up")
    assert 30 <= round_trips(phone, server) < 50
    eth0.set_condition(None)
    assert round_trips(phone, server) < 30
    assert eth0.engine("up") is None


def test_uplinks_and_downlinks(lab):
    laptop, server, home = lab.device("laptop"), lab.device("server"), lab.router("home")
    home.iface("wan").set_condition(LinkCondition(latency_ms=10), "up")
    assert round_trips(laptop, server) >= 10
    home.set_downlink_condition(LinkCondition(latency_ms=20))
    assert round_trips(laptop, server) >= 30
    later = lab.add_device("later", home)
    assert round_trips(later, server) >= 30
    assert round_trips(later, laptop) < 30
    home.set_downlink_condition(None)
    home.iface("wan").set_condition(None)
    assert round_trips(laptop, server) < 30


def test_it_stays_with_an_interface_that_is_replugged_and_goes_with_a_removed_one(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    laptop.iface("eth0").set_condition(LinkCondition(latency_ms=15))
    laptop.iface("eth0").replug(lab.router("dc"))
    assert round_trips(laptop, server) >= 30
    laptop.iface("eth0").down()
    laptop.iface("eth0").up()
    assert round_trips(laptop, server) >= 30
    laptop.iface("eth0").set_mtu(9000)
    assert round_trips(laptop, server) >= 30
    lab.remove(laptop)
    laptop = lab.add_device("laptop", lab.router("home"), condition=LinkCondition(latency_ms=15))
    assert round_trips(laptop, server) >= 30
    lab.remove(laptop)
    home = lab.router("home")
    phone = lab.add_device("phone", home, condition=LinkCondition(latency_ms=15))
    lab.remove(phone)
    lab.remove(home)


def test_the_same_seed_loses_the_same_packets():
    found = []
    for seed in (1, 1, 2):
        with Lab("seed", link_engine="user", seed=seed) as lab:
            with lab.batch():
                home = lab.add_router("home")
                lab.add_device("server", home)
                lab.add_device("laptop", home)
            laptop = lab.device("laptop")
            laptop.iface("eth0").set_condition(LinkCondition(loss_pct=20), "up")
            found.append(survivors(lab, 300))

    assert found[0] == found[1] != found[2]
    assert 150 < len(found[0]) < 300


def transferred(sender, receiver, data):
    """What arrives of what is sent over a stream."""
    receiver.settimeout(PATIENCE)
    thread = threading.Thread(target=sender.sendall, args=(data,))
    thread.start()
    got = b""
    while len(got) < len(data) and (piece := receiver.recv(1 << 16)):
        got += piece
    thread.join()
    return got


def test_a_stream_over_a_link_that_loses_and_doubles_and_corrupts_arrives_whole(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    condition = LinkCondition(
        latency_ms=2, loss_pct=1, duplicate_pct=2, corrupt_pct=1, reorder_pct=2
    )
    laptop.iface("eth0").set_condition(condition)
    data = os.urandom(300_000)
    with server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((str(server.ip), 80))
        listener.listen()
        with laptop.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect((str(server.ip), 80))
            accepted, _ = listener.accept()
            assert transferred(client, accepted, data) == data
            accepted.close()


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
    deadline = time.monotonic() + PATIENCE
    while "link_engine_died" not in [event.kind for event in lab.events()]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(RefusedByKernel, match="SIGKILL"):
        eth0.set_condition(LinkCondition(latency_ms=6))
    assert eth0.condition("up") == LinkCondition(latency_ms=5)
    eth0.set_condition(None)
    assert round_trips(laptop, server) < PATIENCE * 1000


def test_a_lab_that_is_closed_under_traffic_says_nothing_of_a_death(tmp_path):
    with Lab("end", link_engine="user", outdir=tmp_path) as lab:
        home = lab.add_router("home")
        laptop = lab.add_device("laptop", home, condition=LinkCondition(latency_ms=1))
        laptop.submit(send_numbers, (str(home.ip), 9), 100_000)
    assert "link_engine_died" not in (tmp_path / "events.jsonl").read_text()
    assert engine_process() is None


def filters():
    """How many interfaces drop what no process has sent; runs on a node."""
    from pyroute2.nftables.main import NFTables

    with NFTables(nfgen_family=5) as nft:
        return len(nft.get_tables())


def test_links_between_regions():
    with Lab("world", link_engine="user") as lab:
        us, eu = lab.add_region("us"), lab.add_region("eu")
        lab.link_regions(us, eu, RegionLink(latency_ms=20))
        with lab.batch():
            near = lab.add_device("near", lab.add_router("home", region=us))
            far = lab.add_device("far", lab.add_router("dc", region=eu))
        assert round_trips(near, far) >= 40
        assert round_trips(near, far.ip6) >= 40
        lab.update_region_link(us, eu, RegionLink(latency_ms=10), back=RegionLink(latency_ms=15))
        assert 25 <= round_trips(near, far) < 40
        data = os.urandom(300_000)
        with far.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind((str(far.ip), 80))
            listener.listen()
            with near.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                client.connect((str(far.ip), 80))
                accepted, _ = listener.accept()
                assert transferred(client, accepted, data) == data
                assert transferred(accepted, client, data) == data
                accepted.close()
        lab.break_region_link(us, eu)
        assert near.ping(far, timeout=0.1).received == 0
        lab.restore_region_link(us, eu)
        assert round_trips(near, far) >= 25
        assert eu.call(filters) == 1
        lab.update_region_link(us, eu, RegionLink())
        assert round_trips(near, far) < 25
        deadline = time.monotonic() + PATIENCE
        while eu.call(filters) + us.call(filters):
            assert time.monotonic() < deadline, "the link does not become a plain one"
            time.sleep(0.05)
        assert round_trips(near, far) < 25
        lab.update_region_link(us, eu, RegionLink(loss_pct=100))
        assert near.ping(far, timeout=0.1).received == 0
        lab.unlink_regions(us, eu)
        lab.remove(lab.device("far"))
