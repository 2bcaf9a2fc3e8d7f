"""Where what runs on nodes leaves its TLS secrets, for captures to have them in the file."""

from __future__ import annotations

import os
from collections.abc import Mapping


class KeyLog:
    """A file in the format of `SSLKEYLOGFILE`; in memory if there is no directory for it.

    It has a name by which every process of the lab can open it, and goes with the lab.

    Attributes:
        descriptor: to be read from.
        environment: what tells programs of it.
    """

    def __init__(self, directory: str | None) -> None:
        """Make it.

        Args:
            directory: the run directory; None for a file without any place.
        """
        if directory is None:
            self.descriptor = os.memfd_create("tls-keys", os.MFD_CLOEXEC)
            # as /proc numbers this process: where a lab has none of its own, that is not getpid()
            path = f"/proc/{os.readlink('/proc/self')}/fd/{self.descriptor}"
        else:
            path = f"{directory}/tls-keys.log"
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self.descriptor = os.open(path, flags, 0o600)
        self.environment: Mapping[str, str] = {"SSLKEYLOGFILE": path}
