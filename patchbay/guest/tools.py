"""The programs that building a kernel takes, and the command that installs the missing ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from actors.errors import HostNotCapable

_PACKAGES = {
    "apt": {"xz": "xz-utils", "gcc": "gcc libc6-dev"},
    "dnf": {"gcc": "gcc glibc-static"},
    "pacman": {},
    "apk": {"gcc": "gcc musl-dev linux-headers"},
    "zypper": {"gcc": "gcc glibc-devel-static"},
}
"""The packages, where they are not named like the program."""

_COMMANDS = {
    "apt": "apt-get install",
    "dnf": "dnf install",
    "pacman": "pacman -S",
    "apk": "apk add",
    "zypper": "zypper install",
}

NEEDED = ("gcc", "make", "flex", "bison", "bc", "patch", "tar", "xz")
"""The programs without which there is no build."""


def check_tools() -> None:
    """Make sure that everything the build runs is installed.

    Raises:
        HostNotCapable: something is missing; the remedy is the command that installs it.
    """
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    if lacking:
        manager = next((each for each in _COMMANDS if shutil.which(_COMMANDS[each].split()[0])), "")
        raise HostNotCapable(
            f"building a kernel needs {', '.join(lacking)}",
            install_command(lacking, manager, root=os.geteuid() == 0),
        )


def install_command(programs: list[str], manager: str, *, root: bool) -> str:
    """The command that installs programs with a package manager, `""` for one that is unknown."""
    if manager not in _COMMANDS:
        return f"install {', '.join(programs)} with this system's package manager"
    names: Mapping[str, str] = _PACKAGES[manager]
    packages = " ".join(dict.fromkeys(names.get(each, each) for each in programs))
    return f"{'' if root else 'sudo '}{_COMMANDS[manager]} {packages}"
