"""A session that lives on while its phone walks out of the Wi-Fi: one UDP socket, two addresses.

python examples/handoff.py

The server knows its client by a name and not by its address, as QUIC and WireGuard do.
"""

import asyncio
import socket

from patchbay import Lab


class Sessions(asyncio.DatagramProtocol):
    """Answers each datagram `NAME TEXT` with what it knows of that client."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {}

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        name = data.decode().split()[0]
        self.seen.setdefault(name, []).append(address[0])
        self.transport.sendto(" -> ".join(self.seen[name]).encode(), address)


async def start_sessions() -> int:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Sessions, ("0.0.0.0", 0))
    return transport.get_extra_info("sockname")[1]


def main() -> None:
    with Lab("handoff") as lab:
        dc = lab.add_router("dc", preset="public")
        wifi = lab.add_router("wifi", preset="home")
        carrier = lab.add_router("carrier", nat="home")
        server = lab.add_device("server", dc)
        phone = lab.add_device("phone", ifaces={"wlan0": wifi, "cell0": carrier})
        address = (str(server.ip), server.spawn(start_sessions()).result())

        with phone.socket(socket.AF_INET, socket.SOCK_DGRAM) as session:
            session.settimeout(30)

            def say(text: str) -> str:
                session.sendto(f"phone {text}".encode(), address)
                return session.recv(1024).decode()

            print("over Wi-Fi:          ", say("hello"))
            phone.set_default_route("cell0")
            print("over cellular:       ", say("still me"))
            phone.iface("wlan0").down()
            print("and the Wi-Fi is gone:", say("me again"))


if __name__ == "__main__":
    main()
