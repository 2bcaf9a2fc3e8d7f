"""An HTTP client that knows nothing of labs, in this very process, on the laptop's network.

python examples/http_client_in_this_process.py

Here it is urllib; httpx, asyncio and other pure-Python clients do as well.
"""

import http.server
import socket
import threading
import urllib.request

from patchbay import Lab


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hello {self.client_address[0]}".encode())


def start_web_server() -> int:
    server = http.server.ThreadingHTTPServer(("", 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def main() -> None:
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # not by a proxy
    with Lab("http") as lab:
        server = lab.add_device("server", lab.add_router("dc", preset="public"))
        laptop = lab.add_device("laptop", lab.add_router("home", preset="home"))
        port = server.call(start_web_server)

        with laptop.network():
            answer = browser.open(f"http://server:{port}/", timeout=30).read().decode()
            print("in the block:   ", socket.gethostname() + ",", answer)
        print("after the block:", socket.gethostname())

        for line in server.output():  # whatever is printed on a node is kept
            print("the server's log:", line.text)


if __name__ == "__main__":
    main()
