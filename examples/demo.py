"""The main job in one go: build a network, run code on its nodes, change it under way.

    python examples/demo.py

Needs no root and no other program. Every node is a Linux network stack of its own, and a process.
"""

import asyncio
import http.client
import http.server
import os
import socket
import sys
import textwrap
import threading
import time

from patchbay import Lab

# --- what runs on the nodes: ordinary functions, which know nothing of labs


class WhoAmI(http.server.BaseHTTPRequestHandler):
    """Tells each client the address it is seen with."""

    def do_GET(self) -> None:
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a server prints a line for each request otherwise."""


def start_web_server() -> int:
    """Serve in a thread; connections are taken from the moment the port is returned."""
    server = http.server.ThreadingHTTPServer(("", 0), WhoAmI)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def fetch(host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.request("GET", "/")
    return connection.getresponse().read().decode()


async def start_echo_server() -> int:
    """Serve on the node's event loop, which goes on when this coroutine has returned."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen, _ = writer.get_extra_info("peername")
        writer.write(f"{seen}\n".encode())
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)
    return server.sockets[0].getsockname()[1]


async def ask_echo(host: str, port: int, text: str) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    await reader.readline()
    writer.write(f"{text}\n".encode())
    answer = await reader.readline()
    writer.close()
    return answer.decode().strip()


def read_settings(path: str) -> str:
    with open(path) as file:
        return file.read()


# --- the story


def main() -> None:
    story = Story()
    with Lab("demo") as lab:
        dc = lab.add_router("dc", preset="public")
        home = lab.add_router("home", preset="home")
        carrier = lab.add_router("carrier", nat="home")
        server = lab.add_device("server", dc)
        laptop = lab.add_device("laptop", home)
        phone = lab.add_device("phone", ifaces={"wlan0": home, "cell0": carrier})
        print(f"\n{lab}\n")
        nodes = [lab.ix, *lab.routers, *lab.devices]
        story.tell("build all this", f"{len(nodes)} network stacks, each with a process")

        web = server.call(start_web_server)
        seen = laptop.call(fetch, "server", web)
        story.tell("HTTP through NAT", f"the laptop is {laptop.ip}, the server saw {seen}")

        echo = server.spawn(start_echo_server).result()
        answer = laptop.spawn(ask_echo("server", echo, "hello")).result(timeout=30)
        story.tell("an async echo", f"{answer!r}, from event loop to event loop")

        program = "import socket; print(socket.gethostname())"
        hostname = laptop.run([sys.executable, "-c", program]).stdout.strip()
        story.tell("a subprocess", f"its host is called {hostname!r}")

        with laptop.socket() as sock:
            sock.connect(("server", echo))
            seen = sock.makefile().readline().strip()
        story.tell("a socket in this process", f"connected from the laptop: seen as {seen}")

        with phone.network():  # what this block opens, it opens on the phone
            with socket.create_connection(("server", echo)) as over_wifi:
                lines = over_wifi.makefile("rw")
                story.tell("the phone, over Wi-Fi", f"seen as {lines.readline().strip()}")
                phone.set_default_route("cell0")
                lines.write("still here\n")
                lines.flush()
                answer = lines.readline().strip()
                story.tell("  handed to the carrier", f"the open connection says {answer!r}")
            with socket.create_connection(("server", echo)) as over_cellular:
                seen = over_cellular.makefile().readline().strip()
        story.tell("  a new connection", f"seen as {seen}")

        try:
            laptop.call(read_settings, "/etc/laptop.toml")
        except FileNotFoundError as error:
            story.tell("an error on the laptop", "is raised here, and brings its traceback:")
            print(f"\n{remote_traceback(error)}\n")
    story.tell("close it", "no process, interface or file is left")
    print(f"\n{'in all':{LABEL}}{'':{TEXT}}{story.seconds():6.2f} s")


def remote_traceback(error: BaseException) -> str:
    """What Python would have printed on the node, where the error was raised."""
    text = str(error.__cause__).strip('\n"').replace(f"{os.getcwd()}/", "")
    return textwrap.indent("\n".join([text, *error.__notes__]), "    ")


LABEL, TEXT = 27, 53


class Story:
    """Prints a line for each thing done, with the time it took."""

    def __init__(self) -> None:
        self._begin = self._last = time.perf_counter()

    def tell(self, what: str, result: str) -> None:
        now = time.perf_counter()
        print(f"{what:{LABEL}}{result:{TEXT}}{1000 * (now - self._last):5.0f} ms", flush=True)
        self._last = now

    def seconds(self) -> float:
        return time.perf_counter() - self._begin


if __name__ == "__main__":
    main()
