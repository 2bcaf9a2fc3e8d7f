"""Kernels from Debian, as source or ready to run: looked up and downloaded with apt, without root.

apt is given a private directory for its lists and downloads, and one list of sources: the mirror
that this machine uses already, with the suites that carry new kernels.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from patchbay.guest.steps import Steps

KNOWN_GOOD = (7, 2)
"""The version that the recipe is tested with."""

_SUITES = ("unstable", "trixie-backports")
_STABLE = "trixie"
"""Where a kernel comes from that is taken as it is."""

_ANY_MIRROR = "http://deb.debian.org/debian"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def is_debian() -> bool:
    """Whether this machine's packages are Debian's own."""
    try:
        release = Path("/etc/os-release").read_text()
    except FileNotFoundError:
        return False
    return bool(re.search(r"^ID=\"?debian\"?$", release, re.MULTILINE)) and all(
        shutil.which(each) for each in ("apt-get", "dpkg-deb")
    )


def download(steps: Steps, directory: Path) -> tuple[Path, str] | None:
    """Download a kernel source.

    Args:
        steps: what runs the programs.
        directory: where the file is put, and where apt works; it exists.

    Returns:
        The tarball, and where it comes from; None where the mirror has no source that fits.

    Raises:
        BuildFailed: apt failed, as without a network.
    """
    site = _mirror(steps)
    if site is None:
        return None
    options = _private(directory / "apt", site, _SUITES)
    steps.announce(f"asking {site} for kernel sources")
    steps.run("updating the lists of packages", ["apt-get", *options, "update"])
    names = steps.run(
        "listing kernel sources", ["apt-cache", *options, "pkgnames", "linux-source-"]
    )
    version = best_version(names.split())
    if version is None:
        return None
    package = f"linux-source-{version}"
    steps.announce(f"downloading {package}")
    steps.run(f"downloading {package}", ["apt-get", *options, "download", package])
    archive = next(directory.glob(f"{package}_*.deb"))
    steps.run(f"unpacking {archive.name}", ["dpkg-deb", "-x", archive, directory / "package"])
    tarball = directory / "package" / "usr" / "src" / f"{package}.tar.xz"
    release = archive.name.split("_")[1].replace("%3a", ":")
    return tarball, f"{package} {release}, from {site}"


def download_kernel(steps: Steps, directory: Path, architecture: str) -> tuple[Path, str]:
    """Download the kernel of the stable release.

    Args:
        steps: what runs the programs.
        directory: where the file is put, and where apt works; it exists.
        architecture: as Debian names it.

    Returns:
        The package, and where it comes from.

    Raises:
        BuildFailed: apt failed, as without a network.
    """
    site = _mirror(steps) or _ANY_MIRROR
    options = _private(directory / "apt", site, (_STABLE,), architecture)
    steps.announce(f"asking {site} for kernels")
    steps.run("updating the lists of packages", ["apt-get", *options, "update"])
    needed = steps.run(
        "looking for the kernel",
        ["apt-cache", *options, "depends", "--important", f"linux-image-{architecture}"],
    )
    package = re.findall(r"Depends: (linux-image-\S+)", needed)[0]
    steps.announce(f"downloading {package}")
    steps.run(f"downloading {package}", ["apt-get", *options, "download", package])
    archive = next(directory.glob("linux-image-*.deb"))
    return archive, f"{package}, from {site} {_STABLE}"


def best_version(packages: list[str]) -> str | None:
    """Among packages named `linux-source-7.2`, the version that is tested, or the next above it."""
    found = (re.fullmatch(r"linux-source-(\d+)\.(\d+)", name) for name in packages)
    versions = [(int(each[1]), int(each[2])) for each in found if each]
    fitting = [version for version in versions if version >= KNOWN_GOOD]
    return "{}.{}".format(*min(fitting)) if fitting else None


def _mirror(steps: Steps) -> str | None:
    """The site from which this machine gets Debian itself."""
    targets = steps.run(
        "reading apt's configuration",
        ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(LABEL) $(SITE)"],
    )
    match = re.search(r"^Packages Debian (\S+)$", targets, re.MULTILINE)
    return match[1] if match else None


def _private(
    directory: Path, site: str, suites: Sequence[str], architecture: str = ""
) -> list[str]:
    for below in ("lists/partial", "cache/archives/partial"):
        (directory / below).mkdir(parents=True, exist_ok=True)
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    sources = directory / "sources.list"
    sources.write_text("".join(f"deb {signed}{site} {suite} main\n" for suite in suites))
    settings: dict[str, str | Path] = {
        "Dir::State::lists": directory / "lists",
        "Dir::Cache": directory / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::Log": directory,
        "Debug::NoLocking": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    if architecture:
        settings["APT::Architecture"] = settings["APT::Architectures"] = architecture
    if os.geteuid() == 0:
        settings["APT::Sandbox::User"] = "root"  # apt's own user may not write into our directory
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
