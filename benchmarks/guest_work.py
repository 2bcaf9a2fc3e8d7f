"""What the benchmarks of guests run inside them; each prints one JSON object.

python -m benchmarks.guest_work keep_alives | costs
"""

import asyncio
import json
import socket
import sys
import time

from pyroute2 import IPRoute

from benchmarks.report import in_turn, p50
from benchmarks.star import star
from patchbay import Lab, LinkCondition

PORT = 7000
EVERY, DAY = 25, 24 * 3600
LOSS_PCT = 5.0


def keep_alives() -> dict[str, object]:
    """A day of two peers behind NATs, who tell each other every 25 s that they are there."""
    with Lab("day") as lab:
        server = lab.add_device("server", lab.add_router("dc", preset="public"))
        peers = [
            lab.add_device(name, lab.add_router(f"{name}-home", preset="home"))
            for name in ("anna", "ben")
        ]
        with server.reflector("udp") as reflector:
            seen = [reflector.observe(peer, source_port=PORT) for peer in peers]
        for peer, other in zip(peers, reversed(seen), strict=True):
            peer.call(punch, str(other.ip), other.port)
        for peer in peers:
            peer.iface("eth0").set_condition(LinkCondition(loss_pct=LOSS_PCT), "up")
        days = [
            peer.spawn(live, str(other.ip), other.port)
            for peer, other in zip(peers, reversed(seen), strict=True)
        ]
        lived = [day.result() for day in days]
        lost = [peer.call(dropped, "eth0") for peer in peers]
    return {
        "sent": [sent for sent, _ in lived],
        "received": [received for _, received in reversed(lived)],
        "lost": lost,
    }


def punch(host: str, port: int) -> None:
    """Open the NAT for what the other peer sends; the first packet is lost at the other's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", PORT))
        sock.sendto(b"", (host, port))


async def live(host: str, port: int) -> tuple[int, int]:
    """Send a numbered packet every 25 s for a day; how many were sent, and how many came."""
    heard: set[int] = set()

    class Listener(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _: object) -> None:
            heard.add(int(data))

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Listener, local_addr=("0.0.0.0", PORT))
    await asyncio.sleep(1)  # so that the other peer listens from the first packet on
    for number in range(DAY // EVERY):
        transport.sendto(str(number).encode(), (host, port))
        await asyncio.sleep(EVERY)
    transport.close()
    return DAY // EVERY, len(heard)


def dropped(interface: str) -> int:
    """How many packets the kernel says that the link of an interface has lost."""
    with IPRoute() as route:
        index = route.link_lookup(ifname=interface)[0]
        (netem,) = (
            each for each in route.get_qdiscs(index=index) if each.get_attr("TCA_KIND") == "netem"
        )
        return int(netem.get_attr("TCA_STATS2").get_attr("TCA_STATS_QUEUE")["drops"])


def costs() -> dict[str, object]:
    """Microseconds of a call and of a lab, seconds of a star."""
    with Lab("calls") as lab:
        node = lab.add_device("laptop", lab.add_router("home"))
        call = in_turn({"call": lambda: node.call(abs, 1)}, rounds=5, batch=50)["call"]
    labs = []
    for _ in range(10):
        begin = time.perf_counter()
        Lab().close()
        labs.append((time.perf_counter() - begin) * 1e6)
    return {"call": call, "lab": p50(labs), "star": star(100)[0]}


if __name__ == "__main__":
    print(json.dumps({"keep_alives": keep_alives, "costs": costs}[sys.argv[1]]()))
