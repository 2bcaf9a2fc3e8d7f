"""Where built kernels are kept: one directory for each version and recipe, in the user's cache."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.errors import HostNotCapable
from patchbay.guest.recipe import recipe

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
    """The directory of all kernels; it need not exist."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    return base / "patchbay" / "kernel"


def kernels() -> tuple[Kernel, ...]:
    """Every kernel that is built, the newest version first."""
    return tuple(sorted(_found(), key=_age, reverse=True))


def best_kernel() -> Kernel:
    """The newest kernel that this version of patchbay can run.

    Raises:
        HostNotCapable: there is none; the remedy builds one.
    """
    for kernel in kernels():
        if kernel.current:
            return kernel
    raise HostNotCapable(
        f"there is no guest kernel for this version of patchbay in {cache_directory()}",
        "patchbay kernel build",
    )


def _found() -> Iterator[Kernel]:
    directory = cache_directory()
    if not directory.is_dir():
        return
    for each in directory.iterdir():
        if not each.name.startswith(".") and (each / _DESCRIPTION).exists():
            yield Kernel.read(each)


def _age(kernel: Kernel) -> tuple[bool, tuple[int, ...], str]:
    parts = kernel.version.split("-")[0].split(".")
    return kernel.current, tuple(int(part) for part in parts if part.isdigit()), kernel.built
