"""The codec, without a kernel."""

from __future__ import annotations

import errno
import pickle
import struct

from patchbay.wiring.netlink import (
    NLMSG_DONE,
    NLMSG_ERROR,
    Answer,
    KernelError,
    Message,
    answers,
    attribute,
    attributes,
    nested,
    refusal,
    text,
    u32,
)


def test_attributes_are_padded_and_come_back() -> None:
    for length in range(9):
        value = bytes(range(length))
        data = attribute(5, value) + u32(6, 7)
        assert len(data) % 4 == 0
        assert attributes(data) == {5: value, 6: struct.pack("=I", 7)}


def test_attributes_nest() -> None:
    data = nested(1, text(2, "eth0"), nested(3, u32(4, 5)))
    inner = attributes(attributes(data)[1])
    assert inner[2] == b"eth0\0"
    assert attributes(inner[3]) == {4: struct.pack("=I", 5)}


def test_messages_received_at_once_are_told_apart() -> None:
    first, second = Message(16, 0, b"12345", "a"), Message(20, 4, b"", "b")
    data = first.packed(7, 0) + second.packed(8, 0x300)
    assert list(answers(data)) == [Answer(16, 1, 7, b"12345"), Answer(20, 0x305, 8, b"")]


def test_a_refusal_says_the_kernels_words() -> None:
    header = bytes(16)
    words = text(1, "Nexthop has invalid gateway")
    body = struct.pack("=i", -errno.ENETUNREACH) + header + words
    error = refusal(Answer(NLMSG_ERROR, 0x300, 1, body), "RTM_NEWROUTE")
    assert error is not None
    assert (error.errno, error.words) == (errno.ENETUNREACH, "Nexthop has invalid gateway")
    done = struct.pack("=i", -errno.EINVAL) + words
    error = refusal(Answer(NLMSG_DONE, 0x200, 1, done), "RTM_GETROUTE")
    assert error is not None
    assert error.words == "Nexthop has invalid gateway"
    assert refusal(Answer(NLMSG_ERROR, 0, 1, bytes(20)), "RTM_NEWROUTE") is None


def test_a_refusal_with_the_whole_request_in_it_is_understood() -> None:
    request = Message(24, 0, b"body", "").packed(1, 0)
    body = struct.pack("=i", -errno.EEXIST) + request + text(1, "it is there")
    error = refusal(Answer(NLMSG_ERROR, 0x200, 1, body), "RTM_NEWROUTE")
    assert error is not None
    assert error.words == "it is there"


def test_an_error_travels() -> None:
    error = KernelError(errno.EPERM, "no", "RTM_NEWLINK")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.errno) == (str(error), errno.EPERM)
    assert str(error) == ('RTM_NEWLINK: Operation not permitted (EPERM): the kernel says "no"')
    assert isinstance(again, OSError)
