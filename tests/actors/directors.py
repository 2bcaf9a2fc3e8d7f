"""Labs with something wrong, or with more to ask, for the tests of the supervisor."""

import os
import socket
import threading
import time
from contextlib import contextmanager

from actors import supervisor
from actors.bare import Bare
from actors.supervisor import NodeSpec
from tests.actors.clients import PATIENCE

ASLEEP = b"asleep"
"""What a supervisor says that begins a nap."""


@contextmanager
def nap(connection):
    """Have the supervisor of an `Odd` lab do nothing but wait; gives what ends that."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE)
        asking = threading.Thread(target=connection.request_with, args=([theirs.fileno()], "nap"))
        asking.start()
        assert ours.recv(len(ASLEEP)) == ASLEEP
        try:
            yield lambda: ours.send(b".")
        finally:
            ours.close()
            asking.join()


def answer(channel, descriptors):
    """A worker that writes what it has open to the first descriptor, and then answers one."""
    opened = sorted(map(int, os.listdir("/proc/self/fd")[:-1]))
    os.write(descriptors[0], str(opened).encode())
    question = channel.receive()[0]["question"]
    channel.send({"answer": question.upper()})


def fail(channel, descriptors):
    """A worker with a mistake in it."""
    raise ValueError("no work today")


class Odd(Bare):
    """A bare lab that a test can ask for more; the launcher finds it by its name."""

    def __init__(self, own, options):
        if "error" in options:
            raise ValueError(options["error"])
        if "nap" in options:
            time.sleep(options["nap"])
        super().__init__(own, options)
        self._supervisor = own

    def handle(self, method, arguments):
        handler = getattr(self, f"on_{method}", None)
        return handler(**arguments) if handler else super().handle(method, arguments)

    def on_add_with_files(self, name, files):
        """Add a node that sees files of the hidden directory over those of the host."""
        namespace = self._make(name).namespace
        spec = NodeSpec(name=name, hostname=name, namespace=namespace, files=files)
        self._supervisor.start_nodes([spec])
        try:
            self._supervisor.wait_ready([name])
        except BaseException:
            self._supervisor.stop_nodes([name, "never there"])
            os.close(self._namespaces.pop(name))
            raise

    def on_write(self, name, text):
        """Write a file of the hidden directory."""
        with open(self._supervisor.hidden.path(name), "w") as file:
            file.write(text)

    def on_replace(self, node, path, source):
        """Mount another file over one of a node."""
        self._supervisor.replace_file(node, path, source)

    def on_be_gracious(self, seconds):
        """Give what runs when the lab closes as long as a busy machine may need."""
        supervisor.GRACE = seconds

    def on_echo(self, value):
        """Return what was sent."""
        return value

    def on_nap(self):
        """Take time: say so on what came with the request, and wait there to be woken."""
        other = self._supervisor.given[0]
        os.write(other, ASLEEP)
        os.read(other, 1)
        return "rested"

    def on_descriptors(self):
        """What the supervisor has open."""
        return [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")[:-1]]

    def on_start_worker(self, *, fails=False):
        """Start a worker that is given what came with the request."""
        work = fail if fails else answer
        self._worker = self._supervisor.start_worker(
            "pb-worker", work, self._supervisor.given, lambda _: self.died.append("worker")
        )
        return self._worker.pid

    def on_ask_worker(self, question):
        """Have the worker answer."""
        self._worker.channel.send({"question": question})
        return self._worker.channel.receive()[0]["answer"]

    def on_worker_status(self):
        """How the worker ended; None while it lives."""
        return self._worker.status

    def on_exit(self, status):
        """End, as if by a mistake."""
        os._exit(status)
