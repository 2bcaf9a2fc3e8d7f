"""A channel carries messages and descriptors, and leaks none of them whatever happens."""

import os
import resource
import signal
import socket
import threading

import pytest

from actors.channel import Channel, Closed
from actors.linux import MOST_DESCRIPTORS, send_with_descriptors
from actors.protocol import packet


@pytest.fixture
def pair():
    here, there = Channel.pair()
    yield here, there
    here.close()
    there.close()


@pytest.fixture
def files():
    made = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(3)]
    yield made
    for descriptor in made:
        os.close(descriptor)


def open_files():
    return set(os.listdir("/proc/self/fd"))


def test_messages_arrive_in_order_with_their_descriptors(pair, files):
    here, there = pair
    here.send({"number": 1})
    here.send({"number": 2}, files[:2])
    here.send({"number": 3}, files[2:])

    received = [there.receive() for _ in range(3)]

    assert [message["number"] for message, _ in received] == [1, 2, 3]
    assert [len(descriptors) for _, descriptors in received] == [0, 2, 1]
    for _, descriptors in received:
        for descriptor in descriptors:
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)


def test_a_message_may_be_larger_than_any_buffer(pair, files):
    here, there = pair
    large = os.urandom(3_000_000)
    sender = threading.Thread(target=here.send, args=({"large": large}, files[:1]))
    sender.start()

    message, (descriptor,) = there.receive()

    sender.join()
    os.close(descriptor)
    assert message["large"] == large


def test_as_many_descriptors_go_as_the_kernel_carries(pair, files):
    here, there = pair
    here.send({}, files[:1] * MOST_DESCRIPTORS)
    with pytest.raises(ValueError, match=f"at most {MOST_DESCRIPTORS}"):
        here.send({}, files[:1] * (MOST_DESCRIPTORS + 1))

    _, descriptors = there.receive()

    for descriptor in descriptors:
        os.close(descriptor)
    assert len(descriptors) == MOST_DESCRIPTORS


def test_descriptors_of_half_a_message_are_closed_with_the_channel(files):
    before = open_files()
    raw, stream = socket.socketpair()
    channel = Channel(stream)
    with raw:
        send_with_descriptors(raw, [packet({"whole": False}, 2)[:-1]], files[:2])
        assert channel.waiting() == []
        assert len(open_files() - before) == 4

    channel.close()

    assert open_files() == before


def test_descriptors_of_messages_nobody_took_are_closed_with_the_channel(files):
    before = open_files()
    here, there = Channel.pair()
    here.send({"number": 1})
    here.send({"number": 2}, files)
    assert there.receive() == ({"number": 1}, [])

    there.close()
    here.close()

    assert open_files() == before


def test_descriptors_that_got_lost_on_the_way_are_an_error(pair, files):
    here, there = pair
    here.send({}, files)
    before = open_files()
    lowest = os.dup(0)
    os.close(lowest)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, limits[1]))
    try:
        with pytest.raises(OSError, match="limit of open files; raise it with `ulimit -n`"):
            there.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert open_files() == before
    with pytest.raises(Closed, match="in the middle of a message"):
        there.receive()


def test_what_was_sent_before_the_end_is_received(pair):
    here, there = pair
    here.send({"last": "word"})
    here.close()

    assert there.receive() == ({"last": "word"}, [])
    with pytest.raises(Closed):
        there.receive()
    with pytest.raises(Closed):
        there.send({})


def test_the_end_is_seen_although_a_fork_has_the_channel_open(pair):
    here, there = pair
    copy = os.dup(here.fileno())  # as a fork has

    here.end()

    with pytest.raises(Closed):
        there.receive()
    here.end()
    with pytest.raises(Closed, match="this process closed"):
        here.send({})
    os.close(copy)


def test_nothing_is_waiting_where_nothing_came(pair):
    assert pair[0].waiting() == []


def test_an_interrupted_wait_can_be_taken_up_again(pair):
    here, there = pair

    class Interrupt(BaseException):
        pass

    def interrupt(*_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupt):  # noqa: PT012
            # again and again: one that comes just before the wait does not end it
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            there.receive()
    finally:
        signal.signal(signal.SIGALRM, before)
    here.send({"after": "all"})

    assert there.receive() == ({"after": "all"}, [])
