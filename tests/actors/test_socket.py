"""`socket()`: a socket of a node, in this process."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading

import pytest

from actors.errors import NodeDied
from actors.node import Node


def lo_up() -> None:
    """Bring the loopback interface of this network up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))


@pytest.fixture
def up(a: Node, b: Node) -> Node:
    """The node `a`; `lo` is up there and on `b`."""
    a.call(lo_up)
    b.call(lo_up)
    return a


def echo_once(port: int, family: int = socket.AF_INET) -> None:
    with socket.create_server(("", port), family=family) as server:
        stream, _ = server.accept()
        with stream:
            stream.sendall(stream.recv(1000).upper())


def test_connect_bind_and_listen_are_the_nodes(up: Node, b: Node) -> None:
    """The same address and port are free on every node, and on this machine."""
    with up.socket() as here, b.socket() as there, socket.socket() as outside:
        outside.bind(("127.0.0.1", 0))
        for sock in (here, there):
            sock.bind(outside.getsockname())
        for sock in (here, there, outside):
            sock.listen()
        with up.socket() as client:
            client.connect(outside.getsockname())
            client.sendall(b"hello")
            server, address = here.accept()
            with server:
                assert server.recv(5) == b"hello"
                assert address == client.getsockname()


def test_node_sees_the_socket_as_its_own(up: Node) -> None:
    with up.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        task = up.submit(lambda: socket.create_connection(("127.0.0.1", port)).close())
        server.accept()[0].close()
        task.result(60)


def test_options_and_privileged_ports_work_from_outside(up: Node) -> None:
    with up.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_IP, socket.IP_TTL, 7)
        sock.bind(("127.0.0.1", 53))

        assert sock.getsockopt(socket.SOL_IP, socket.IP_TTL) == 7
        assert sock.getsockname() == ("127.0.0.1", 53)


def test_kinds_of_sockets(up: Node) -> None:
    for family, kind, protocol in (
        (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP),
        (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
        (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP),
        (socket.AF_PACKET, socket.SOCK_RAW, 0),
        (socket.AF_NETLINK, socket.SOCK_RAW, 0),
        (socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0),
    ):
        try:
            with up.socket(family, kind, protocol) as sock:
                assert sock.family == family
                assert sock.proto == protocol
                assert sock.getblocking() is not bool(kind & socket.SOCK_NONBLOCK)
                assert not sock.get_inheritable()
        except PermissionError:
            assert protocol == socket.IPPROTO_ICMP  # the node's ping_group_range


def test_errors_are_those_of_the_kernel(up: Node) -> None:
    with pytest.raises(OSError, match="type not supported"):
        up.socket(socket.AF_INET, socket.SOCK_RDM)
    with up.socket() as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(("127.0.0.1", 1))
    with up.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", 1)) != 0
    with up.socket() as sock, pytest.raises(socket.gaierror) as caught:
        sock.connect(("no-such-name.invalid", 1))
    assert "on node 'a'" in caught.value.__notes__


def test_names_are_looked_up_on_the_node(up: Node) -> None:
    def only_here() -> None:
        found = socket.getaddrinfo
        socket.getaddrinfo = lambda host, *rest: found(  # type: ignore[assignment]
            "127.0.0.1" if host == "only-here" else host, *rest
        )

    up.call(only_here)
    for name in ("localhost", "only-here", b"only-here"):
        with up.socket() as server, up.socket() as client:
            server.bind((name, 0))
            server.listen()
            client.connect((name, server.getsockname()[1]))
            server.accept()[0].close()
    with up.socket(type=socket.SOCK_DGRAM) as one, up.socket(type=socket.SOCK_DGRAM) as two:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
        two.sendto(b"1", ("only-here", port))
        two.sendto(b"2", 0, ("only-here", port))
        two.sendmsg([b"3"], [], 0, ("only-here", port))
        assert [one.recv(1) for _ in range(3)] == [b"1", b"2", b"3"]


def test_ipv6_scopes_are_those_of_the_node(up: Node) -> None:
    def add_address() -> int:
        index = socket.if_nametoindex("lo")
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            address = socket.inet_pton(socket.AF_INET6, "fe80::1")
            fcntl.ioctl(sock, 0x8916, struct.pack("16sIi", address, 64, index))
        return index

    index = up.call(add_address)
    with up.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        for address in (
            ("fe80::1%lo", 9),
            ("fe80::1", 9, 0, index),
            ("fe80::1%lo", 9, 0, index),
            ("fe80::1%lo", 9, 0),
        ):
            sock.connect(address)
            assert sock.getpeername() == ("fe80::1", 9, 0, index)


def test_sockets_are_usual_sockets(up: Node) -> None:
    """They are copied, detached, made into files, and used by several threads."""
    task = up.submit(echo_once, 7000)
    with up.socket() as client:
        client.settimeout(60)
        while client.connect_ex(("127.0.0.1", 7000)):
            pass
        copy = client.dup()
        thread = threading.Thread(target=copy.sendall, args=[b"shout"])
        thread.start()
        with client.makefile("rb") as file:
            assert file.read() == b"SHOUT"
        thread.join()
        copy.close()
    task.result(60)
    detached = up.socket().detach()
    with socket.socket(fileno=detached) as sock:
        assert sock.family == socket.AF_INET


def test_default_timeout_holds(up: Node) -> None:
    socket.setdefaulttimeout(0.01)
    try:
        with up.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            with pytest.raises(TimeoutError):
                server.accept()
    finally:
        socket.setdefaulttimeout(None)


def test_socket_outlives_its_node_and_its_node_outlives_it(up: Node, b: Node) -> None:
    sock = up.socket()
    with pytest.raises(NodeDied):
        up.call(os._exit, 1)
    with pytest.raises(NodeDied):
        up.socket()
    sock.bind(("127.0.0.1", 0))
    sock.close()
    up.restart()
    up.socket().close()


def test_sockets_from_many_threads(up: Node) -> None:
    made: list[socket.socket] = []
    threads = [
        threading.Thread(target=lambda: made.extend(up.socket() for _ in range(20)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sock in made:
        sock.bind(("127.0.0.1", 0))

    assert len({sock.getsockname() for sock in made}) == 160
    for sock in made:
        sock.close()


def test_node_without_free_descriptors_says_so_and_lives(up: Node) -> None:
    def exhaust() -> list[int]:
        held = []
        try:
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return held

    def limit(number: int) -> None:
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, most))

    up.call(limit, 100)
    held = up.call(exhaust)
    with pytest.raises(Exception, match="open files"):
        up.socket()
    up.call(lambda: [os.close(each) for each in held] and None)
    up.socket().close()
