"""Links of others, measured as ours are: netem by the program tc, and Mininet's TCLink.

/usr/bin/python3 benchmarks/rivals.py mininet    prints one JSON object; it needs root and netem
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PROBE = str(Path(__file__).with_name("probe.py"))
PORT = 7000

DELAY = {"count": 500, "gap": 0.002, "size": 200}
LOSS = {"count": 10_000, "gap": 0.0002, "size": 200}
RATE = {"count": 1_500, "gap": 0.001, "size": 1458}
"""What is sent to see a delay of 20 ms, a loss of 1 %, and a rate of 10 Mbit/s."""

Start = Callable[[list[str]], "subprocess.Popen[str]"]
"""Starts a program on a node; its output is a pipe."""


def measure(there: Start, here: Start, python: str, host: str, *, count, gap, size) -> dict:
    """What the receiver tells of datagrams that cross a link."""
    receiver = there([python, PROBE, "receive", str(PORT), str(count)])
    receiver.stdout.readline()
    words = ["send", host, str(PORT), str(count), str(gap), str(size)]
    here([python, PROBE, *words]).communicate()
    return json.loads(receiver.communicate()[0].splitlines()[-1])


def mininet() -> dict:
    """All three over TCLink, in Mininet's own Python."""
    from mininet.link import TCLink
    from mininet.net import Mininet

    found = {}
    for name, option, traffic in (
        ("delay", {"delay": "20ms"}, DELAY),
        ("loss", {"loss": 1}, LOSS),
        ("rate", {"bw": 10}, RATE),
    ):
        net = Mininet(controller=None, link=TCLink)
        a, b = net.addHost("a", ip="10.0.0.1/24"), net.addHost("b", ip="10.0.0.2/24")
        net.addLink(a, b, params1=option)
        net.start()
        try:
            a.cmd("ping -c 1 10.0.0.2")

            def start(host):
                return lambda words: host.popen(words, text=True, stderr=subprocess.DEVNULL)

            found[name] = measure(start(b), start(a), sys.executable, "10.0.0.2", **traffic)
        finally:
            net.stop()
    return found


if __name__ == "__main__":
    print(json.dumps(mininet()))
