"""The text of an exception of a node: as Python prints it, from the user's function on."""

from __future__ import annotations

import os
from traceback import TracebackException
from types import TracebackType

from actors.errors import PatchbayError

LONGEST_LINE = 10_000
"""Characters; of a longer line the middle is left out."""

LONGEST_TEXT = 1_000_000
"""Characters; of a longer traceback the middle is left out."""

_HERE = os.path.dirname(__file__) + os.sep


def format_exception(exception: BaseException, skip: int = 0) -> str:
    """The traceback with all causes, contexts and groups, bounded; it never raises.

    Args:
        exception: it is not changed.
        skip: entries to leave out at the start, besides those of this package.
    """
    try:
        printed = TracebackException(
            type(exception), exception, _of_the_user(exception, skip), compact=True
        )
        lines = "".join(printed.format()).rstrip().split("\n")
    except BaseException as error:  # user code: __str__, __notes__, __repr__ of attributes
        return (
            f"{type_name(exception)}: {message(exception)}\n"
            f"(its traceback cannot be printed: {type_name(error)})"
        )
    return shortened("\n".join(shortened(line, LONGEST_LINE) for line in lines), LONGEST_TEXT)


def type_name(exception: BaseException) -> str:
    """The full name of its class, as at the end of a traceback."""
    cls = type(exception)
    if cls.__module__ in ("builtins", "__main__"):
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def message(exception: BaseException) -> str:
    """Its whole text, or why there is none; it never raises."""
    try:
        text = str(exception)
        return text if type(text) is str else str.__str__(text)
    except BaseException as error:  # user code
        return f"<its str() raises {type_name(error)}>"


def shortened(text: str, longest: int) -> str:
    """The text, without its middle if it is longer than this many characters."""
    if len(text) <= longest:
        return text
    left_out = len(text) - longest
    half = longest // 2
    return f"{text[:half]}[... {left_out} characters left out ...]{text[-half:]}"


def _of_the_user(exception: BaseException, skip: int) -> TracebackType | None:
    """The traceback from where the user's code begins.

    Where all of it is ours, an error of ours needs none, and any other is a mistake of ours: all.
    """
    entry = exception.__traceback__
    for _ in range(skip):
        entry = entry and entry.tb_next
    while entry is not None and entry.tb_frame.f_code.co_filename.startswith(_HERE):
        entry = entry.tb_next
    if entry is None and not isinstance(exception, PatchbayError):
        return exception.__traceback__
    return entry
