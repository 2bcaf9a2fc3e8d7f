"""Recordings of links that the user-space engine makes: what became of each packet, and why."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections import Counter

import dpkt
import pytest
from pyroute2.nftables.main import NFTables

from patchbay import DropList, FlowMatch, Lab, LinkCondition
from tests.capture.processes import recorder
from tests.capture.reading import read
from tests.waiting import wait_until

IP, ICMP = 0x0800, 1
PORT = 7000
MATCH = FlowMatch(protocol="udp", port=PORT)
MATCH_TCP = FlowMatch(protocol="tcp", port=PORT)
FILTER = f"udp port {PORT}"
PATIENCE = 60.0
END = b"end"


@pytest.fixture
def lab(nothing_left_behind):
    """A lab of two devices, `laptop` at `home` and `server` at `dc`."""
    with Lab("links", link_engine="user", seed=7) as lab:
        with lab.batch():
            home, dc = lab.add_router("home"), lab.add_router("dc")
            lab.add_device("laptop", home)
            lab.add_device("server", dc)
        yield lab


def send(source, target, count, *, size=100, arriving=None):
    """Send datagrams, and wait for as many as are to arrive."""
    with (
        target.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        source.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind((str(target.ip), PORT))
        receiver.settimeout(PATIENCE)
        for number in range(count):
            sender.sendto(number.to_bytes(4, "big") + bytes(size - 4), (str(target.ip), PORT))
        for _ in range(count if arriving is None else arriving):
            receiver.recv(1 << 16)


def seen(recording, interface):
    """The datagrams that were seen somewhere, with comments."""
    return [
        (int.from_bytes(each.data[42:46], "big"), each.comment) for each in recording.of(interface)
    ]


def dropped(iface, way="up"):
    stats = getattr(iface.stats(), way)
    return 0 if stats is None else stats.dropped


def test_what_a_list_loses_and_what_goes_on_with_its_delay(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    condition = LinkCondition(latency_ms=5, drops=DropList([2], match=MATCH))
    with eth0.capture(tmp_path / "a.pcapng", filter=FILTER) as capture:
        eth0.set_condition(condition, "up")  # it is recorded from then on
        send(laptop, server, 3, arriving=2)
    recording = read(tmp_path / "a.pcapng")

    assert seen(recording, "laptop/eth0") == [(0, ""), (1, ""), (2, "")]
    told = seen(recording, "laptop/eth0 up")
    first, lost, last = sorted(told)
    assert told.index(first) < told.index(last)
    assert lost == (1, "dropped: list (packet 2)")
    assert (first[0], last[0]) == (0, 2)
    assert first[1].startswith("delayed 5.000 ms")
    assert {each.direction for each in recording.of("laptop/eth0 up")} == {"out"}
    assert recording.statistics["laptop/eth0 up"] == (3, 0)
    by_direction = {each.direction: each for each in capture.stats().interfaces}
    assert by_direction.keys() == {None, "up", "down"}
    assert by_direction["up"].packets == 3
    assert by_direction["up"].bytes == 3 * 142


@pytest.mark.parametrize(
    ("condition", "count", "arriving", "comments"),
    [
        (LinkCondition(loss_pct=100), 2, 0, {"dropped: loss": 2}),
        (LinkCondition(mtu=1000), 2, 0, {"dropped: mtu (1228 bytes, and 1000 may pass)": 2}),
        (LinkCondition(duplicate_pct=100), 2, 4, {"": 2, "duplicate": 2}),
        (LinkCondition(corrupt_pct=100), 2, 0, {"corrupted": 2}),
        (LinkCondition(corrupt_pct=100, corrupt_valid_checksum=True), 2, 0, {"corrupted": 2}),
        (LinkCondition(latency_ms=60_000, reorder_pct=100), 2, 2, {"reordered": 2}),
        (
            LinkCondition(rate_kbit=1, queue_pkts=1),
            4,
            0,
            {"dropped: queue full (1 packets, 1242 bytes)": 2},
        ),
    ],
)
def test_decisions_are_told(lab, tmp_path, condition, count, arriving, comments):
    laptop, server = lab.device("laptop"), lab.device("server")
    with server.capture(tmp_path / "a.pcapng", filter=FILTER) as capture:
        server.iface("eth0").set_condition(None, "down", flows={MATCH: condition})
        send(laptop, server, count, size=1200, arriving=arriving)
        wait_until(lambda: link_packets(capture, "down") == sum(comments.values()))
    found = seen(read(tmp_path / "a.pcapng"), "server/eth0 down")
    told = Counter(without_lateness(comment) for _, comment in found)

    assert told == comments


def without_lateness(comment):
    """Words that do not depend on how busy the machine is."""
    return ", ".join(part for part in comment.split(", ") if not part.endswith(" late"))


def link_packets(capture, direction):
    return sum(each.packets for each in capture.stats().interfaces if each.direction == direction)


def test_what_a_program_decides_is_told(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    with lab.capture(tmp_path / "a.pcapng", filter=FILTER):
        eth0.set_condition(None, "up", flows={MATCH: LinkCondition(program=decide)})
        send(laptop, server, 3, arriving=3)
    found = {number: [] for number in range(3)}
    for number, comment in seen(read(tmp_path / "a.pcapng"), "laptop/eth0 up"):
        found[number].append(without_lateness(comment))

    assert found[0] == ["dropped: program"]
    assert found[1] == ["delayed 1.000 ms"]
    assert sorted(found[2]) == ["", "added by the program"]


def decide(packet):
    number = int.from_bytes(packet.payload[:4], "big")
    if number == 0:
        packet.drop()
    elif number == 1:
        packet.delay(1)
    else:
        packet.duplicate()


def test_the_filter_and_the_length_hold_for_links_too(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    laptop.iface("eth0").set_condition(LinkCondition(latency_ms=1))
    for filter_text, kept, ways in (
        (f"{FILTER} and inbound", 60, {"down"}),
        (f"{FILTER} and dst host server", 1 << 16, {"up"}),
        (None, 60, {"up", "down"}),
    ):
        path = tmp_path / "a.pcapng"
        with laptop.iface("eth0").capture(path, filter=filter_text, snaplen=kept):
            send(laptop, server, 2)
            send(server, laptop, 2)
        recording = read(path)
        packets = {way: recording.of(f"laptop/eth0 {way}", 0x0800) for way in ("up", "down")}
        assert {way: len(found) for way, found in packets.items() if found} == dict.fromkeys(
            ways, 2
        )
        assert {len(each.data) for found in packets.values() for each in found} == {min(142, kept)}
        assert {each.length for found in packets.values() for each in found} == {142}


def test_what_a_router_loses_for_all_is_told_at_the_link_it_was_for(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    dc = lab.router("dc")
    dc.set_downlink_condition(None, flows={MATCH: LinkCondition(loss_pct=100)})
    with dc.iface("lan").capture(tmp_path / "a.pcapng", filter=FILTER) as capture:
        send(laptop, server, 3, arriving=0)
        wait_until(lambda: link_packets(capture, "down") == 3)
    recording = read(tmp_path / "a.pcapng")

    assert seen(recording, "server/eth0 down") == [(each, "dropped: loss") for each in range(3)]
    assert seen(recording, "server/eth0 up") == []


def test_several_recordings_and_none(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=1), "up")
    with lab.capture(tmp_path / "a.pcapng", filter=FILTER):
        send(laptop, server, 1)
        with laptop.capture(tmp_path / "b.pcapng", filter=FILTER):
            send(laptop, server, 1)
        send(laptop, server, 1)
    send(laptop, server, 1)
    found = [
        len(seen(read(tmp_path / name), "laptop/eth0 up")) for name in ("a.pcapng", "b.pcapng")
    ]

    assert found == [3, 1]


def test_a_link_that_comes_and_goes_and_comes_is_recorded_each_time(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    lost = LinkCondition(drops=DropList([1], match=MATCH))
    with lab.capture(tmp_path / "a.pcapng", filter=FILTER):
        for _ in range(2):
            eth0.set_condition(lost, "up")
            send(laptop, server, 2, arriving=1)
            eth0.set_condition(None)
            wait_until(lambda: eth0.stats().up is None and eth0.stats().down is None)
        guest = lab.add_device("guest", lab.router("home"), condition=lost)
        send(guest, server, 2, arriving=1)
        lab.remove(guest)
    recording = read(tmp_path / "a.pcapng")

    drops = [each for each in seen(recording, "laptop/eth0 up") if "dropped" in each[1]]
    assert drops == [(0, "dropped: list (packet 1)")] * 2
    assert (0, "dropped: list (packet 1)") in seen(recording, "guest/eth0 up")


def test_what_came_while_the_recorder_was_not_let_run_is_recorded(lab, tmp_path):
    """It hears of a new link only behind several new interfaces."""
    server, home = lab.device("server"), lab.router("home")
    lab.device("laptop").iface("eth0").set_condition(LinkCondition(latency_ms=1))
    with lab.capture(tmp_path / "a.pcapng", filter=FILTER) as capture:
        send(lab.device("laptop"), server, 1)
        wait_until(lambda: link_packets(capture, "up") == 1)
        late = recorder(lab)
        os.kill(late, signal.SIGSTOP)
        try:
            for name in ("one", "two", "three"):
                lab.add_device(name, home)
            guest = lab.add_device("guest", home, condition=LinkCondition(latency_ms=1))
            send(guest, server, 2)
        finally:
            os.kill(late, signal.SIGCONT)
    found = read(tmp_path / "a.pcapng")

    assert [number for number, _ in seen(found, "guest/eth0 up")] == [0, 1]
    assert [number for number, _ in seen(found, "guest/eth0")] == [0, 1]


def test_a_stream_is_recorded_in_segments_and_arrives_whole(lab, tmp_path):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=1, drops=DropList([30], match=MATCH_TCP)), "up")
    data = bytes(range(256)) * 1000
    with (
        eth0.capture(tmp_path / "a.pcapng", filter=f"tcp dst port {PORT}") as capture,
        server.socket() as listener,
        laptop.socket() as client,
    ):
        listener.bind((str(server.ip), PORT))
        listener.listen()
        client.settimeout(PATIENCE)
        client.connect((str(server.ip), PORT))
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(PATIENCE)
            sending = threading.Thread(target=client.sendall, args=(data,))
            sending.start()
            got = b""
            while len(got) < len(data):
                got += accepted.recv(1 << 16)
            sending.join()
    segments = read(tmp_path / "a.pcapng").of("laptop/eth0 up")
    headers = [dpkt.ethernet.Ethernet(each.data).data.data for each in segments]
    first = next(tcp.seq + 1 for tcp in headers if tcp.flags & dpkt.tcp.TH_SYN)
    there = bytearray(len(data))
    for each, tcp in zip(segments, headers, strict=True):
        assert each.length == len(each.data) <= 1514
        if "dropped" not in each.comment and tcp.data:
            at = (tcp.seq - first) % (1 << 32)
            there[at : at + len(tcp.data)] = tcp.data

    assert got == data
    assert capture.stats().dropped == 0
    assert [each.comment for each in segments].count("dropped: list (packet 30)") == 1
    assert there == data


def interceptions():
    """How many interfaces drop what no process has sent; runs on a node."""
    with NFTables(nfgen_family=5) as nft:
        return len(nft.get_tables())


@pytest.mark.parametrize("wanted", ["icmp", None])
def test_a_link_between_regions_shows_each_packet_once_whoever_passes_it_on(lab, tmp_path, wanted):
    us, eu = lab.add_region("us"), lab.add_region("eu")
    lab.link_regions(us, eu)
    trunk, slow = us.iface("trunk1"), LinkCondition(latency_ms=5)
    whole, last = tmp_path / "whole.pcapng", tmp_path / "last.pcapng"
    with trunk.capture(whole, filter=wanted, far_end=True):
        assert us.ping(eu, timeout=PATIENCE)
        trunk.set_condition(slow, "up")
        assert us.ping(eu, timeout=PATIENCE)
        trunk.set_condition(None)
        wait_until(lambda: not us.call(interceptions) + eu.call(interceptions))
        assert us.ping(eu, timeout=PATIENCE)
        trunk.set_condition(slow, "down")
        assert us.ping(eu, timeout=PATIENCE)
        with trunk.capture(last, filter=wanted, far_end=True):
            assert us.ping(eu, timeout=PATIENCE)

    def pings(file, interface):
        found = read(file).of(interface, IP)
        return [each.direction for each in found if each.protocol == ICMP]

    assert pings(whole, "us/trunk1") == 5 * ["out", "in"]
    assert pings(whole, "eu/trunk1") == 5 * ["in", "out"]
    assert pings(last, "us/trunk1") == ["out", "in"]
    assert pings(last, "eu/trunk1") == ["in", "out"]


def test_what_a_link_between_regions_loses_does_not_arrive(lab, tmp_path):
    us, eu = lab.add_region("us"), lab.add_region("eu")
    lab.link_regions(us, eu)
    trunk = us.iface("trunk1")
    trunk.set_condition(LinkCondition(drops=DropList([1], match=FlowMatch(protocol="icmp"))), "up")
    with lab.capture(tmp_path / "a.pcapng", filter="icmp"):
        assert not us.ping(eu, timeout=0.05)
        assert us.ping(eu, timeout=PATIENCE)
    recording = read(tmp_path / "a.pcapng")

    assert [each.direction for each in recording.of("us/trunk1")] == ["out", "out", "in"]
    assert [each.direction for each in recording.of("eu/trunk1")] == ["in", "out"]


def packet_sockets():
    """How many there are where this runs: on a node."""
    with open("/proc/net/packet") as file:
        return len(file.readlines()) - 1


def test_no_ring_of_a_link_between_regions_is_kept(lab, tmp_path):
    us, eu = lab.add_region("us"), lab.add_region("eu")
    lab.link_regions(us, eu, LinkCondition(latency_ms=1))
    before = us.call(packet_sockets)
    with us.iface("trunk1").capture(tmp_path / "a.pcapng"):
        assert us.call(packet_sockets) == before + 1
    wait_until(lambda: us.call(packet_sockets) == before)

    with us.capture(tmp_path / "b.pcapng"):
        meanwhile = us.call(packet_sockets)
        lab.unlink_regions(us, eu)
        # the recording's, and that of the engine
        wait_until(lambda: us.call(packet_sockets) == meanwhile - 2)


@pytest.fixture
def recording(lab, tmp_path):
    """A file with a lost packet, and one that is late."""
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(latency_ms=5, drops=DropList([1], match=MATCH)), "up")
    with eth0.capture(tmp_path / "a.pcapng", filter=FILTER):
        send(laptop, server, 2, arriving=1)
    return tmp_path / "a.pcapng"


def test_wireshark_shows_comments_and_interfaces(recording):
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("there is no tshark here")
    fields = ("frame.interface_name", "frame.comment", "udp.dstport")
    told = subprocess.run(
        [
            tshark,
            "-r",
            recording,
            "-T",
            "json",
            *(part for each in fields for part in ("-e", each)),
        ],
        capture_output=True,
        check=True,
    )
    rows = [each["_source"]["layers"] for each in json.loads(told.stdout)]
    found = [tuple(row.get(each, [""])[0] for each in fields) for row in rows]

    assert sum(each == ("laptop/eth0", "", str(PORT)) for each in found) == 2
    late, lost = sorted(each for each in found if each[0] == "laptop/eth0 up")
    assert lost == ("laptop/eth0 up", "dropped: list (packet 1)", str(PORT))
    assert late[1].startswith("delayed 5.000 ms")


def test_dpkt_reads_it(recording):
    with open(recording, "rb") as file:
        packets = [dpkt.ethernet.Ethernet(data) for _, data in dpkt.pcapng.Reader(file)]

    assert [each.data.data.dport for each in packets] == [PORT] * 4
