"""A worker: a process of a lab that is no node's, forked by the supervisor for one piece of work.

It stays in the supervisor's namespaces, so that what happens to a node does not happen to it, and
has nothing open but what it is given.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias

from actors import linux
from actors.channel import Channel

Work: TypeAlias = Callable[[Channel, list[int]], None]
"""What a worker does: called with its end of the channel, and the descriptors that it was given.

The process ends when it returns. SIGTERM, which says that the lab closes, kills it unless it says
otherwise.
"""

_CHANNEL = 3


class Worker:
    """A worker as its supervisor sees it.

    Attributes:
        name: what it is called in lists of processes.
        finishes: whether it has something to finish when the lab closes.
        pid: its process id; 0 once it has ended.
        channel: the supervisor's end of the channel to it. Whoever sends must not wait for it.
        status: how it ended, negative for a signal; None while it lives.
    """

    def __init__(
        self, name: str, on_end: Callable[[Worker], None], *, finishes: bool = False
    ) -> None:
        self.name = name
        self.finishes = finishes
        self.pid = 0
        self.status: int | None = None
        self.channel, self._theirs = Channel.pair()
        self._on_end = on_end

    def fork(self, work: Work, descriptors: Sequence[int]) -> None:
        """Start the process.

        Raises:
            OSError: this host allows no more processes.
        """
        supervisor = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                _main(self.name, supervisor, self._theirs.fileno(), work, descriptors)
            self.pid = pid
        except BaseException:
            self.channel.close()
            raise
        finally:
            self._theirs.close()

    def bury(self, status: int) -> None:
        """Take note that it has ended, and was waited for."""
        self.pid, self.status = 0, status
        self._on_end(self)
        self.channel.close()


def _main(
    name: str, supervisor: int, channel: int, work: Work, descriptors: Sequence[int]
) -> NoReturn:
    status = 1
    try:
        gc.freeze()  # no collection shall touch, and so copy, the pages shared with the supervisor
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        given = list(range(_CHANNEL + 1, _CHANNEL + 1 + len(descriptors)))
        streams = {number: number for number in range(3)}
        linux.keep_descriptors(
            {**streams, _CHANNEL: channel, **dict(zip(given, descriptors, strict=True))}
        )
        linux.die_with_parent(signal.SIGKILL)
        if os.getppid() == supervisor:
            linux.set_process_name(name)
            work(Channel.of(_CHANNEL), given)
            status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)
