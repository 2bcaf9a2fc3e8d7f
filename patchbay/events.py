"""The event log of a lab, and its run directory: what happened, and what the lab is like now.

outdir/
events.jsonl     one event a line, written when it happens
state.json       the topology, and whether the lab runs; replaced as a whole
nodes/NAME.log   what the code and programs of a node printed, with time and stream
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from actors.protocol import Plain
from patchbay.topology.model import Topology
from patchbay.topology.plain import to_plain
from patchbay.values import PacketProgram

STATE_SHARE = 0.1
"""The part of its time that a supervisor spends at most on writing `state.json` again and again."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a lab.

    Attributes:
        opid: its number in the lab, from 0.
        time: when it happened, in UTC.
        kind: what happened, such as `device_added`, or a user's own word.
        fields: what goes with it; see the reference for each kind.
    """

    opid: int
    time: datetime
    kind: str
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Event:
        """The event that a line of `events.jsonl` tells."""
        fields = {key: value for key, value in record.items() if key not in _ENVELOPE}
        moment = datetime.fromisoformat(record["timestamp"])
        return cls(record["opid"], moment, record["kind"], fields)

    def __str__(self) -> str:
        told = " ".join(f"{key}={value}" for key, value in self.fields.items())
        return f"{self.opid:4} {self.time:%H:%M:%S.%f} {self.kind} {told}".rstrip()


_ENVELOPE = frozenset({"opid", "timestamp", "kind"})


class EventLog:
    """The supervisor's side: keeps the events, and writes them where a directory is given."""

    def __init__(self, directory: str | None) -> None:
        self._records: list[dict[str, Plain]] = []
        self._directory = directory
        self._file: TextIO | None = None
        self._state_due: Topology | None = None
        self._state_cost = 0.0
        self._state_time = 0.0
        if directory is not None:
            os.makedirs(directory, exist_ok=True)
            self._file = open(f"{directory}/events.jsonl", "a", encoding="utf-8")  # noqa: SIM115

    @property
    def nodes_directory(self) -> str | None:
        """Where the output of nodes is kept."""
        return None if self._directory is None else f"{self._directory}/nodes"

    def add(self, kind: str, /, **fields: Plain) -> None:
        """Note an event."""
        record: dict[str, Plain] = {
            "opid": len(self._records),
            "timestamp": datetime.now(UTC).isoformat(),
            "kind": kind,
        }
        record |= {
            f"{key}_" if key in _ENVELOPE else key: _without_code(value)
            for key, value in fields.items()
        }
        self._records.append(record)
        if self._file is not None:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._file.flush()

    def since(self, opid: int) -> Plain:
        """The events from a number on."""
        return cast("Plain", self._records[opid:])

    def save_state(self, topology: Topology) -> None:
        """Write the state now; or later, if writing it would take too much of the time."""
        if self._directory is None:
            return
        self._state_due = topology
        if time.monotonic() - self._state_time > self._state_cost / STATE_SHARE:
            self._write_state(topology, "running")

    def due(self) -> float | None:
        """Seconds until `save_due` wants to be called; None if nothing is due."""
        if self._state_due is None:
            return None
        return max(0.0, self._state_time + self._state_cost / STATE_SHARE - time.monotonic())

    def save_due(self) -> None:
        """Write the state, if that was put off."""
        if self._state_due is not None:
            self._write_state(self._state_due, "running")

    def close(self, topology: Topology) -> None:
        """Write what is left; the lab has stopped."""
        if self._file is not None:
            self._write_state(topology, "stopped")
            self._file.close()

    def _write_state(self, topology: Topology, status: str) -> None:
        begin = time.monotonic()
        state = {"status": status, "opid": len(self._records), "topology": to_plain(topology)}
        temporary = f"{self._directory}/.state.json"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(state, file, ensure_ascii=False, indent=1)
        os.replace(temporary, f"{self._directory}/state.json")
        self._state_due = None
        self._state_time = time.monotonic()
        self._state_cost = self._state_time - begin


def _without_code(value: Plain) -> Plain:
    """The same with the names of packet programs alone, whose code nobody reads."""
    if isinstance(value, dict):
        if value.keys() == _PROGRAM:
            return value["name"]
        return {key: _without_code(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_code(each) for each in value]
    return value


_PROGRAM = {field.name for field in dataclass_fields(PacketProgram)}
