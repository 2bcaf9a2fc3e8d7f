"""What a lab costs in memory and time, with room to spare: the benchmarks hold the exact numbers."""

import os

from actors.connection import Connection
from actors.node import Node

MOST = 6 * 1024
"""KiB of an idle actor."""


def pss(pid):
    """The memory of a process in KiB; what it shares with others counts in part."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1])


def test_an_idle_actor_is_small_before_and_after_its_first_call():
    connection = Connection("t", "actors.bare:Bare", {})
    try:
        connection.request("add", names=[f"n{number}" for number in range(20)])
        node = Node(connection, "n10")
        before = pss(node.pid)
        node.call(os.getpid)
        after = pss(node.pid)
    finally:
        connection.close()

    print(f"idle: {before} KiB, after a call: {after} KiB")
    assert before <= MOST
    assert after <= MOST


def test_an_actor_has_no_descriptors_but_its_own(connection):
    """What the supervisor and other nodes have open is not kept alive by an actor."""
    nodes = [Node(connection, name) for name in "ab"]
    for node in nodes:
        node.call(os.getpid)  # it has started, and has opened what it opens
    one, other = (len(os.listdir(f"/proc/{node.pid}/fd")) for node in nodes)

    assert one == other
    assert one < 24
