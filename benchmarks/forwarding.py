"""What NAT and a firewall cost what goes through a router, beside the least that the kernel takes.

The floor of them is one rule, `masquerade`: connection tracking and translation, and nothing more.

All is sent through one router of a lab, which is changed between transfers, in several labs: how
much NAT costs differs by a hundredth from one to the next, by where in memory things happen to lie.

Both ends run on the same processor, or each on one of its own, and it matters which. On one, the
time is the work that is done. On two, it is that of the busier one and of what they wait for each
other: data passes the router on the one, acknowledgements on the other, and both write to what the
kernel tracks of their connection.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from benchmarks.report import Row
from patchbay import Device, Lab, Router
from patchbay.rules.encode import replacement
from patchbay.rules.model import Chain, Masquerade, Rule, Table, match
from patchbay.rules.words import ChainType, Family, Field, Hook, Priority
from patchbay.wiring.connection import NETLINK_NETFILTER, Connection

BULK = 256 << 20
"""Bytes of a transfer."""
LABS = 3


@contextmanager
def plain(router: Router) -> Iterator[None]:
    yield


@contextmanager
def masquerading(router: Router) -> Iterator[None]:
    """Translate all that leaves, by one rule."""
    wan = router.default_iface
    assert wan is not None
    least = masquerade(wan.name)
    router.call(replace_tables, (), (least,))
    yield
    router.call(replace_tables, (least,), ())


@contextmanager
def translating(router: Router) -> Iterator[None]:
    router.set_nat("home")
    yield
    router.set_nat("none")


@contextmanager
def blocking(router: Router) -> Iterator[None]:
    router.set_firewall("block_inbound")
    yield
    router.set_firewall("none")


@contextmanager
def both(router: Router) -> Iterator[None]:
    with translating(router), blocking(router):
        yield


Kind = Callable[[Router], AbstractContextManager[None]]
"""Makes a router something for a while."""
KINDS: dict[str, Kind] = {
    "one masquerade rule": masquerading,
    "NAT": translating,
    "firewall": blocking,
    "NAT and firewall": both,
}
"""What is compared to a plain one."""


def run() -> list[Row]:
    one, *others = sorted(os.sched_getaffinity(0))
    rows = compared((one, one), "on one processor", rounds=11, limit=1.05)
    if others:
        rows += compared((one, others[0]), "on two", rounds=4)
    return rows


def compared(
    processors: tuple[int, int], where: str, *, rounds: int, limit: float | None = None
) -> list[Row]:
    """The rows of all kinds of routers with the ends of a transfer on these processors.

    Args:
        processors: the client's, and the server's.
        where: the same in words.
        rounds: how many transfers of each are measured in each lab.
        limit: of the time through NAT, as a multiple of a plain router's.
    """
    samples: dict[str, list[float]] = {"plain": [], **{kind: [] for kind in KINDS}}
    for _ in range(LABS):
        for kind, some in transfers(processors, rounds).items():
            samples[kind] += some
    times = {kind: lower_quartile(each) for kind, each in samples.items()}
    least = times.pop("plain")
    return [
        Row(
            f"256 MB by TCP {where}: {kind}, against plain forwarding",
            each,
            "ms",
            least,
            limit if kind == "NAT" else None,
            True,
        )
        for kind, each in times.items()
    ]


def lower_quartile(samples: list[float]) -> float:
    """What it takes when little else runs, which only ever adds to it."""
    return sorted(samples)[len(samples) // 4]


def transfers(processors: tuple[int, int], rounds: int) -> dict[str, list[float]]:
    """The milliseconds of transfers in turn, every other round the other way round."""
    sending, receiving = processors
    order: list[tuple[str, Kind]] = [("plain", plain), *KINDS.items()]
    times: dict[str, list[float]] = {name: [] for name, _ in order}
    with Lab("forwarding") as lab, placed(receiving):
        with lab.batch():
            server = lab.add_device("server", lab.add_router("dc"))
            router = lab.add_router("router")
            client = lab.add_device("client", router)
        for number in range(1 + rounds):
            for name, kind in order:
                with kind(router):
                    took = transfer(client, server, sending)
                if number:  # what comes first warms up
                    times[name].append(took)
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


def masquerade(wan: str) -> Table:
    """The least with which all that leaves by an interface is translated."""
    rule = Rule((match(Field.OIFNAME, wan),), (Masquerade(),))
    chain = Chain(
        name="leaving",
        type=ChainType.NAT,
        hook=Hook.POSTROUTING,
        priority=Priority.SRCNAT,
        rules=(rule,),
    )
    return Table(family=Family.IP, name="least", chains=(chain,))


def replace_tables(old: tuple[Table, ...], new: tuple[Table, ...]) -> None:
    """Put tables in place of others, in the namespace that this runs in."""
    connection = Connection(NETLINK_NETFILTER)
    connection.transact(replacement(old, new))
    connection.close()
