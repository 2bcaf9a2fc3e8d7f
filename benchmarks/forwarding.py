"""What NAT and a firewall cost what goes through a router, beside the least that the kernel takes.

The floor of them is one rule, `masquerade`: connection tracking and translation, and nothing more.

Both ends run on the same processor, or each on one of its own, and it matters which. On one, the
time is the work that is done. On two, it is that of the busier one and of what they wait for each
other: data passes the router on the one, acknowledgements on the other, and both write to what the
kernel tracks of their connection.
"""

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.report import Row
from patchbay import Device, Lab

BULK = 256 << 20
"""Bytes of a transfer."""
KINDS = {
    "one masquerade rule": {},
    "NAT": {"nat": "home"},
    "firewall": {"firewall": "block_inbound"},
    "NAT and firewall": {"preset": "home"},
}
"""What the routers are that are compared to a plain one."""


def run() -> list[Row]:
    with Lab("forwarding") as lab:
        with lab.batch():
            server = lab.add_device("server", lab.add_router("dc"))
            routers = {
                kind: lab.add_router(f"r{number}", **options)
                for number, (kind, options) in enumerate({"plain": {}, **KINDS}.items())
            }
            clients = {
                kind: lab.add_device(f"d{number}", router)
                for number, (kind, router) in enumerate(routers.items())
            }
        wan = routers["one masquerade rule"].default_iface
        assert wan is not None
        routers["one masquerade rule"].call(masquerade, wan.name)
        one, *others = sorted(os.sched_getaffinity(0))
        rows = compared(clients, server, (one, one), "on one processor", rounds=31, limit=1.05)
        if others:
            rows += compared(clients, server, (one, others[0]), "on two", rounds=11)
    return rows


def compared(
    clients: Mapping[str, Device],
    server: Device,
    processors: tuple[int, int],
    where: str,
    *,
    rounds: int,
    limit: float | None = None,
) -> list[Row]:
    """The rows of all kinds of routers with the ends of a transfer on these processors.

    Args:
        clients: one behind each, by its kind.
        server: where they send to.
        processors: the client's, and the server's.
        where: the same in words.
        rounds: how many transfers of each are measured.
        limit: of the time through NAT, as a multiple of a plain router's.
    """
    samples = transfers(clients, server, processors, rounds)
    times = {kind: lower_quartile(each) for kind, each in samples.items()}
    plain = times.pop("plain")
    return [
        Row(
            f"256 MB by TCP {where}: {kind}, against plain forwarding",
            each,
            "ms",
            plain,
            limit if kind == "NAT" else None,
            True,
        )
        for kind, each in times.items()
    ]


def lower_quartile(samples: list[float]) -> float:
    """What it takes when little else runs, which only ever adds to it."""
    return sorted(samples)[len(samples) // 4]


def transfers(
    clients: Mapping[str, Device], server: Device, processors: tuple[int, int], rounds: int
) -> dict[str, list[float]]:
    """The milliseconds of transfers in turn, every other round the other way round."""
    sending, receiving = processors
    times: dict[str, list[float]] = {kind: [] for kind in clients}
    order = list(clients)
    with placed(receiving):
        for number in range(1 + rounds):
            for kind in order:
                took = transfer(clients[kind], server, sending)
                if number:  # what comes first warms up
                    times[kind].append(took)
            order.reverse()
    return times


def transfer(client: Device, server: Device, processor: int) -> float:
    """Milliseconds from the first byte until all have arrived."""
    with server.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind((str(server.ip), 0))
        listener.listen()
        pouring = client.submit(pour, listener.getsockname(), processor)
        arriving, _ = listener.accept()
        buffer = bytearray(1 << 20)
        with arriving:
            received = arriving.recv_into(buffer)
            began = time.perf_counter()
            while more := arriving.recv_into(buffer):
                received += more
            took = time.perf_counter() - began
        pouring.result()
        assert received == BULK
        return took * 1000


def pour(target: tuple[str, int], processor: int) -> None:
    with placed(processor), socket.create_connection(target) as sock:
        piece = bytes(1 << 20)
        for _ in range(BULK // len(piece)):
            sock.sendall(piece)


@contextmanager
def placed(processor: int) -> Iterator[None]:
    """Run the calling thread on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def masquerade(wan: str) -> None:
    """Have the router that this runs in translate all that leaves, by one rule."""
    from patchbay.rules.encode import encode
    from patchbay.rules.model import Chain, Masquerade, Rule, Table, match
    from patchbay.rules.words import ChainType, Family, Field, Hook, Priority
    from patchbay.wiring.connection import NETLINK_NETFILTER, Connection

    rule = Rule((match(Field.OIFNAME, wan),), (Masquerade(),))
    chain = Chain(
        name="leaving",
        type=ChainType.NAT,
        hook=Hook.POSTROUTING,
        priority=Priority.SRCNAT,
        rules=(rule,),
    )
    connection = Connection(NETLINK_NETFILTER)
    connection.transact(encode(Table(family=Family.IP, name="least", chains=(chain,))))
    connection.close()
