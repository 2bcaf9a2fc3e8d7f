"""Where built kernels are found: one directory for each.

The user's cache has one for each version and recipe that was built there; the package
patchbay-kernel brings one; and PATCHBAY_KERNEL names one, which is then the only one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.errors import HostNotCapable
from patchbay.guest.recipe import recipe

NAMED = "PATCHBAY_KERNEL"
"""The variable that names the directory of the kernel to be used."""

PACKAGE = "patchbay_kernel"
"""The package that brings a kernel, in its directory `kernel`."""

BUILD = "patchbay kernel build"
"""The command that mends the lack of a kernel."""

_DESCRIPTION = "kernel.json"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that is built.

    Attributes:
        version: such as `7.2.13`.
        origin: where its source came from.
        features: what it can do, in people's words.
        compiler: the first line that the compiler says of itself.
        built: when, as an ISO 8601 time.
        key: the recipe's key when it was built.
        directory: what it lies in.
    """

    version: str
    origin: str
    features: tuple[str, ...]
    compiler: str
    built: str
    key: str
    directory: Path

    @property
    def program(self) -> Path:
        """The kernel itself: a static program."""
        return self.directory / "linux"

    @property
    def init(self) -> Path:
        """The first process in the guest, as this version of patchbay needs it."""
        return self.directory / f"init-{recipe().init_key}"

    @property
    def current(self) -> bool:
        """Whether kernel and first process are the ones of this version of patchbay."""
        return self.key == recipe().key and self.init.exists()

    @property
    def packaged(self) -> bool:
        """Whether a package has brought it, so that nothing may be added to it."""
        return self.directory in _packaged()

    def write(self) -> None:
        """Write the description into the directory, from which `kernels` reads it."""
        fields = {name: value for name, value in asdict(self).items() if name != "directory"}
        (self.directory / _DESCRIPTION).write_text(json.dumps(fields, indent=2) + "\n")

    @classmethod
    def read(cls, directory: Path) -> Kernel:
        """The kernel that a directory describes.

        Raises:
            OSError: the directory has no description.
            ValueError: the description is not one of ours.
        """
        fields = json.loads((directory / _DESCRIPTION).read_text())
        try:
            return cls(**{**fields, "features": tuple(fields["features"]), "directory": directory})
        except (TypeError, KeyError) as error:
            raise ValueError(f"{directory / _DESCRIPTION} describes no kernel: {error}") from error


def cache_directory() -> Path:
    """The directory of all kernels; it need not exist.

    Who has no home, as users that only a number names in a container, is at home in `/`.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    home = os.path.expanduser("~")  # still `~` if there is none
    base = Path(named) if os.path.isabs(named) else Path("/", home.removeprefix("~"), ".cache")
    return base / "patchbay" / "kernel"


def make_cache(directory: Path) -> None:
    """Make a directory of the cache, unless it is there.

    Raises:
        HostNotCapable: it cannot be made, or not be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise HostNotCapable(
            f"the cache {directory} cannot be written: {error.strerror}",
            "XDG_CACHE_HOME=DIRECTORY patchbay kernel ..., with a directory of yours",
        ) from error


def kernels() -> tuple[Kernel, ...]:
    """Every kernel there is, in the order in which they are taken: the newest version first.

    Raises:
        HostNotCapable: PATCHBAY_KERNEL names a directory without a kernel.
    """
    named = os.environ.get(NAMED, "")
    if not named:
        return tuple(sorted(_found(), key=_age, reverse=True))
    try:
        return (Kernel.read(Path(named).absolute()),)
    except (OSError, ValueError) as error:
        raise HostNotCapable(
            f"{NAMED} names {named}, which has no guest kernel: {error}",
            f"unset {NAMED}, or name a directory that `patchbay kernel path` prints",
        ) from error


def best_kernel() -> Kernel:
    """The newest kernel that this version of patchbay can run.

    Raises:
        HostNotCapable: there is none; the remedy builds one.
    """
    found = kernels()
    for kernel in found:
        if kernel.current:
            return kernel
    stale = ", ".join(str(kernel.directory) for kernel in found)
    raise HostNotCapable(
        f"there is no guest kernel for this version of patchbay in {cache_directory()}"
        + (f"; {stale} is for another version" if stale else ""),
        f"unset {NAMED}; patchbay kernel build" if os.environ.get(NAMED) else BUILD,
    )


def _found() -> Iterator[Kernel]:
    for each in (*_below(cache_directory()), *_packaged()):
        if not each.name.startswith(".") and (each / _DESCRIPTION).exists():
            yield Kernel.read(each)


def _below(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _packaged() -> list[Path]:
    package = importlib.util.find_spec(PACKAGE)
    places = package.submodule_search_locations if package else None
    return [Path(each) / "kernel" for each in places or ()]


def _age(kernel: Kernel) -> tuple[bool, tuple[int, ...], str]:
    parts = kernel.version.split("-")[0].split(".")
    return kernel.current, tuple(int(part) for part in parts if part.isdigit()), kernel.built
