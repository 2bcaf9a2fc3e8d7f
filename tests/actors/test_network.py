"""`network()`: what opens sockets in this thread or task uses a node's, and only there."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import http.server
import os
import socket
import threading
import urllib.request
from asyncio.base_events import BaseEventLoop
from collections.abc import Iterator

import httpx
import pytest

from actors.errors import NodeDied
from actors.lookups import NAMES
from actors.node import Node
from actors.virtual import NodeSocket
from tests.actors.clients import PATIENCE

PORT = 8_017


def lo_up() -> None:
    """Bring the loopback interface of this network up."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))


def serve_http(name: str) -> None:
    """Answer every request with a name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


@pytest.fixture
def nodes(a: Node, b: Node) -> tuple[Node, Node]:
    """Two nodes, each with a web server on the same address that answers with the node's name."""
    for node in (a, b):
        node.call(lo_up)
        node.call(serve_http, node.name)
    return a, b


def hooks() -> list[object]:
    return [
        socket.socket.__init__,
        *(getattr(socket, name) for name in NAMES),
        BaseEventLoop.getaddrinfo,
        BaseEventLoop.getnameinfo,
    ]


@pytest.fixture(autouse=True)
def hooks_are_gone() -> Iterator[None]:
    before = hooks()
    yield
    assert hooks() == before


