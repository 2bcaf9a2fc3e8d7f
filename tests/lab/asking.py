"""Asking a router for ways in, and who answers there: for tests of port mapping and of pinholes."""

from __future__ import annotations

import re
import socket

from tests.waiting import wait_until


def answered(family, kind, target, patience):
    """What is answered to somebody who asks; runs on a node."""
    with socket.socket(family, kind) as sock:
        sock.settimeout(patience)
        sock.connect(target)
        sock.send(b"?\n")
        return sock.recv(100).decode()


def answers(family, target, requests, patience):
    """What is answered to datagrams, one after the other; runs on a node."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(patience)
        sock.connect(target)
        told = []
        for request in requests:
            sock.send(request)
            told.append(sock.recv(2000))
        return told


def run_natpmpc(host, *arguments):
    """What the program natpmpc prints on a host, once it has the answer to what it asked.

    It asks for the router's address first, and again after 250 ms. If the first answer is later
    than that, it takes the second one for the answer to what it asks next.
    """
    command = ["natpmpc", "-g", str(host.iface("eth0").gateway), *arguments]
    done = []

    def has_its_own_answer():
        done[:] = [host.run(command, capture_output=True, text=True, timeout=120)]
        return "protocol UNKNOWN" not in done[0].stdout

    wait_until(has_its_own_answer, "natpmpc gets no answers in time", patience=60)
    assert done[0].returncode == 0, done[0].stdout
    return done[0].stdout


def run_upnpc(host, *arguments):
    """What the program upnpc does on a host, once it has found the router.

    It waits 2 s for a router to be found, and for its pages: a busy machine may take more.
    """
    # -i, as it takes a router whose address is one for benchmarks for one that is offline
    command = ["upnpc", "-i", *arguments]
    done = []

    def has_found():
        done[:] = [host.run(command, capture_output=True, text=True, timeout=60)]
        return not re.search("No IGD|No valid", done[0].stdout + done[0].stderr)

    wait_until(has_found, "upnpc finds no router", patience=60)
    return done[0]
