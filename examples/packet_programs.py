"""Lose exactly the packet that matters: a function decides about each packet of a link.

python examples/packet_programs.py
"""

import socket

from patchbay import Lab, LinkCondition, Packet


class LoseSecondInitial:
    """Loses the second QUIC Initial, as the one that answers a Retry."""

    def __init__(self) -> None:
        self.initials = 0

    def __call__(self, packet: Packet) -> None:
        if "initial" in packet.quic_types:
            self.initials += 1
            if self.initials == 2:
                packet.drop()


def lose_third(packet: Packet) -> None:
    """Lose the third packet of each TCP flow."""
    if packet.tcp and packet.flow_number == 3:
        packet.drop()


def initial(number: int) -> bytes:
    """A QUIC Initial of version 1 with a number for a payload; not encrypted, as it is only lost."""
    return b"\xc0\0\0\0\1" + b"\x04conn" + b"\0" + b"\0" + b"\x40\x05" + b"hi, %d" % number


def main() -> None:
    with Lab("programs") as lab:
        home = lab.add_router("home")
        server = lab.add_device("server", home)
        laptop = lab.add_device("laptop", home)
        eth0 = laptop.iface("eth0")

        eth0.set_condition(LinkCondition(program=LoseSecondInitial()), "up")
        with (
            server.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            laptop.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind((str(server.ip), 443))
            receiver.settimeout(30)
            for number in range(1, 5):
                sender.sendto(initial(number), receiver.getsockname())
            arrived = [receiver.recv(1500)[-1:].decode() for _ in range(3)]
        print("of four QUIC Initials there arrive:", *arrived)

        eth0.set_condition(LinkCondition(program=lose_third), "up")
        for _ in range(2):
            with server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
                listener.bind((str(server.ip), 0))
                listener.listen()
                with laptop.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
                    client.connect(listener.getsockname())
                    accepted, _ = listener.accept()
                    client.sendall(b"all of it")
                    client.shutdown(socket.SHUT_WR)
                    with accepted, accepted.makefile("rb") as stream:
                        print("a stream that lost a packet says:", stream.read().decode())
        print("packets that programs lost:", eth0.stats().up.drops["program"])


if __name__ == "__main__":
    main()
