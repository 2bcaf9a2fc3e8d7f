"""The start of an actor: from a fork of the supervisor to a process of one node that serves."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from actors import linux
from actors.serving import Server

STACK_SIGNAL = signal.SIGRTMAX - 1
"""Makes a thread of an actor write where it is to the `.stack` pipe, whatever it is doing."""

_HIDDEN, _READY, _NETWORK = 3, 4, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """What an actor needs to know to start.

    Attributes:
        name: the node's name.
        hostname: what the node takes for its hostname; None to keep the host's.
        namespace: a descriptor of its network namespace; the director keeps it open.
        files: what is mounted over files of the host, by path: names in the hidden directory.
        environment: variables of its process, and of programs that are not given others.
    """

    name: str
    hostname: str | None
    namespace: int
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """What an actor gets from the supervisor that forks it: descriptors, and two facts.

    Attributes:
        parent: the supervisor's process id.
        endpoint: the name of the actor's socket in the hidden directory.
        hidden: the hidden directory.
        ready: a pipe for the one word that it is ready, or why it cannot start.
        stdout: where it prints.
        stderr: where it prints errors.
    """

    parent: int
    endpoint: str
    hidden: int
    ready: int
    stdout: int
    stderr: int


def main(spec: NodeSpec, given: Inheritance) -> NoReturn:
    """Become the actor of a node: enter it and serve."""
    gc.freeze()  # no collection shall touch, and so copy, the pages shared with the supervisor
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    linux.keep_descriptors(
        {
            0: 0,
            1: given.stdout,
            2: given.stderr,
            _HIDDEN: given.hidden,
            _READY: given.ready,
            _NETWORK: spec.namespace,
        }
    )
    path = f"/proc/self/fd/{_HIDDEN}/{given.endpoint}"
    try:
        linux.die_with_parent(signal.SIGKILL)
        if os.getppid() != given.parent:
            os._exit(1)
        linux.set_process_name(spec.name)
        linux.setns(_NETWORK, linux.CLONE_NEWNET)
        os.close(_NETWORK)
        _mount(spec.files)
        if spec.hostname is not None:
            linux.unshare(linux.CLONE_NEWUTS)
            linux.sethostname(spec.hostname)
        _show_stack_on_request(f"{path}.stack")
        os.environ.update(spec.environment)
        server = Server(spec.name, path, spec.environment)
    except BaseException as error:
        os.write(_READY, f"it could not start: {error}\0".encode())
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os.write(_READY, b"\0")
    os.close(_READY)
    server.serve()


def _mount(files: Mapping[str, str]) -> None:
    """Have mounts of its own: its files over those of the host, and its devices in /sys."""
    copies = {
        path: linux.clone_mount(f"/proc/self/fd/{_HIDDEN}/{name}")
        for path, name in files.items()
        if os.path.exists(path)
    }
    linux.unshare(linux.CLONE_NEWNS)
    for path, copy in copies.items():
        linux.attach_mount(copy, path)
        os.close(copy)
    _show_own_devices()


def _show_own_devices() -> None:
    """Have /sys/class/net show the node's interfaces, as /proc/net does by itself."""
    groups = "/sys/fs/cgroup"
    copy = linux.clone_mount(groups) if os.path.isdir(groups) else None
    with contextlib.suppress(OSError):  # in some containers: the host's view stays
        linux.mount("sysfs", "/sys", "sysfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        if copy is not None:
            linux.attach_mount(copy, groups)
    if copy is not None:
        os.close(copy)


def _show_stack_on_request(path: str) -> None:
    pipe = linux.make_pipe(path)
    faulthandler.register(STACK_SIGNAL, file=pipe, all_threads=False)  # others may be running
