"""The programs that guests take, and the command that installs the missing ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from actors.errors import HostNotCapable

_X86, _ARM = "qemu-system-x86_64", "qemu-system-aarch64"
_PACKAGES = {
    "apt": {
        "xz": "xz-utils",
        "gcc": "gcc libc6-dev",
        _X86: "qemu-system-x86",
        _ARM: "qemu-system-arm",
    },
    "dnf": {"gcc": "gcc glibc-static", _X86: "qemu-system-x86-core", _ARM: f"{_ARM}-core"},
    "pacman": {_X86: "qemu-system-x86"},
    "apk": {"gcc": "gcc musl-dev linux-headers"},
    "zypper": {"gcc": "gcc glibc-devel-static", _X86: "qemu-x86", _ARM: "qemu-arm"},
    "brew": {_X86: "qemu", _ARM: "qemu"},
}
"""The packages, where they are not named like the program."""

_COMMANDS = {
    "apt": "apt-get install",
    "dnf": "dnf install",
    "pacman": "pacman -S",
    "apk": "apk add",
    "zypper": "zypper install",
    "brew": "brew install",
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
        raise HostNotCapable(
            f"building a kernel needs {', '.join(lacking)}",
            install_command(lacking, package_manager(), root=os.geteuid() == 0),
        )


def package_manager() -> str:
    """The package manager of this system; `""` if it has none that is known."""
    return next((each for each in _COMMANDS if shutil.which(_COMMANDS[each].split()[0])), "")


def install_command(programs: list[str], manager: str, *, root: bool) -> str:
    """The command that installs programs with a package manager, `""` for one that is unknown."""
    if manager not in _COMMANDS:
        return f"install {', '.join(programs)} with this system's package manager"
    names: Mapping[str, str] = _PACKAGES[manager]
    packages = " ".join(dict.fromkeys(names.get(each, each) for each in programs))
    sudo = "" if root or manager == "brew" else "sudo "  # Homebrew refuses root
    return f"{sudo}{_COMMANDS[manager]} {packages}"
