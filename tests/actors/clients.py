"""Client processes for the tests of life and death, and all that there is of one."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[2]

MARK = "PATCHBAY_TEST_CLIENT"
"""A variable in the environment of a client, and so of every process that comes of it."""

LAB = """
import os, signal, sys, threading, time
from actors.connection import Connection
from actors.errors import PatchbayError
from actors.node import Node
lab = lambda: Connection("test", "actors.bare:Bare", {})
"""

PATIENCE = 60.0
"""Seconds for what takes a fraction of one on an idle machine."""


class Client:
    """A process that runs some Python code. Use as a context manager: nothing survives it."""

    def __init__(self, code, *flags, python=sys.executable, **options):
        self.mark = uuid.uuid4().hex
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, MARK: self.mark}
        self.process = subprocess.Popen(
            [python, *flags, "-c", LAB + code],
            env={**environment, **options.pop("env", {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in [self.pid, *self.processes()]:
            kill(pid)
        self.process.communicate()

    def processes(self):
        """All living processes that came of it, by process id, with their names."""
        return {
            pid: name
            for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if (name := self._mine(pid)) is not None
        }

    def _mine(self, pid):
        wanted = f"{MARK}={self.mark}".encode()
        try:
            if wanted not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return None
            return Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return None  # it has ended, or is another user's

    def named(self, name):
        """The processes of a name."""
        return [pid for pid, each in self.processes().items() if each == name]

    def says(self, line):
        """Wait for a line that it prints."""
        said = self.process.stdout.readline().rstrip("\n")
        assert said == line, said + self.process.stderr.read()

    def left(self):
        """What is left of it when it had time to end; empty if all is well."""
        return wait_until(lambda: not self.processes()) or self.processes()

    def result(self):
        """Wait for its end: exit status, what it printed, and what is left of it."""
        stdout, stderr = self.process.communicate(timeout=4 * PATIENCE)
        assert self.left() is True, stderr
        return self.process.returncode, stdout.split("\n")[:-1], stderr


def kill(pid):
    """Kill a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until(condition):
    """Whether something comes to hold in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def run(code, *flags, **options):
    """Run a client to its end: (exit status, lines it printed, its errors); nothing is left."""
    with Client(code, *flags, **options) as client:
        return client.result()
