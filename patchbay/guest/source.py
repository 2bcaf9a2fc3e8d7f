"""The source of a kernel: found, unpacked as far as it is needed, and patched."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from actors.errors import HostNotCapable
from patchbay.guest.debian import download, is_debian
from patchbay.guest.errors import BuildFailed
from patchbay.guest.recipe import recipe
from patchbay.guest.steps import Steps

_NAMED = "LINUX_SOURCE="

_UNUSED = (
    *(f"*/arch/{each}*/*.{kind}" for each in ("[!ux]", "xtensa") for kind in ("[chS]", "dts*")),
    *("*/sound/*.[ch]", "*/tools/testing/*", "*/tools/perf/*"),
    *(f"*/Documentation/*.{kind}" for kind in ("rst", "yaml", "svg", "txt")),
    *(
        f"*/drivers/{each}/*.[ch]"
        for each in (
            *("accel", "clk", "comedi", "crypto", "gpu", "hwmon", "iio", "infiniband", "media"),
            *("mfd", "mtd", "net/dsa", "net/ethernet", "net/wireless", "pinctrl", "platform"),
            *("scsi", "soc", "staging", "usb"),
        )
    ),
)
"""What lies in the tarball for other machines: two thirds of it. The Kconfig files stay, since
those that are used mention them."""


def origin_of(named: str) -> str:
    """Where a kernel says it comes from, if its source was named."""
    return _NAMED + os.path.abspath(named)


def unpack(steps: Steps, directory: Path, named: str) -> str:
    """Put the patched source below `source`, unless it is there; return where it comes from.

    Args:
        steps: what runs the programs.
        directory: that of the build; it exists.
        named: a tarball or a directory; empty: what this machine's package manager supplies.

    Raises:
        HostNotCapable: there is no source.
        BuildFailed: it is no source of Linux, or it could not be downloaded.
    """
    source, note = directory / "source", directory / "origin"
    wanted = origin_of(named) if named else ""
    if note.exists() and (not wanted or note.read_text() == wanted):
        return note.read_text()
    note.unlink(missing_ok=True)
    for stale in (source, directory / "objects", directory / "package"):
        shutil.rmtree(stale, ignore_errors=True)
    tarball, origin = (Path(named).absolute(), wanted) if named else _supplied(steps, directory)
    steps.announce(f"unpacking {tarball.name}")
    if tarball.is_dir():
        version(tarball)  # before all of something else is copied
        shutil.copytree(tarball, source, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    elif tarball.is_file():
        source.mkdir()
        steps.run(
            f"unpacking {tarball.name}",
            [
                *("tar", "-xf", tarball, "-C", source, "--strip-components=1"),
                *(f"--exclude={pattern}" for pattern in _UNUSED),
            ],
            environment={"XZ_DEFAULTS": "-T0"},
        )
    else:
        raise HostNotCapable(
            f"{tarball} does not exist", "LINUX_SOURCE=TARBALL patchbay kernel build"
        )
    shutil.rmtree(directory / "package", ignore_errors=True)
    version(source)
    for name, text in sorted(recipe().patches.items()):
        steps.announce(f"applying {name}")
        (directory / name).write_text(text)
        steps.run(f"applying {name}", ["patch", "-p1", "-i", directory / name], directory=source)
    note.write_text(origin)  # from here on the source is complete
    return origin


def version(source: Path) -> str:
    """The version of a source, such as `7.2.13`.

    Raises:
        BuildFailed: it is no source of Linux.
    """
    try:
        text = (source / "Makefile").read_text()
    except FileNotFoundError:
        text = ""
    numbers = [
        match[1]
        for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")
        if (match := re.search(rf"^{name} = (\d+)$", text, re.MULTILINE))
    ]
    if len(numbers) != 3:
        raise BuildFailed("reading the version", [f"{source} is no source of Linux"], str(source))
    return ".".join(numbers)


def _supplied(steps: Steps, directory: Path) -> tuple[Path, str]:
    """What the package manager supplies.

    Raises:
        HostNotCapable: it supplies none; the text says why.
    """
    why = "it does not have Debian's packages"
    try:
        if is_debian():
            found = download(steps, directory)
            if found is not None:
                return found
            why = "it has none that is known to work, as Debian's linux-source-7.2 is"
    except BuildFailed as error:
        why = f"{error.step} failed: {' | '.join(error.output[-3:])}; all of it: {error.log}"
    raise HostNotCapable(
        f"this machine's package manager supplies no kernel source: {why}",
        "LINUX_SOURCE=TARBALL patchbay kernel build, with a tarball of Linux 7.2 or newer "
        "from https://kernel.org",
    )
