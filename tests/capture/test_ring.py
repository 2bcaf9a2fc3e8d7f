"""The ring of an interface, as the kernel leaves it to its reader."""

import os
import struct

import pytest

from patchbay.capture.ring import BLOCK, Ring

SECOND = 1_000_000_000
FIRST = 48
"""Where the first packet of a block lies."""


class Memory:
    """What stands for a packet socket with its memory: a file that a test writes to."""

    def __init__(self):
        self._file = os.memfd_create("ring")
        os.truncate(self._file, 2 * BLOCK)

    def fileno(self):
        return self._file

    def write(self, block, at, *numbers):
        os.pwrite(self._file, struct.pack(f"={len(numbers)}I", *numbers), block * BLOCK + at)

    def hold(self, block, *packets):
        """Put packets into a block that is the kernel's: seconds and nanoseconds of each."""
        self.write(block, 8, 0, len(packets), FIRST)
        for number, (seconds, nanoseconds) in enumerate(packets):
            self.write(block, FIRST + 100 * number, 100, seconds, nanoseconds, 0, 0, 0, 68)

    def hand_over(self, block):
        self.write(block, 8, 1)

    def close(self):
        os.close(self._file)


@pytest.fixture
def memory(nothing_left_behind):
    return Memory()


@pytest.fixture
def ring(memory):
    ring = Ring(memory, 2)
    yield ring
    ring.close()


def test_a_packet_is_seen_before_the_kernel_hands_over_its_block(memory, ring):
    assert ring.waiting_since is None

    memory.hold(0, (7, 5), (8, 0))

    assert list(ring.packets()) == []
    assert ring.waiting_since == 7 * SECOND + 5


def test_what_was_read_waits_no_more(memory, ring):
    memory.hold(0, (7, 5), (8, 0))
    memory.hand_over(0)
    memory.hold(1, (9, 0))

    assert ring.waiting_since == 7 * SECOND + 5
    assert [each.moment for each in ring.packets()] == [7 * SECOND + 5, 8 * SECOND]
    assert ring.waiting_since == 9 * SECOND
    memory.hand_over(1)
    assert len(list(ring.packets())) == 1
    assert ring.waiting_since is None
