"""The door of an actor: a unix socket by its side, for all that comes or goes with descriptors.

A client opens a connection and asks for sockets, as many as it likes; or for one program, and
then the connection stays the program's own: how it ended is said there.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
from collections.abc import Callable, Mapping
from typing import Any, cast

from actors.channel import Channel, Closed
from actors.exceptions import pack_exception
from actors.linux import peer_user
from actors.pickling import loads
from actors.programs import start_program
from actors.protocol import Plain


class Door:
    """Serves the connections; all of it in the thread that leads the actor."""

    def __init__(
        self, node: str, path: str, poll: select.poll, environment: Mapping[str, str]
    ) -> None:
        self._node = node
        self._poll = poll
        self._environment = environment
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(128)
        self._handlers: dict[int, Callable[[], None]] = {}
        self._watch(self._listener.fileno(), self._accept)

    def use(self, descriptors: list[int]) -> None:
        """Do what those descriptors ask for that are readable now and are the door's."""
        ready = [(each, self._handlers.get(each)) for each in descriptors]
        for descriptor, handler in ready:
            # one that an earlier handler closed may have been opened again, for something else
            if handler is not None and self._handlers.get(descriptor) is handler:
                handler()

    def _watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        del self._handlers[descriptor]
        self._poll.unregister(descriptor)

    def _accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except OSError:
            self._turn_away()
            return
        if peer_user(stream) != os.getuid():
            stream.close()  # a request can run code: only the lab's own user may make one
            return
        channel = Channel(stream)
        self._watch(channel.fileno(), lambda: self._serve(channel))

    def _turn_away(self) -> None:
        """Close a connection for which user code has left no descriptor."""
        os.close(self._spare)
        with contextlib.suppress(OSError):
            self._listener.accept()[0].close()
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _serve(self, channel: Channel) -> None:
        try:
            for message, descriptors in channel.waiting():
                try:
                    self._answer(channel, message, descriptors)
                finally:
                    for descriptor in descriptors:
                        os.close(descriptor)
        except (Closed, OSError):
            self._forget(channel.fileno())
            channel.close()

    def _answer(self, channel: Channel, message: dict[str, Plain], descriptors: list[int]) -> None:
        try:
            if message["operation"] == "socket":
                family, kind, protocol = cast("list[int]", message["arguments"])
                with socket.socket(family, kind, protocol) as made:
                    channel.send({}, [made.fileno()])
            else:
                options = loads(cast("list[bytes]", message["options"]))
                self._start(channel, cast("dict[str, Any]", options), descriptors)
        except Closed:
            raise
        except Exception as error:
            channel.send({"error": cast("Plain", pack_exception(error, self._node))})

    def _start(self, channel: Channel, options: dict[str, Any], descriptors: list[int]) -> None:
        """Start a program, and give the client a pidfd of it.

        Nobody waits for the program before the client has read who it is: it says so by a
        message, or by closing the connection. Until then a dead program has its process id.
        """
        options["env"] = {**self._environment, **options["env"]}
        program = start_program(options, descriptors)
        try:
            pidfd = os.pidfd_open(program.pid)
            channel.send({"pid": program.pid}, [pidfd])
        except BaseException:
            program.kill()
            program.wait()
            raise
        self._handlers[channel.fileno()] = lambda: self._known(channel, program, pidfd)

    def _known(self, channel: Channel, program: subprocess.Popen[bytes], pidfd: int) -> None:
        self._forget(channel.fileno())
        with contextlib.suppress(Closed):
            channel.receive()
        self._watch(pidfd, lambda: self._ended(channel, program, pidfd))

    def _ended(self, channel: Channel, program: subprocess.Popen[bytes], pidfd: int) -> None:
        status = program.wait()
        self._forget(pidfd)
        os.close(pidfd)
        with contextlib.suppress(Closed):
            channel.send({"status": status})
        channel.close()
