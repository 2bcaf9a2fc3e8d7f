"""What becomes of a measurement that cannot go on."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from patchbay.meter import ends, udp
from patchbay.meter.throughput import iperf
from tests.waiting import PATIENCE


class Here:
    """This process in place of a node; it cannot send."""

    def __init__(self):
        self.receiving = None

    def address_of(self, _):
        return "127.0.0.1"

    def call(self, function, *arguments):
        if function is udp.send:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        return function(*arguments)

    def submit(self, function, *arguments):
        self.receiving = Receiving(function, *arguments)
        return self.receiving


class Receiving:
    """What goes on in a thread."""

    def __init__(self, function, *arguments):
        self.thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.thread.start()

    def result(self):
        self.thread.join(PATIENCE)


def test_who_waits_for_what_cannot_be_sent_is_told_so():
    here = Here()
    with pytest.raises(OSError, match="unreachable"):
        iperf(
            here,
            here,
            protocol="udp",
            seconds=1,
            rate_kbit=None,
            size=100,
            reverse=False,
            port=0,
            timeout=PATIENCE,
        )
    assert not here.receiving.thread.is_alive()
    assert ends._ends == {}
