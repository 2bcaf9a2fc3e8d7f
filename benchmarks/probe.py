"""A sender and a receiver of datagrams for any network of namespaces; the standard library alone.

python probe.py receive PORT COUNT
python probe.py send HOST PORT COUNT GAP SIZE

The receiver prints a line when it listens, and one JSON object when COUNT have come or no more do:
how many, their one-way delays in milliseconds (p50, p99), and payload in kbit/s from one tenth of
them on.
"""

import json
import socket
import struct
import sys
import time

HEAD = struct.Struct("!IQ")
TIME = struct.Struct("=qq")
SO_TIMESTAMPNS = 35
QUIET = 2.0


def receive(port: int, count: int) -> None:
    arrived = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        sock.bind(("", port))
        print("ready", flush=True)
        sock.settimeout(30)
        while len(arrived) < count:
            try:
                data, ancillary, _, _ = sock.recvmsg(2048, 64)
            except TimeoutError:
                break
            sock.settimeout(QUIET)
            seconds, nanoseconds = TIME.unpack(ancillary[0][2])
            _, sent = HEAD.unpack_from(data)
            arrived.append((seconds * 1_000_000_000 + nanoseconds, sent, len(data)))
    delays = sorted((moment - sent) / 1e6 for moment, sent, _ in arrived)
    begin = len(arrived) // 10
    seconds = (arrived[-1][0] - arrived[begin][0]) / 1e9
    size = sum(size for _, _, size in arrived[begin + 1 :])
    told = {
        "received": len(arrived),
        "p50": delays[len(delays) // 2],
        "p99": delays[round((len(delays) - 1) * 0.99)],
        "kbit": size * 8 / 1000 / seconds,
    }
    print(json.dumps(told))


def send(host: str, port: int, count: int, gap: float, size: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, port))
        begin = time.monotonic()
        for number in range(count):
            early = begin + number * gap - time.monotonic()
            if early > 0:
                time.sleep(early)
            sock.send(HEAD.pack(number, time.time_ns()) + bytes(size - HEAD.size))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["receive", port, count]:
            receive(int(port), int(count))
        case ["send", host, port, count, gap, size]:
            send(host, int(port), int(count), float(gap), int(size))
        case _:
            sys.exit(__doc__)
