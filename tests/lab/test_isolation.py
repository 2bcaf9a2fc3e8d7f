"""Labs side by side, in threads, one after the other: none sees another, nothing piles up."""

import os
import socket
import threading
import time

from support import exchange, home_and_server, reaches

from patchbay import Lab


def test_two_labs_with_the_same_addresses_do_not_see_each_other():
    with Lab("one") as one, Lab("two") as two:
        _, _, server, laptop = home_and_server(one)
        _, _, server2, laptop2 = home_and_server(two)
        assert (server.ip, laptop.ip) == (server2.ip, laptop2.ip)

        with server.reflector("tcp", 8000), laptop.socket() as sock, laptop2.socket() as sock2:
            sock.connect((str(server.ip), 8000))
            assert sock2.connect_ex((str(server2.ip), 8000)) == 111
        two.remove(server2)
        assert reaches(laptop, server)
        assert not laptop2.ping(server.ip, timeout=0.15)


def test_closing_one_lab_leaves_the_other():
    with Lab("one") as one:
        _, _, server, laptop = home_and_server(one)
        with Lab("two") as two:
            home_and_server(two)
        assert exchange(laptop, server)


def test_the_process_stays_in_its_own_network(lab):
    before = os.readlink("/proc/self/ns/net"), sorted(socket.if_nameindex())
    home_and_server(lab)

    assert (os.readlink("/proc/self/ns/net"), sorted(socket.if_nameindex())) == before


def test_labs_in_threads():
    found, errors = [], []

    def work():
        try:
            with Lab() as lab:
                _, home, server, laptop = home_and_server(lab)
                found.append(exchange(laptop, server) == str(home.uplink_ip))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)

    assert errors == []
    assert found == [True] * 4


def test_one_lab_is_used_from_many_threads(lab):
    _, home, server, laptop = home_and_server(lab)
    results = []

    def work(number):
        device = lab.add_device(f"d{number}", home)
        results.append(bool(device.ping(server, timeout=30)) and laptop.call(len, "abc") == 3)
        lab.remove(device)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)

    assert results == [True] * 8
    assert [device.name for device in lab.devices] == ["server", "laptop"]


def test_twenty_labs_one_after_the_other_leave_nothing():
    def held():
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    counts = []
    for _ in range(20):
        with Lab() as lab:
            _, _, server, laptop = home_and_server(lab)
            assert laptop.ping(server, timeout=30)
        counts.append(held())
    most = [max(each) for each in zip(*counts[:10], strict=True)]
    deadline = time.monotonic() + 60  # a thread that has ended is in the list for a moment
    while any(now > before for now, before in zip(held(), most, strict=True)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
