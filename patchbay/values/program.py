"""A function that decides what becomes of packets, as a value that travels."""

from __future__ import annotations

import inspect
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from patchbay.errors import ConfigError, Problems
from patchbay.values.parsing import MS_MAX, check_number

if TYPE_CHECKING:
    from patchbay.links.programs.packet import Packet

PacketFunction: TypeAlias = "Callable[[Packet], None]"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class PacketProgram:
    """A function that is called with each packet of a link, and says what becomes of it.

    The function travels by value, as those of `call` do, with what it refers to at the time when
    this is made; what it changes there, only it sees. Each direction of each link has a copy of
    its own, in a process of its own.

    Attributes:
        name: the function's name.
        code: the function, as text that another process can make it from.
        limit_ms: milliseconds of processor time that it may take for one packet. A program that
            takes more is stopped, and packets pass. So is one that has no answer after ten times
            as much time on the clock.
    """

    name: str
    code: str
    limit_ms: float

    def __init__(
        self,
        function: PacketFunction | None = None,
        *,
        limit_ms: float = 1000.0,
        name: str = "",
        code: str = "",
    ) -> None:
        """Take a function along.

        Args:
            function: called with each `Packet`; it returns nothing. None for the one in `code`.
            limit_ms: see the attributes.
            name: see the attributes; the function's own if not given.
            code: see the attributes; made from the function.

        Raises:
            ConfigError: this is no function of a packet, or no limit.
            TravelError: something that the function refers to cannot go to another process.
        """
        problems = Problems()
        given: object = function
        if function is None and not code:
            problems.add("function", "there is none")
        elif given is not None and not callable(given):
            problems.add("function", f"{given!r} cannot be called")
        elif inspect.iscoroutinefunction(given):
            problems.add("function", f"{_name(given)} is async: give a plain function")
        elif function is not None and not _takes_a_packet(function):
            way_out = (
                "make one of it first" if isinstance(function, type) else "give it one parameter"
            )
            problems.add("function", f"{_name(function)} is called with a packet: {way_out}")
        check_number(problems, "limit_ms", limit_ms, 1, MS_MAX, "milliseconds")
        problems.check()
        if function is not None:
            from actors.pickling import dumps_call  # most conditions have no program

            frames = dumps_call(function, (), {})
            code = " ".join(b64encode(frame).decode() for frame in frames)
        put = object.__setattr__
        put(self, "name", name or _name(function))
        put(self, "code", code)
        put(self, "limit_ms", limit_ms)

    def __repr__(self) -> str:
        return f"PacketProgram({self.name})"

    def function(self) -> PacketFunction:
        """Make the function; each time another one, as it was when it was taken along.

        Raises:
            Exception: whatever the import of what it refers to raises.
        """
        from actors.pickling import loads

        frames = [bytearray(b64decode(frame)) for frame in self.code.split(" ")]
        function, _, _ = loads(frames)
        return cast("PacketFunction", function)


def _takes_a_packet(function: PacketFunction) -> bool:
    """Whether it can be called with one argument, as far as it tells."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # some of what is written in C does not tell
        return True
    return True


def _name(function: object) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).replace("<locals>.", "")


def parse_program(value: object, problems: Problems) -> PacketProgram | None:
    """Return a program of what was given for one, or add a problem."""
    if value is None or isinstance(value, PacketProgram):
        return value
    if not callable(value):
        problems.add("program", f"{value!r} is no function of a packet, and no PacketProgram(...)")
        return None
    try:
        return PacketProgram(cast("PacketFunction", value))
    except ConfigError as error:
        problems.extend(error, "program")
        return None
