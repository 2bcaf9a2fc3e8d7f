"""Packets that programs send back, on links of whole labs: nobody can tell them from others."""

import io
import socket
import struct

import pytest

from patchbay import FlowMatch, LinkCondition
from tests.waiting import wait_until

PATIENCE = 60.0
PORT = 7000
RST = 4
NOBODY = b"nobody has sent this"
IP_MTU, IP_MTU_DISCOVER, IP_PMTUDISC_DO = 14, 10, 2
IPV6_MTU, IPV6_MTU_DISCOVER = 24, 23


def udp(device, port=0, family=socket.AF_INET):
    made = device.socket(family, socket.SOCK_DGRAM)
    made.bind((str(device.ip if family == socket.AF_INET else device.ip6), port))
    made.settimeout(PATIENCE)
    return made


def reset_both(packet):
    if packet.tcp and packet.payload == b"kill":
        onward = packet.copy()
        onward.change(payload=b"", flags=RST)
        packet.inject(onward)
        packet.inject_back(packet.tcp_reset())
        packet.drop()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_forged_reset_ends_a_connection_at_both_ends(lab, family):
    laptop, server = lab.device("laptop"), lab.device("server")
    laptop.iface("eth0").set_condition(LinkCondition(program=reset_both), "up")
    address = str(server.ip if family == socket.AF_INET else server.ip6)
    with server.socket(family) as listener, laptop.socket(family) as client:
        listener.bind((address, PORT))
        listener.listen()
        client.settimeout(PATIENCE)
        client.connect((address, PORT))
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(PATIENCE)
            client.sendall(b"hello")
            assert accepted.recv(100) == b"hello"
            client.sendall(b"kill")
            for end in (client, accepted):
                with pytest.raises(ConnectionResetError):
                    end.recv(100)


def refuse_long(packet):
    if packet.ip and len(packet.data) > 14 + 1300:
        packet.inject_back(packet.too_big(1300))
        packet.drop()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_forged_icmp_message_lowers_the_path_mtu(lab, family):
    laptop, server = lab.device("laptop"), lab.device("server")
    laptop.iface("eth0").set_condition(LinkCondition(program=refuse_long), "up")
    level, discover, mtu = (
        (socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU)
        if family == socket.AF_INET
        else (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU)
    )
    with udp(server, PORT, family) as receiver, udp(laptop, 0, family) as sender:
        sender.setsockopt(level, discover, IP_PMTUDISC_DO)
        sender.connect(receiver.getsockname()[:2])
        assert sender.getsockopt(level, mtu) == 1500
        sender.send(bytes(1400))
        wait_until(lambda: sender.getsockopt(level, mtu) == 1300, "nobody tells it")
        with udp(laptop, 0, family) as another:
            another.connect(receiver.getsockname()[:2])
            assert another.getsockopt(level, mtu) == 1300
            another.send(b"short")
            assert receiver.recv(100) == b"short"


class Resolver:
    """Answers questions for an IPv4 address with a wrong one."""

    def __init__(self, address):
        self.address = socket.inet_aton(address)

    def __call__(self, packet):
        if not (packet.udp and packet.destination_port == 53):
            return
        question = packet.payload
        header = question[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
        record = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + self.address
        answer = packet.reversed()
        answer.change(payload=header + question[12:] + record)
        packet.inject_back(answer)
        packet.drop()


def test_a_forged_answer_of_a_name_server_arrives_in_its_name(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(program=Resolver("203.0.113.7")), "up")
    question = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + b"\x07example\0\0\x01\0\x01"
    near, far = io.BytesIO(), io.BytesIO()
    with (
        eth0.capture(near, filter="udp"),
        server.capture(far, filter="udp"),
        udp(laptop) as client,
    ):
        client.sendto(question, (str(server.ip), 53))
        answer, source = client.recvfrom(1000)

    assert source == (str(server.ip), 53)
    assert answer[:2] == question[:2]
    assert answer[-4:] == socket.inet_aton("203.0.113.7")
    assert answer in near.getvalue()
    assert question not in far.getvalue()
    assert answer not in far.getvalue()


def answer_udp(packet):
    """Answers, and has nobody else do so."""
    if packet.udp and packet.payload != NOBODY:
        answer = packet.reversed()
        answer.change(payload=NOBODY)
        packet.inject_back(answer)
        packet.drop()


def answered(source, target):
    """Whether a datagram is answered, at whose port nobody is."""
    with udp(source) as client:
        client.sendto(b"is anybody there?", (str(target.ip), PORT))
        answer, address = client.recvfrom(100)
        return answer == NOBODY and address == (str(target.ip), PORT)


def test_it_goes_back_from_wherever_a_program_can_be(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    home, condition = lab.router("home"), LinkCondition(program=answer_udp)
    eth0 = laptop.iface("eth0")

    eth0.set_condition(condition, "down")
    assert answered(server, laptop)
    eth0.set_condition(condition, "both")  # each leaves alone what the other has made
    assert answered(server, laptop)
    assert answered(laptop, server)
    eth0.set_condition(None)
    home.set_downlink_condition(condition)
    assert answered(server, laptop)
    eth0.set_condition(condition, "up")  # back through what all of the LAN meet
    assert answered(laptop, server)
    home.set_downlink_condition(None)
    eth0.set_condition("lan", "up", flows={FlowMatch(protocol="udp"): condition})
    assert answered(laptop, server)
    eth0.set_condition(None)
    home.iface("wan").set_condition(condition, "up")
    assert answered(laptop, server)


def test_it_goes_back_between_regions(lab):
    with lab.batch():
        for name in ("us", "eu"):
            lab.add_region(name)
            lab.add_device(name.upper(), lab.add_router(f"dc-{name}", region=name))
    us, eu = lab.device("US"), lab.device("EU")
    lab.link_regions("us", "eu", LinkCondition(program=answer_udp), back="lan")
    assert answered(us, eu)
    lab.update_region_link("us", "eu", None, back=LinkCondition(program=answer_udp))
    assert answered(eu, us)


def test_it_meets_what_the_other_direction_meets(lab):
    laptop, server = lab.device("laptop"), lab.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(LinkCondition(program=answer_udp), "up")
    eth0.set_condition(LinkCondition(latency_ms=1, loss_pct=100), "down")
    with udp(laptop) as client:
        client.sendto(b"is anybody there?", (str(server.ip), PORT))
        wait_until(lambda: eth0.stats().down.drops.get("loss", 0) > 0)
