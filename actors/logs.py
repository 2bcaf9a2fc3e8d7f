"""Log records of a node: sent to the client, and handled by its logging as if made there."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from actors.errors import TravelError
from actors.origins import Origin, origin
from actors.pickling import Frame, Payload, dumps, loads

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record has; the rest came by `extra=`."""


class Forwarder(logging.Handler):
    """Hands each record, as frames, to whoever sends it, with the request that it belongs to."""

    def __init__(self, node: str, send: Callable[[Origin | None, Payload], None]) -> None:
        super().__init__()
        self._node = node
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; what it was made from is turned to text, which can always travel."""
        try:
            frames = pack_record(record, self._node)
        except Exception:
            self.handleError(record)
        else:
            self._send(origin.get(), frames)


def pack_record(record: logging.LogRecord, node: str) -> Payload:
    """The frames for a record: its text, and each of its extras by itself."""
    fields = {name: value for name, value in vars(record).items() if name in _STANDARD}
    fields |= {"msg": record.getMessage(), "args": None, "exc_info": None, "node": node}
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
    extras = {
        name: _pack_extra(value) for name, value in vars(record).items() if name not in _STANDARD
    }
    return [pickle.dumps((fields, extras))]


def _pack_extra(value: object) -> list[bytes]:
    try:
        return [bytes(frame) for frame in dumps(value)]
    except TravelError:
        return [bytes(frame) for frame in dumps(repr(value))]


def unpack_record(frames: Sequence[Frame]) -> logging.LogRecord:
    """The record in frames of `pack_record`. An extra that cannot be loaded here says why."""
    fields, extras = pickle.loads(frames[0])
    record = logging.makeLogRecord(fields)
    for name, value in extras.items():
        try:
            setattr(record, name, loads(value))
        except Exception as error:
            setattr(record, name, f"<it cannot be loaded here: {error}>")
    return record


def install(forwarder: Forwarder) -> None:
    """Send every record of this process; the client's logging decides what to do with it."""
    root = logging.getLogger()
    root.handlers[:] = [forwarder]
    root.setLevel(logging.NOTSET)


def handle(frames: Sequence[Any]) -> None:
    """Handle a record of a node as this process handles its own of that logger and level."""
    record = unpack_record(frames)
    logger = logging.getLogger(record.name)
    if not logger.isEnabledFor(record.levelno):
        return
    try:
        logger.handle(record)
    except Exception:
        logging.Handler().handleError(record)
