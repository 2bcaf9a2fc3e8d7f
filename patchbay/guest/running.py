"""Running one command in a guest of its own."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Sequence

from patchbay.guest.launch import launch
from patchbay.guest.options import Guest
from patchbay.guest.request import Request
from patchbay.guest.streams import Relay, complete_input, terminals

_INPUT = "input"
"""The file in the initial file system that holds standard input, if it is complete."""

_MOST_FILES = 1 << 20
"""Linux allows no more (fs.nr_open), and refuses a limit above it altogether."""

_OTHERS_MEMORY = 24 << 20
"""Bytes of memory that are not there for it, in half a guest's: it lies in memory twice when the
kernel unpacks that file system."""


def run(guest: Guest, command: Sequence[str]) -> int:
    """Run a command in a guest, with this process's streams, directory, environment and user.

    Signals that this process gets meanwhile go to the command; it has to be called in the main
    thread.

    Args:
        guest: what kind of guest.
        command: a program and its arguments.

    Returns:
        The exit status of the command, as shells say it: 128 and the number for a signal, 127 if
        there is no such program.

    Raises:
        ConfigError: the guest cannot be what is asked.
        HostNotCapable: there is no guest kernel, no QEMU where that is needed, or no room for the
            guest.
        GuestFailed: the guest itself failed.
    """
    _open_streams()
    shown = terminals()
    given = complete_input(guest.memory // 2 - _OTHERS_MEMORY)
    request = _request(guest, command, shown, given)
    with launch(guest, request, {_INPUT: given} if given else None) as machine:
        relay = Relay(machine, terminal=bool(shown), live_input=given is None)
        return exit_status(relay.run())


def _open_streams() -> None:
    """Open those of the standard streams that are closed, lest a pipe of ours get their numbers."""
    for stream in range(3):
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


def _request(
    guest: Guest, command: Sequence[str], terminals: tuple[int, ...], given: bytes | None
) -> Request:
    """What the guest's first process is asked, so that the command feels at home."""
    mask = os.umask(0)
    os.umask(mask)
    return Request(
        command=tuple(command),
        environment=_environment(guest),
        directory=os.getcwd(),
        writable=tuple(str(each.resolve()) for each in guest.writable),
        user=os.getuid(),
        group=os.getgid(),
        groups=tuple(os.getgroups()),
        mask=mask,
        files=_files(),
        hostname=socket.gethostname(),
        terminals=terminals,
        virtual_time=guest.is_virtual,
        input="" if given is None else f"/{_INPUT}" if given else os.devnull,
    )


def _files() -> int:
    """How many files the command may have open: as many as this process, if its kernel allows it."""
    here, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if here == resource.RLIM_INFINITY else min(here, _MOST_FILES)


def _environment(guest: Guest) -> dict[str, str]:
    """This process's variables; in virtual time, Python says where it is when it has to end."""
    said = {} if guest.time == "real" else {"PYTHONFAULTHANDLER": "1"}
    return {**said, **os.environ}


def exit_status(wait_status: int) -> int:
    """The exit status that a shell would say for a wait status."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
