"""Packet programs on links of whole labs: where they go, what they do, and how they fail."""

import asyncio
import contextlib
import os
import signal
import socket
import threading

import pytest

from patchbay import (
    AsyncLab,
    ConfigError,
    FlowMatch,
    Lab,
    LinkCondition,
    PacketProgram,
    PacketProgramFailed,
    RegionLink,
)
from tests.links.programs.crafted import quic
from tests.waiting import wait_until

PORT = 7000
PATIENCE = 60.0
END = b"end"


def arrivals(source, target, payloads, *, before_end=lambda: None):
    """What arrives of some datagrams, until the last one, which is one more."""
    family = socket.AF_INET
    with target.socket(family, socket.SOCK_DGRAM) as receiver:
        receiver.bind((str(target.ip), PORT))
        receiver.settimeout(PATIENCE)
        with source.socket(family, socket.SOCK_DGRAM) as sender:
            sender.connect((str(target.ip), PORT))
            for payload in payloads:
                sender.send(payload)
            before_end()
            sender.send(END)
            return list(iter(lambda: receiver.recv(2000), END))


def streamed(source, target, data):
    """What arrives of a TCP stream."""
    with target.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((str(target.ip), 0))
        listener.listen()
        with source.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.settimeout(PATIENCE)
            client.connect(listener.getsockname())
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(PATIENCE)
                thread = threading.Thread(target=client.sendall, args=(data,))
                thread.start()
                got = b""
                while len(got) < len(data) and (piece := accepted.recv(1 << 16)):
                    got += piece
                thread.join()
                return got


def failures(lab):
    return [event.fields for event in lab.events() if event.kind == "packet_program_failed"]


