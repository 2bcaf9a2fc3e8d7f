"""Labs with something wrong, or with more to ask, for the tests of the supervisor."""

import os
import time

from actors.bare import Bare
from actors.supervisor import NodeSpec


class Odd(Bare):
    """A bare lab that a test can ask for more; the launcher finds it by its name."""

    def __init__(self, supervisor, options):
        if "error" in options:
            raise ValueError(options["error"])
        if "nap" in options:
            time.sleep(options["nap"])
        super().__init__(supervisor, options)
        self._supervisor = supervisor

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

    def on_echo(self, value):
        """Return what was sent."""
        return value

    def on_nap(self, seconds):
        """Take time."""
        time.sleep(seconds)
        return "rested"

    def on_descriptors(self):
        """What the supervisor has open."""
        return [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")[:-1]]

    def on_exit(self, status):
        """End, as if by a mistake."""
        os._exit(status)