def who(port: int = PORT) -> str:
    """Ask the server at the loopback address, which is another one on each node."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


# --- what works in it ----------------------------------------------------------------------------


def test_http_client(nodes: tuple[Node, Node]) -> None:
    for node in nodes:
        with node.network():
            assert who() == node.name


def test_urllib(nodes: tuple[Node, Node]) -> None:
    with nodes[1].network(), urllib.request.urlopen(f"http://localhost:{PORT}/") as answer:
        assert answer.read() == b"b"


def test_httpx(nodes: tuple[Node, Node]) -> None:
    for node in nodes:
        with node.network(), httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            for name in ("127.0.0.1", "localhost"):
                assert client.get(f"http://{name}:{PORT}/").text == node.name


def test_httpx_async(nodes: tuple[Node, Node]) -> None:
    async def ask(node: Node, name: str) -> str:
        with node.network():
            async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
                return (await client.get(f"http://{name}:{PORT}/")).text

    async def main() -> list[str]:
        return await asyncio.gather(
            *(ask(node, name) for node in nodes for name in ("127.0.0.1", "localhost"))
        )

    assert asyncio.run(main()) == ["a", "a", "b", "b"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_asyncio_streams(nodes: tuple[Node, Node], host: str) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()

    async def main() -> bytes:
        with nodes[0].network():
            async with await asyncio.start_server(echo, host, 9000):
                reader, writer = await asyncio.open_connection(host, 9000)
                writer.write(b"hello\n")
                answer = await reader.read()
                writer.close()
                await writer.wait_closed()
                return answer

    assert asyncio.run(main()) == b"HELLO\n"


def test_asyncio_datagrams(nodes: tuple[Node, Node]) -> None:
    class Protocol(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def datagram_received(self, data: bytes, _: object) -> None:
            self.received.set_result(data)

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        with nodes[0].network():
            server, protocol = await loop.create_datagram_endpoint(
                Protocol, local_addr=("localhost", 9000)
            )
            client, _ = await loop.create_datagram_endpoint(
                Protocol, remote_addr=("localhost", 9000)
            )
            client.sendto(b"datagram")
            try:
                return await protocol.received
            finally:
                server.close()
                client.close()

    assert asyncio.run(main()) == b"datagram"


def test_create_server_and_create_connection(nodes: tuple[Node, Node]) -> None:
    with nodes[0].network():
        server = socket.create_server(("localhost", 9001))
        client = socket.create_connection(("localhost", 9001), timeout=PATIENCE)
    with server, client:
        accepted, address = server.accept()
        accepted.close()
        assert address == client.getsockname()
        assert isinstance(server, NodeSocket)


def test_names_and_interfaces_are_the_nodes(nodes: tuple[Node, Node]) -> None:
    outside = socket.gethostname()
    with nodes[0].network():
        assert socket.gethostname() == "a"
        assert [name for _, name in socket.if_nameindex()] == ["lo"]
        assert socket.if_indextoname(socket.if_nametoindex("lo")) == "lo"
        assert socket.gethostbyname("localhost") == "127.0.0.1"
        assert socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4] == (
            "127.0.0.1",
            80,
        )
        assert socket.getnameinfo(("127.0.0.1", 9), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("no-such-name.invalid", 1)
    assert socket.gethostname() == outside


def test_sockets_of_no_network_are_left_alone(nodes: tuple[Node, Node]) -> None:
    with nodes[0].network():
        one, two = socket.socketpair()
        with one, two:
            assert type(one) is socket.socket
        with socket.socket(socket.AF_UNIX) as local:
            assert type(local) is socket.socket
        with socket.socket() as made, socket.socket(fileno=made.detach()) as again:
            assert type(again) is socket.socket


def test_subclasses_of_socket(nodes: tuple[Node, Node]) -> None:
    class Mine(socket.socket):
        pass

    with nodes[0].network(), Mine() as sock:
        sock.connect(("127.0.0.1", PORT))
        assert type(sock) is Mine


# --- where it holds ------------------------------------------------------------------------------


def test_only_in_this_thread(nodes: tuple[Node, Node]) -> None:
    kinds: list[type] = []

    def make() -> None:
        with socket.socket() as sock:
            kinds.append(type(sock))

    with nodes[0].network():
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        make()
    make()

    assert kinds == [socket.socket, NodeSocket, socket.socket]


def test_socket_keeps_its_network_after_the_context(nodes: tuple[Node, Node]) -> None:
    with nodes[0].network():
        sock = socket.socket()
    with nodes[1].network(), sock:
        sock.connect(("localhost", PORT))
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with sock.makefile("rb") as file:
            assert file.read().endswith(b"a")


def test_nested(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    with a.network() as network:
        with b.network():
            with a.network():
                assert who() == "a"
            with network:
                assert who() == "a"
            assert who() == "b"
        assert who() == "a"
    with pytest.raises(OSError, match="refused"):
        who()


def test_concurrently_in_threads(nodes: tuple[Node, Node]) -> None:
    def work(i: int) -> set[str]:
        with nodes[i % 2].network():
            return {who() for _ in range(10)}

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [{"a"}, {"b"}] * 4


def test_concurrently_in_tasks_and_only_there(nodes: tuple[Node, Node]) -> None:
    async def ask() -> str:
        reader, writer = await asyncio.open_connection("localhost", PORT)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.decode()[-1]

    async def inside(node: Node) -> set[str]:
        with node.network():
            found = set()
            for _ in range(10):
                found.add(await ask())
                found.add(await asyncio.create_task(ask()))
            return found

    async def outside() -> type[BaseException]:
        try:
            await ask()
        except OSError:  # one for each address that the name has here
            return OSError
        raise AssertionError

    async def main() -> list[object]:
        return await asyncio.gather(*map(inside, nodes), outside(), *map(inside, nodes))

    assert asyncio.run(main()) == [{"a"}, {"b"}, OSError, {"a"}, {"b"}]


def test_exceptions_inside(nodes: tuple[Node, Node]) -> None:
    with pytest.raises(RuntimeError), nodes[0].network():
        raise RuntimeError
    nodes[0].submit(os._exit, 1).exception(60)
    with pytest.raises(NodeDied), nodes[0].network():
        socket.socket()
    with pytest.raises(OSError, match="refused"):
        who()


def test_hook_of_somebody_else_is_left_alone(nodes: tuple[Node, Node]) -> None:
    original = socket.getaddrinfo
    with nodes[0].network():
        ours = socket.getaddrinfo

        def theirs(*arguments: object, **keywords: object) -> object:
            return ours(*arguments, **keywords)  # type: ignore[arg-type]

        socket.getaddrinfo = theirs  # type: ignore[assignment]
    try:
        assert socket.getaddrinfo is theirs
        assert socket.getaddrinfo("127.0.0.1", 5)
    finally:
        socket.getaddrinfo = original
