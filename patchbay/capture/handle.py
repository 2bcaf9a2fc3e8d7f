"""The handle of a recording, in the client's process."""

from __future__ import annotations

import contextlib
import threading
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from actors.channel import Channel, Closed
from patchbay.capture.output import Destination, Output
from patchbay.capture.selection import Selection
from patchbay.errors import ConfigError, PatchbayError, Problem, nearest
from patchbay.topology.graph import node_names
from patchbay.topology.model import Topology
from patchbay.topology.plain import to_plain
from patchbay.topology.snapshot import interface_snapshots
from patchbay.values.parsing import is_int

if TYPE_CHECKING:
    from patchbay.topology.hosts import IPAddress
    from patchbay.watched import Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedInterface:
    """What was recorded of one interface.

    Attributes:
        node: the node that has it, or had.
        interface: its name.
        direction: where packets were seen as they left its link, or were lost there: `up` for those
            from the node, `down` for those to it; None for the interface itself.
        packets: how many were recorded.
        bytes: how many they had, also where not all of them were kept.
        dropped: how many were lost, as the recording did not keep up.
    """

    node: str
    interface: str
    packets: int
    bytes: int
    dropped: int
    direction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureStats:
    """What was recorded.

    Attributes:
        interfaces: each that is or was recorded.
        error: why the recording ended by itself; None if it did not.
    """

    interfaces: tuple[CapturedInterface, ...]
    error: str | None = None

    @property
    def packets(self) -> int:
        """How many packets were recorded."""
        return sum(each.packets for each in self.interfaces)

    @property
    def bytes(self) -> int:
        """How many bytes they had."""
        return sum(each.bytes for each in self.interfaces)

    @property
    def dropped(self) -> int:
        """How many packets were lost, as the recording did not keep up."""
        return sum(each.dropped for each in self.interfaces)


class Capture:
    """A recording of packets. A context manager that ends it; it ends with the lab at the latest.

    It goes on in a process of its own, whatever happens to the nodes and to this process.
    """

    def __init__(self, channel: Channel, output: Output, name: str) -> None:
        self._channel = channel
        self._output = output
        self._name = name
        self._lock = threading.Lock()
        self._final: CaptureStats | None = None
        self._closed = False
        self._finalizer = weakref.finalize(self, channel.close)

    @classmethod
    def start(
        cls,
        lab: Watched,
        selection: Selection,
        destination: Destination,
        filter_text: str | None,
        snaplen: int | None,
    ) -> Capture:
        """Start one; for the handles of this package."""
        program = _program(lab, filter_text, snaplen)
        output = Output(destination)
        channel, theirs = Channel.pair()
        try:
            lab.request_with(
                [theirs.fileno(), output.descriptor],
                "capture",
                selection=to_plain(selection),
                program=program,
                filter_text=filter_text or "",
                snaplen=snaplen,
            )
        except BaseException:
            channel.close()
            raise
        finally:
            theirs.close()
            output.passed()
        what = selection.node or lab.name
        return cls(
            channel, output, f"{what}/{selection.interface}" if selection.interface else what
        )

    def __repr__(self) -> str:
        state = "goes on" if self._final is None else f"{self._final.packets} packets"
        return f"<Capture of {self._name!r}: {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def stats(self) -> CaptureStats:
        """What was recorded so far; or all in all, once it has ended.

        Raises:
            PatchbayError: its process was killed.
        """
        return self._ask("statistics")

    def close(self) -> CaptureStats:
        """End it, and tell what was recorded. Closing again tells the same.

        What passed before the call is in the recording, which is whole when this returns.

        Raises:
            PatchbayError: it was cut short, as its disk is full for example; but not if the reader
                of a pipe or socket was the one to end it.
        """
        final = self._ask("close")
        if not self._closed:
            self._closed = True
            self._output.finish()
            if final.error is not None and final.error not in _BY_READER:
                raise PatchbayError(f"the capture of {self._name!r} was cut short: {final.error}")
        return final

    def _ask(self, operation: str) -> CaptureStats:
        with self._lock:
            if self._final is not None:
                return self._final
            with contextlib.suppress(Closed):  # it has ended, and has left its last word
                self._channel.send({"operation": operation})
            try:
                while True:
                    answer, _ = self._channel.receive()
                    if "final" in answer:
                        self._finalizer()
                        self._final = _stats(answer["final"])
                        return self._final
                    if operation == "statistics":
                        return _stats(answer["statistics"])
            except Closed:
                self._finalizer()
                self._final = CaptureStats(interfaces=(), error="its process was killed")
        raise PatchbayError(f"the capture of {self._name!r} was cut short: {self._final.error}")


_BY_READER = ("Broken pipe", "Connection reset by peer")


def _stats(told: Any) -> CaptureStats:
    interfaces = tuple(CapturedInterface(**each) for each in told["interfaces"])
    return CaptureStats(interfaces=interfaces, error=told["error"])


def _program(lab: Watched, filter_text: str | None, snaplen: int | None) -> bytes:
    """What the kernel is told to keep.

    Raises:
        ConfigError: what is wrong with the filter, or the snaplen.
    """
    # they are loaded with the first recording: most labs have none
    from patchbay.capture.bpf import compile_filter, packed
    from patchbay.capture.language import parse

    if snaplen is not None and not (is_int(snaplen) and snaplen >= 1):
        raise ConfigError(Problem("snaplen", f"a number of bytes from 1 on, not {snaplen!r}"))
    given: object = filter_text
    if not isinstance(given, str | None):
        raise ConfigError(Problem("filter", f"{given!r} is no text, such as 'tcp port 80'"))
    topology: list[Topology] = []

    def look_up(name: str) -> list[IPAddress]:
        if not topology:
            topology.append(lab.topology())
        return _addresses(topology[0], name)

    wanted = None if filter_text is None else parse(filter_text, look_up)
    return packed(compile_filter(wanted, snaplen))


def _addresses(topology: Topology, name: str) -> list[IPAddress]:
    """Every address of a node."""
    known = node_names(topology)
    if name not in known:
        message = "this is neither an address nor the name of a node"
        raise ConfigError(Problem(f"host {name!r}", message, nearest(name, known)))
    return [
        address.ip
        for interface in interface_snapshots(topology, name)
        for address in (interface.address, interface.address6, *interface.extra)
        if address is not None
    ]