def program_processes():
    """How many processes of programs this process's labs have."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:
            head, _, rest = file.read().rpartition(")")
            parents[int(name)] = (head.partition("(")[2], int(rest.split()[1]))
    return sum(comm == "pb-program" and is_ours(pid, parents) for pid, (comm, _) in parents.items())


def is_ours(pid, parents):
    while pid in parents:
        if pid == os.getpid():
            return True
        pid = parents[pid][1]
    return False


class LoseSecondInitial:
    """Loses the second QUIC Initial, however they come."""

    def __init__(self):
        self.initials = 0

    def __call__(self, packet):
        if "initial" in packet.quic_types:
            self.initials += 1
            if self.initials == 2:
                packet.drop()


def lose_third_of_tcp(packet):
    if packet.tcp and packet.flow_number == 3:
        packet.drop()


def shout(packet):
    if packet.payload and (packet.tcp or packet.udp) and packet.payload != END:
        packet.change(payload=packet.payload.upper())


def fail_at_three(packet):
    if packet.payload == b"3":
        raise LookupError("no more than two")


def wait_for_ever(packet):
    if packet.destination_port == PORT:
        signal.pause()


def spin(packet):
    if packet.destination_port == PORT:
        while True:
            pass


def leave(packet):
    if packet.destination_port == PORT:
        os._exit(3)


class Unloadable:
    """Fails where it arrives."""

    def __call__(self, packet):
        raise AssertionError("it is never called")

    def __reduce__(self):
        return refuse, ()


def refuse():
    raise ImportError("there is no such thing here")


def test_the_second_quic_initial_is_lost(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=2, program=LoseSecondInitial()), "up")
    sent = [quic("initial", payload=bytes([n]) * 9) for n in range(3)]

    assert arrivals(laptop, server, sent) == [sent[0], sent[2]]
    assert eth0.stats().up.drops["program"] == 1
    assert eth0.condition("up").program.name == "LoseSecondInitial"
    assert eth0.condition("down") is None


def test_the_third_packet_of_each_tcp_flow_is_lost_and_streams_arrive_whole(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(program=lose_third_of_tcp), "up")
    for lost in (1, 2):
        assert streamed(laptop, server, b"data" * 1000) == b"data" * 1000
        assert eth0.stats().up.drops["program"] == lost


def test_what_is_changed_is_taken_for_right_by_the_kernel(lab):
    """Checksums that were left to hardware among them."""
    laptop, server = lab.device("laptop"), lab.device("server")
    server.iface("eth0").set_condition(LinkCondition(program=shout), "down")

    assert arrivals(laptop, server, [b"one", b"two"]) == [b"ONE", b"TWO"]
    data = b"some bytes of a stream" * 1000
    assert streamed(laptop, server, data) == data.upper()


def test_on_downlinks_flows_regions_and_from_the_start():
    condition = LinkCondition(program=shout)
    with Lab("places", link_engine="user") as lab:
        us, eu = lab.add_region("us"), lab.add_region("eu")
        lab.link_regions(us, eu, RegionLink(program=shout), back=RegionLink())
        with lab.batch():
            near, dc = lab.add_router("near", region=us), lab.add_router("dc", region=eu)
            laptop = lab.add_device("laptop", near)
            phone = lab.add_device("phone", near, condition=condition)
            server = lab.add_device("server", dc)
        assert arrivals(laptop, server, [b"far"]) == [b"FAR"]
        assert arrivals(server, laptop, [b"back"]) == [b"back"]
        assert arrivals(phone, laptop, [b"near"]) == [b"NEAR"]
        assert arrivals(server, phone, [b"down"]) == [b"DOWN"]
        lab.update_region_link(us, eu, RegionLink())
        assert arrivals(laptop, server, [b"far"]) == [b"far"]
        dc.set_downlink_condition(None, flows={FlowMatch(protocol="udp"): condition})
        assert arrivals(laptop, server, [b"flow"]) == [b"FLOW"]
        dc.set_downlink_condition(None)
        assert arrivals(laptop, server, [b"flow"]) == [b"flow"]
        phone.iface("eth0").set_condition(None)
        wait_until(
            lambda: program_processes() == 0,
            "programs end with their conditions",
            patience=PATIENCE,
        )


def test_an_error_is_told_and_packets_pass(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    laptop.iface("eth0").set_condition(LinkCondition(program=fail_at_three), "up")
    sent = [b"1", b"2", b"3", b"4"]
    assert arrivals(laptop, server, sent) == sent
    wait_until(lambda: failures(lab), "no event tells of the error", patience=PATIENCE)
    (told,) = failures(lab)
    assert told["link"] == "laptop/eth0/up"
    assert told["program"] == "fail_at_three"
    assert "in fail_at_three" in told["reason"]
    assert told["reason"].endswith("LookupError: no more than two")
    assert program_processes() == 0
    with pytest.raises(PacketProgramFailed) as failed:
        lab.close()
    (failure,) = failed.value.failures

    assert failure.link == "laptop/eth0/up"
    assert "LookupError: no more than two" in str(failed.value)
    lab.close()


def test_the_error_of_a_block_stays_and_a_failed_program_is_noted(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    laptop.iface("eth0").set_condition(LinkCondition(program=leave), "up")
    assert arrivals(laptop, server, [b"1"]) == [b"1"]
    with pytest.raises(ZeroDivisionError) as raised, lab:
        raise ZeroDivisionError
    (note,) = raised.value.__notes__

    assert "'leave' of link laptop/eth0/up" in note
    assert "exited with status 3" in note


def test_a_program_that_waits_for_ever_holds_no_other_link(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    phone = lab.add_device("phone", lab.router("home"), condition=LinkCondition(latency_ms=1))
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(program=PacketProgram(wait_for_ever, limit_ms=60_000)), "up")
    with laptop.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"held", (str(server.ip), PORT))
        assert phone.ping(server, timeout=PATIENCE).received == 1
        assert eth0.stats().up.dropped == 0
        wait_until(
            lambda: eth0.stats().up.queued_packets, "the program holds no packet", patience=PATIENCE
        )
        assert failures(lab) == []


@pytest.mark.parametrize("program", [spin, wait_for_ever])
def test_a_program_that_takes_too_long_is_stopped_and_packets_pass(lab, program):
    laptop, server = lab.device("laptop"), lab.device("server")
    condition = LinkCondition(program=PacketProgram(program, limit_ms=20))
    laptop.iface("eth0").set_condition(condition, "up")
    assert arrivals(laptop, server, [b"1", b"2"]) == [b"1", b"2"]
    with pytest.raises(PacketProgramFailed, match=program.__name__):
        lab.close()


def test_a_function_that_does_not_arrive_is_told_and_packets_pass(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    laptop.iface("eth0").set_condition(LinkCondition(program=Unloadable()), "up")
    assert arrivals(laptop, server, [b"1"]) == [b"1"]
    with pytest.raises(PacketProgramFailed, match="ImportError: there is no such thing here"):
        lab.close()


def test_no_kernel_runs_them_and_no_file_holds_them():
    condition = LinkCondition(program=shout)
    with Lab("auto") as lab:
        laptop = lab.add_device("laptop", lab.add_router("home"))
        eth0 = laptop.iface("eth0")
        with pytest.raises(ConfigError, match=r"no packet programs \(for program\).*engine='user'"):
            eth0.set_condition(condition, engine="kernel")
        assert eth0.condition("up") is None
        eth0.set_condition(condition)
        assert "packet programs (for program)" in str(eth0.engine("up"))
        with pytest.raises(ConfigError) as refused:
            lab.to_toml()
        assert [problem.place for problem in refused.value.problems] == [
            "node 'laptop', eth0, up, program",
            "node 'laptop', eth0, down, program",
        ]
        (changed,) = (each for each in lab.events() if each.kind == "link_condition_changed")
        assert changed.fields["condition"]["program"] == "shout"


def test_for_asyncio_too():
    async def run():
        async with AsyncLab("twin", link_engine="user") as lab:
            home = await lab.add_router("home")
            laptop = await lab.add_device("laptop", home)
            await laptop.iface("eth0").set_condition(LinkCondition(program=refuse_all), "up")
            assert await laptop.ping(home, timeout=PATIENCE)

    with pytest.raises(PacketProgramFailed, match="RuntimeError: nothing passes"):
        asyncio.run(run())


def refuse_all(packet):
    raise RuntimeError("nothing passes")
