"""Running the programs of a build: gently, logged, with a line of progress now and then."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from patchbay.guest.errors import BuildFailed

_BETWEEN_LINES = 20.0
"""Seconds between two lines of progress of one long step."""

_NICENESS = 10
"""A build takes minutes of every processor: whoever works on the machine goes first."""


_OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")


@dataclass(slots=True)
class Steps:
    """The steps of one build.

    Attributes:
        log: the file that collects what the programs write.
        say: where lines of progress go.
    """

    log: Path
    say: Callable[[str], None]
    _begun: float = field(default_factory=time.monotonic)

    def announce(self, text: str) -> None:
        """Say what begins now, with the time that has gone by."""
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        self.say(f"[{minutes}:{seconds:02}] {text}")

    def run(
        self,
        step: str,
        command: Sequence[str | Path],
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        expected: int = 0,
    ) -> str:
        """Run a program to its end and return what it wrote.

        Args:
            step: what the program does, for the error.
            command: the program and its arguments.
            directory: where it runs; default: the directory of the log.
            environment: variables to set besides the ones that are.
            expected: about how many lines it writes, for the progress; 0: nobody knows.

        Raises:
            BuildFailed: it ended with another status than 0.
        """
        of_how_many = f" of about {expected}" if expected else ""
        lines: list[str] = []
        announced = time.monotonic()
        with (
            open(self.log, "a") as log,
            subprocess.Popen(
                ["nice", "-n", str(_NICENESS), *map(str, command)],
                cwd=directory or self.log.parent,
                env={**_environment(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                preexec_fn=_die_with_parent(),
            ) as process,
        ):
            assert process.stdout is not None
            log.write(f"$ {' '.join(map(str, command))}\n")
            for line in process.stdout:
                log.write(line)
                lines.append(line)
                if time.monotonic() - announced >= _BETWEEN_LINES:
                    announced = time.monotonic()
                    self.announce(f"  {step}: {len(lines)}{of_how_many} lines, {line.strip()}")
        if process.returncode != 0:
            last = deque((line.rstrip() for line in lines), maxlen=15)
            raise BuildFailed(step, tuple(last), str(self.log))
        return "".join(lines)


def _die_with_parent() -> Callable[[], None] | None:
    """What a program does before it begins: have Linux end it with this process, however that ends.

    It is a SIGTERM, which `make` passes on to what it runs.
    """
    if platform.system() != "Linux":
        return None
    from actors.linux import die_with_parent  # its system calls exist there alone

    return partial(die_with_parent, signal.SIGTERM)


def _environment() -> dict[str, str]:
    """This process's variables, but those by which a `make` above would rule the ones below."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
    return {**inherited, "LC_ALL": "C"}
