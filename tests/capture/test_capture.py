"""Recordings of labs: every packet, once for each interface that it passes, whatever happens."""

import asyncio
import io
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import dpkt
import pytest

from patchbay import AsyncLab, ConfigError, Lab, NodeGone, PatchbayError, clock
from tests.capture.processes import recorder
from tests.capture.reading import read
from tests.waiting import wait_until

IP, IP6, ARP = 0x0800, 0x86DD, 0x0806
ICMP, TCP, UDP = 1, 6, 17
PATIENCE = 30


def send_datagrams(host, port, count, size=100):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        for number in range(count):
            sock.sendto(number.to_bytes(4, "big") + bytes(size - 4), (host, port))
        return sock.getsockname()[1]


def stand_still():
    """User code that lets nobody else run on its node."""
    time.sleep(3600)


def echoes(recording, interface):
    """The identity and direction of the pings that an interface saw."""
    return [
        (each.data[34], int.from_bytes(each.data[40:42], "big"), each.direction)
        for each in recording.of(interface, IP)
        if each.protocol == ICMP
    ]


# -- what is recorded


def test_an_interface_sees_each_packet_once_with_its_direction(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    with laptop.iface("eth0").capture(tmp_path / "a.pcapng", filter="icmp") as capture:
        laptop.ping(server, 3)
    recording = read(tmp_path / "a.pcapng")

    assert echoes(recording, "laptop/eth0") == [
        (kind, number, way) for number in range(3) for kind, way in ((8, "out"), (0, "in"))
    ]
    assert recording.statistics == {"laptop/eth0": (6, 0)}
    stats = capture.stats()
    assert (stats.packets, stats.dropped, stats.bytes) == (6, 0, 6 * 98)
    assert [(each.node, each.interface) for each in stats.interfaces] == [("laptop", "eth0")]
    assert capture.close() == stats


def test_a_recording_names_interfaces_addresses_and_itself(lab, tmp_path):
    lab.dns_entry("files.example", "10.0.1.77")
    with lab.device("laptop").capture(tmp_path / "a.pcapng", filter="tcp", snaplen=80):
        pass
    recording = read(tmp_path / "a.pcapng")
    by_name = {each["name"]: each for each in recording.interfaces}
    laptop = lab.device("laptop")

    assert by_name.keys() == {"laptop/lo", "laptop/eth0"}
    eth0 = by_name["laptop/eth0"]
    assert eth0["mac"] == laptop.iface("eth0").mac
    assert {str(laptop.ip), str(laptop.ip6)} <= set(eth0["addresses"])
    assert (eth0["filter"], eth0["snaplen"], eth0["link_type"]) == ("tcp", 80, 1)
    assert recording.names[str(laptop.ip)] == ["laptop"]
    assert recording.names[str(lab.router("home").uplink_ip)] == ["home"]
    assert recording.names["10.0.1.77"] == ["files.example"]
    assert recording.section[4][0].startswith(b"patchbay ")


def test_a_packet_of_the_loopback_is_recorded_once(lab, tmp_path):
    laptop = lab.device("laptop")
    with laptop.capture(tmp_path / "a.pcapng", filter="icmp"):
        laptop.ping("127.0.0.1", 2)
    recording = read(tmp_path / "a.pcapng")

    assert [kind for kind, _, _ in echoes(recording, "laptop/lo")] == [8, 0, 8, 0]


def test_a_lab_is_recorded_in_the_order_of_time_along_the_whole_path(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    laptop.ping(server)  # so that neighbours know each other
    with lab.capture(tmp_path / "a.pcapng", filter="icmp"):
        laptop.ping(server, 5, interval=0.05)
    recording = read(tmp_path / "a.pcapng")
    times = [each.moment for each in recording.packets]
    requests = [each.interface for each in recording.packets if each.data[34] == 8]

    assert times == sorted(times)
    path = ["laptop/eth0", "home/lan", "home/wan", "ix/ix", "ix/ix", "dc/wan", "dc/lan"]
    path.append("server/eth0")
    in_order = sorted if clock.is_virtual() else list  # where all may be the same moment
    pings = [requests[at : at + len(path)] for at in range(0, len(requests), len(path))]
    assert list(map(in_order, pings)) == [in_order(path)] * 5
    translated = recording.of("server/eth0", IP)[0].data[26:30]
    assert translated == lab.router("home").uplink_ip.packed


def test_packets_are_in_the_order_of_time_though_the_recorder_was_not_let_run(lab, tmp_path):
    server = lab.device("server")
    with lab.capture(tmp_path / "a.pcapng", filter="icmp"):
        late = recorder(lab)
        os.kill(late, signal.SIGSTOP)
        try:
            for name in ("one", "two", "three"):
                lab.add_device(name, lab.router("dc")).ping(server, 3, interval=0.1)
        finally:
            os.kill(late, signal.SIGCONT)
    recording = read(tmp_path / "a.pcapng")
    times = [each.moment for each in recording.packets]

    assert times == sorted(times)
    for name in ("one", "two", "three"):
        assert len(echoes(recording, f"{name}/eth0")) == 6


def test_both_ends_of_a_cable_can_be_recorded(lab, tmp_path):
    laptop = lab.device("laptop")
    with laptop.iface("eth0").capture(tmp_path / "a.pcapng", filter="icmp", far_end=True):
        laptop.ping(lab.router("home").iface("lan").ip)
    recording = read(tmp_path / "a.pcapng")
    near, far = (each["name"] for each in recording.interfaces)

    assert near == "laptop/eth0"
    assert far.startswith("home/p")
    assert [way for *_, way in echoes(recording, near)] == ["out", "in"]
    assert [way for *_, way in echoes(recording, far)] == ["in", "out"]


def test_both_ends_of_a_link_between_regions_can_be_recorded(lab, tmp_path):
    us, eu = lab.add_region("us"), lab.add_region("eu")
    lab.link_regions(us, eu)
    with us.iface("trunk1").capture(tmp_path / "a.pcapng", filter="icmp", far_end=True):
        us.ping(eu)
    recording = read(tmp_path / "a.pcapng")

    assert [each["name"] for each in recording.interfaces] == ["us/trunk1", "eu/trunk1"]
    assert [way for *_, way in echoes(recording, "us/trunk1")] == ["out", "in"]
    assert [way for *_, way in echoes(recording, "eu/trunk1")] == ["in", "out"]


def test_a_filter_may_name_nodes(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    with laptop.capture(tmp_path / "a.pcapng", filter="udp and dst host server and port 7"):
        send = laptop.submit(send_datagrams, str(server.ip), 7, 2)
        send.result()
        laptop.call(send_datagrams, str(server.ip), 8, 2)
        laptop.call(send_datagrams, str(lab.router("home").uplink_ip), 7, 2)
    recording = read(tmp_path / "a.pcapng")

    assert len(recording.packets) == 2


def test_only_the_beginning_of_packets_is_kept_if_asked(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    with laptop.capture(tmp_path / "a.pcapng", filter="udp port 7", snaplen=50) as capture:
        laptop.call(send_datagrams, str(server.ip), 7, 3, 1000)
    packets = read(tmp_path / "a.pcapng").packets

    assert [(len(each.data), each.length) for each in packets] == [(50, 1042)] * 3
    assert capture.stats().bytes == 3 * 1042


def test_large_packets_of_segmentation_offload_are_whole(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")

    def receive(port):
        with socket.create_server(("", port)) as listener, listener.accept()[0] as peer:
            return sum(len(data) for data in iter(lambda: peer.recv(1 << 20), b""))

    def send(host, port, size):
        with socket.create_connection((host, port), timeout=PATIENCE) as sock:
            sock.sendall(bytes(size))

    listening = server.submit(receive, 5000)
    wait_until(lambda: server.call(is_listening, 5000))
    with laptop.iface("eth0").capture(tmp_path / "a.pcapng", filter="tcp and outbound") as capture:
        laptop.call(send, str(server.ip), 5000, 4_000_000)
        assert listening.result(PATIENCE) == 4_000_000
    seen = set()
    for each in read(tmp_path / "a.pcapng").packets:
        assert len(each.data) == each.length
        tcp = dpkt.ethernet.Ethernet(each.data).data.data
        seen.add((tcp.seq, len(tcp.data)))
    assert capture.stats().dropped or sum(size for _, size in seen) >= 4_000_000


def is_listening(port):
    with open("/proc/net/tcp") as lines:
        return any(f":{port:04X} " in line and " 0A " in line for line in lines)


# -- while the lab changes


def test_what_is_added_later_is_recorded_from_its_first_packet(lab, tmp_path):
    with lab.capture(tmp_path / "a.pcapng", filter="icmp"):
        tablet = lab.add_device("tablet", lab.router("home"))
        tablet.ping(lab.device("server"))
        tablet.add_iface("eth1", lab.router("dc"))
        lab.device("server").ping(tablet.iface("eth1").ip)
        lab.remove(tablet)
    recording = read(tmp_path / "a.pcapng")

    assert [kind for kind, *_ in echoes(recording, "tablet/eth0")] == [8, 0]
    assert [kind for kind, *_ in echoes(recording, "tablet/eth1")][:1] == [8]
    assert recording.names[str(lab.device("laptop").ip)] == ["laptop"]
    assert ["tablet"] in recording.names.values()


def test_an_interface_that_a_program_makes_is_recorded(lab, tmp_path):
    laptop = lab.device("laptop")
    with laptop.capture(tmp_path / "a.pcapng") as capture:
        laptop.call(make_interface, "wg9")
        wait_until(lambda: "wg9" in {each.interface for each in capture.stats().interfaces})


def make_interface(name):
    from patchbay.wiring.connection import NETLINK_ROUTE, Connection
    from patchbay.wiring.netlink import NLM_F_CREATE, NLM_F_EXCL, Message, nested, text

    body = bytes(16) + text(3, name) + nested(18, text(1, "bridge"))
    Connection(NETLINK_ROUTE).ask(Message(16, NLM_F_CREATE | NLM_F_EXCL, body, "a link"))


def test_a_removed_node_leaves_its_packets(lab, tmp_path):
    guest = lab.add_device("guest", lab.router("home"))
    with guest.capture(tmp_path / "a.pcapng", filter="icmp") as capture:
        guest.ping(lab.device("server"))
        lab.remove(guest)
        lab.add_device("guest", lab.router("home")).ping(lab.device("server"))
    assert capture.stats().dropped == 0
    assert len(echoes(read(tmp_path / "a.pcapng"), "guest/eth0")) == 4


def test_replugging_goes_on_at_both_ends(lab, tmp_path):
    eth0 = lab.device("laptop").iface("eth0")
    with eth0.capture(tmp_path / "a.pcapng", filter="icmp", far_end=True):
        lab.device("laptop").ping(lab.device("server"))
        eth0.replug("dc")
        lab.device("laptop").ping(lab.device("server"))
    recording = read(tmp_path / "a.pcapng")
    ports = {each["name"].split("/")[0] for each in recording.interfaces}

    assert ports == {"laptop", "home", "dc"}
    assert len(echoes(recording, "laptop/eth0")) == 4
    for interface in recording.interfaces:
        if interface["name"].startswith(("home/", "dc/")):
            assert len(echoes(recording, interface["name"])) == 2


def test_down_and_up_again(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    with laptop.iface("eth0").capture(tmp_path / "a.pcapng", filter="icmp"):
        laptop.ping(server)
        laptop.iface("eth0").down()
        laptop.iface("eth0").up()
        wait_until(lambda: laptop.ping(server))
    assert len(echoes(read(tmp_path / "a.pcapng"), "laptop/eth0")) >= 4


def test_it_goes_on_while_code_blocks_the_node_and_after_its_restart(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    with laptop.capture(tmp_path / "a.pcapng", filter="icmp") as capture:
        laptop.submit(stand_still)
        server.ping(lab.router("home").uplink_ip)
        wait_until(lambda: ping_from_outside(lab, laptop))
        laptop.restart()
        laptop.ping(server)
    assert capture.stats().packets >= 4


def ping_from_outside(lab, node):
    return bool(lab.router("home").ping(node))


def test_it_ends_with_the_lab_as_a_whole(tmp_path):
    with Lab("ends") as lab:
        device = lab.add_device("a", lab.add_router("r"))
        capture = device.capture(tmp_path / "a.pcapng", filter="icmp")
        device.ping("127.0.0.1", 3)
    recording = read(tmp_path / "a.pcapng")

    assert len(recording.packets) == 6
    assert recording.statistics["a/lo"] == (6, 0)
    assert capture.close().packets == 6


def test_a_client_that_is_killed_leaves_a_whole_recording(tmp_path):
    script = (
        "import os, signal\n"
        "from patchbay import Lab\n"
        "lab = Lab('killed')\n"
        "a = lab.add_device('a', lab.add_router('r'))\n"
        "capture = a.capture('a.pcapng', filter='icmp')\n"
        "a.ping('127.0.0.1', 3)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment())
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: b"a/lo" in (tmp_path / "a.pcapng").read_bytes())
    wait_until(lambda: is_whole(tmp_path / "a.pcapng"))


def is_whole(file):
    """Whether the last block of a recording is there as a whole, and is not being written."""
    try:
        return bool(read(file).interfaces)
    except (AssertionError, struct.error):
        return False


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_recording_that_nobody_holds_ends(lab, tmp_path):
    before = len(lab.events())
    capture = lab.device("laptop").capture(tmp_path / "a.pcapng")
    del capture
    wait_until(lambda: lab.events(before)[-1].kind == "capture_ended")

    kinds = [event.kind for event in lab.events(before)]
    assert kinds == ["capture_started", "capture_ended"]


def test_a_killed_recorder_is_told(lab, tmp_path):
    capture = lab.device("laptop").capture(tmp_path / "a.pcapng")
    os.kill(recorder(lab), signal.SIGKILL)
    with pytest.raises(PatchbayError, match="'laptop' was cut short: its process was killed"):
        capture.close()
    assert lab.device("laptop").ping("127.0.0.1")


# -- where to


@pytest.fixture
def ping(lab):
    """Record two packets, wherever a test says."""

    def ping(destination):
        laptop = lab.device("laptop")
        with laptop.capture(destination, filter="icmp") as capture:
            laptop.ping("127.0.0.1")
        return capture

    return ping


def test_to_a_binary_file_object(ping):
    memory = io.BytesIO(b"before")
    memory.seek(0, io.SEEK_END)
    ping(memory)

    assert memory.getvalue().startswith(b"before")
    assert len(read(memory.getvalue()[6:]).packets) == 2


def test_to_an_open_file_after_what_was_written_to_it(ping, tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.write(b"before")
        ping(file)
        file.write(b"after!")
    data = (tmp_path / "a").read_bytes()

    assert (data[:6], data[-6:]) == (b"before", b"after!")
    assert len(read(data[6:-6]).packets) == 2


def test_live_to_a_pipe(lab):
    laptop = lab.device("laptop")
    ours, theirs = os.pipe()
    with open(ours, "rb") as pipe:
        capture = laptop.capture(theirs, filter="icmp")
        os.close(theirs)
        laptop.ping("127.0.0.1")
        packets = iter(dpkt.pcapng.Reader(Unseekable(pipe)))
        assert len(next(packets)[1]) == len(next(packets)[1]) == 98  # it still goes on
        capture.close()


class Unseekable:
    """What a reader has of a pipe; reads are exact."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._held = b""
        self._at = 0

    def read(self, size=-1):
        while len(self._held) < self._at + size:
            self._held += self._pipe.read1()
        self._at += size
        return self._held[self._at - size : self._at]

    def seek(self, at):
        self._at = at


def test_live_to_a_socket_in_non_blocking_mode(lab):
    laptop = lab.device("laptop")
    here, there = socket.socketpair()
    there.setblocking(False)
    assert laptop.ping(lab.device("server"))  # so that no datagram waits for an address
    with here, there:
        received = []
        reader = threading.Thread(
            target=lambda: received.extend(iter(lambda: here.recv(1 << 16), b""))
        )
        reader.start()
        with laptop.capture(there, filter="udp port 7"):
            laptop.call(send_datagrams, str(lab.device("server").ip), 7, 2000, 1000)
        there.shutdown(socket.SHUT_WR)
        reader.join()

    assert len(read(b"".join(received)).packets) == 2000


def test_a_reader_that_leaves_ends_it(lab):
    laptop = lab.device("laptop")
    ours, theirs = os.pipe()
    capture = laptop.capture(theirs, filter="icmp")
    os.close(theirs)
    os.close(ours)

    def ended():
        laptop.ping("127.0.0.1")
        return capture.stats().error

    wait_until(ended)
    assert capture.close().error == "Broken pipe"


def test_a_file_object_that_fails_is_heard_at_the_end(lab):
    class Full(io.RawIOBase):
        def write(self, data):
            raise OSError(28, "No space left on device")

    capture = lab.device("laptop").capture(Full())
    with pytest.raises(OSError, match="No space left"):
        capture.close()


def test_a_full_disk_is_told(lab):
    with pytest.raises(PatchbayError, match="cut short: No space left on device"):
        lab.device("laptop").capture("/dev/full").close()


def test_what_cut_it_short_is_raised_at_the_end_by_whomever_it_was_read_before(lab):
    capture = lab.device("laptop").capture("/dev/full")
    wait_until(lambda: capture.stats().error)
    with pytest.raises(PatchbayError, match="cut short: No space left on device"):
        capture.close()
    assert capture.close().error == "No space left on device"


@pytest.mark.parametrize("wrong", [io.StringIO(), None, 1.5])
def test_what_takes_no_bytes_is_refused(lab, wrong):
    with pytest.raises(TypeError, match="a path, a socket, a descriptor or a binary file object"):
        lab.device("laptop").capture(wrong)


def test_a_mistake_leaves_an_old_file_as_it_was(lab, tmp_path):
    (tmp_path / "a.pcapng").write_text("precious")
    laptop = lab.device("laptop")

    with pytest.raises(ConfigError, match="did you mean 'laptop'"):
        laptop.capture(tmp_path / "a.pcapng", filter="host lapto")
    with pytest.raises(ConfigError, match="snaplen: a number of bytes from 1 on"):
        laptop.capture(tmp_path / "a.pcapng", snaplen=0)
    with pytest.raises(ConfigError, match="snaplen: a number of bytes from 1 on, not '96'"):
        laptop.capture(tmp_path / "a.pcapng", snaplen="96")
    with pytest.raises(ConfigError, match="filter: 80 is no text"):
        laptop.capture(tmp_path / "a.pcapng", filter=80)
    with pytest.raises(ConfigError, match="has no far end"):
        lab.router("home").iface("lan").capture(tmp_path / "a.pcapng", far_end=True)
    assert (tmp_path / "a.pcapng").read_text() == "precious"


def test_a_node_that_is_gone_cannot_be_recorded(lab, tmp_path):
    server = lab.device("server")
    lab.remove(server)
    with pytest.raises(NodeGone):
        server.capture(tmp_path / "a.pcapng")


# -- how much


def test_nothing_is_lost_or_what_is_lost_is_counted(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    assert laptop.ping(server)  # so that no datagram waits for an address
    with laptop.iface("eth0").capture(tmp_path / "a.pcapng", filter="udp port 7") as capture:
        laptop.call(send_datagrams, str(server.ip), 7, 50_000)
    stats = capture.stats()
    numbers = [
        int.from_bytes(each.data[42:46], "big") for each in read(tmp_path / "a.pcapng").packets
    ]

    assert numbers == sorted(set(numbers))
    assert len(numbers) == stats.packets
    assert stats.packets + stats.dropped == 50_000


def test_two_recordings_at_once_see_the_same(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    with (
        laptop.capture(tmp_path / "a.pcapng", filter="icmp"),
        lab.capture(tmp_path / "b.pcapng", filter="icmp"),
    ):
        laptop.ping(server, 2)
    one, other = read(tmp_path / "a.pcapng"), read(tmp_path / "b.pcapng")

    assert echoes(one, "laptop/eth0") == echoes(other, "laptop/eth0") != []


def test_for_asyncio(tmp_path):
    async def main():
        async with AsyncLab("async") as lab:
            device = await lab.add_device("a", await lab.add_router("r"))
            async with await device.capture(tmp_path / "a.pcapng", filter="icmp") as capture:
                await device.ping("127.0.0.1")
            return await capture.stats()

    assert asyncio.run(main()).packets == 2
