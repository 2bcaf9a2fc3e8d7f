"""What a guest is asked to be: inert, checked when it is made."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from patchbay.clock import TimeKind as TimeKind
from patchbay.errors import Problems

MachineKind = Literal["auto", "uml", "qemu"]
"""What a guest runs as: User-mode Linux; a distribution's kernel under QEMU; or the first of these
that exists for this host."""

Accelerator = Literal["auto", "hvf", "kvm", "tcg"]
"""By which means QEMU runs a guest: the virtual machines of macOS or of Linux, or an emulated
processor, which exists everywhere and is slow."""

VIRTUAL_START = datetime(2026, 1, 1, tzinfo=UTC)
"""When virtual time begins, unless something else is asked: always the same, so that runs repeat."""

PATIENCE = 60.0
"""Seconds of processor time without a wait, after which a program in virtual time is said to spin."""

LEAST_MEMORY = 64 << 20
"""Bytes with which User-mode Linux boots and a small program runs."""

LEAST_MEMORY_OF_QEMU = 128 << 20
"""Bytes with which a distribution's kernel does: with 64M Debian's 6.12 ends before it says a word,
and with 80M it boots."""

_END_OF_TIME = datetime(2232, 1, 1, tzinfo=UTC)
"""Linux counts nanoseconds until 2262, and lets nobody set a clock to the last thirty years of that
(TIME_SETTOD_SEC_MAX in include/linux/time64.h)."""

_MOST_SEED = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One guest.

    Attributes:
        time: how time passes.
        seed: what all randomness in the guest follows from, from 0 to 2**64 - 1; None: the
            host's own randomness.
        start: the wall clock at the start, of virtual time only.
        memory: bytes of memory.
        writable: directories of the host that the command really writes.
        cpus: the processors of the host of which it may take one; empty: all that this process may
            use.
        patience: seconds of processor time that the guest may take in `virtual` time without ever
            waiting, before it is ended and the program that spins is named; 0: for ever.
        machine: what it runs as.
        accelerator: by which means QEMU runs it.
        root: under QEMU, whose files the guest has instead of the host's: a directory with those of
            a Linux, or an image of a disk with them in its first partition; None: the host's.

    Raises:
        ConfigError: these do not fit together, or a directory does not exist; all mistakes at once.
    """

    time: TimeKind = "real"
    seed: int | None = None
    start: datetime = VIRTUAL_START
    memory: int = 1 << 30
    writable: tuple[Path, ...] = ()
    cpus: frozenset[int] = frozenset()
    patience: float = PATIENCE
    machine: MachineKind = "auto"
    accelerator: Accelerator = "auto"
    root: Path | None = None

    def __post_init__(self) -> None:
        problems = Problems()
        if self.time not in get_args(TimeKind):
            problems.add("time", f"{self.time!r} is none of {', '.join(get_args(TimeKind))}")
        if self.seed is not None and not 0 <= self.seed <= _MOST_SEED:
            problems.add("seed", f"{self.seed} is not in 0 to 2**64 - 1")
        if self.start.tzinfo is None:
            problems.add("start", f"{self.start} lacks a time zone, such as +00:00")
        elif self.start.timestamp() < 0:
            problems.add("start", f"{self.start} is before 1970")
        elif self.start >= _END_OF_TIME:
            problems.add("start", f"{self.start} is after 2231, when no clock of Linux can be set")
        if self.start != VIRTUAL_START and not self.is_virtual:
            problems.add("start", "only virtual time starts when one says: add --time virtual")
        if self.memory < LEAST_MEMORY:
            problems.add("memory", f"{self.memory} bytes are less than {LEAST_MEMORY >> 20}M")
        if not 0 <= self.patience < float("inf"):
            problems.add("patience", f"{self.patience} is no number of seconds")
        if self.cpus and not hasattr(os, "sched_getaffinity"):
            problems.add("cpus", "this system does not let a process choose its processor")
        elif self.cpus and (absent := self.cpus - os.sched_getaffinity(0)):
            problems.add("cpus", f"this process may not use {', '.join(map(str, sorted(absent)))}")
        for place, value, kinds in (
            ("machine", self.machine, get_args(MachineKind)),
            ("accelerator", self.accelerator, get_args(Accelerator)),
        ):
            if value not in kinds:
                problems.add(place, f"{value!r} is none of {', '.join(kinds)}")
        if self.root and not self.root.exists():
            problems.add("root", f"{self.root} does not exist")
        if self.machine == "uml" and (self.root or self.accelerator != "auto"):
            problems.add("machine", "only QEMU has another root or an accelerator")
        for directory in self.writable:
            if not directory.is_dir():
                problems.add("write", f"{directory} is no directory")
            elif directory.resolve() == Path("/"):
                problems.add("write", "/ is the whole host: name the directories to be written")
        problems.check()

    @property
    def needs_qemu(self) -> bool:
        """Whether QEMU is asked for, by its name or by what only it has."""
        return self.machine == "qemu" or self.root is not None or self.accelerator != "auto"

    @property
    def is_virtual(self) -> bool:
        """Whether waits are skipped."""
        return self.time != "real"


def parse_memory(text: str) -> int:
    """Bytes, from a number with K, M or G after it; without a letter they are bytes.

    Raises:
        ValueError: it is no such text.
    """
    units = {"K": 10, "M": 20, "G": 30}
    digits, shift = (
        (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 0)
    )
    if not digits.isascii() or not digits.isdigit():
        raise ValueError(f"{text!r} is no amount of memory: write it like 512M or 2G")
    return int(digits) << shift


def parse_cpus(text: str) -> frozenset[int]:
    """Numbers of processors, from a list like `0,2-3`.

    Raises:
        ValueError: it is no such text.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part, re.ASCII)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"{text!r} is no list of processors: write it like 1 or 0,2-3")
        numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(numbers)


def parse_start(text: str) -> datetime:
    """A moment, from ISO 8601 or `now`; without a time zone it is UTC.

    Raises:
        ValueError: it is no such text.
    """
    if text == "now":
        return datetime.now(UTC).replace(microsecond=0)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no moment: write it like 2026-01-01T00:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
