"""A distribution's kernel for QEMU, unpacked into the cache: the kernel, and modules for labs."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from actors.errors import HostNotCapable
from patchbay.guest import packages
from patchbay.guest.cache import cache_directory, make_cache
from patchbay.guest.compiler import compile_init
from patchbay.guest.debian import download_kernel, is_debian
from patchbay.guest.errors import BuildFailed
from patchbay.guest.host import Architecture, Host, architecture_of
from patchbay.guest.modules import Module, index, load_order, read_module
from patchbay.guest.recipe import recipe
from patchbay.guest.steps import Steps

NAMED = "PATCHBAY_QEMU_KERNEL"
"""The variable that names the directory of the kernel to be used."""

FETCH = "patchbay kernel fetch"
"""The command that mends the lack of a kernel."""

IMAGE = "LINUX_IMAGE"
"""The variable that names a package to be unpacked, where this machine has no apt."""

_WANTED = (
    *("net/*", "crypto/*", "lib/*", "arch/*/crypto/*", "drivers/virtio/*"),
    *("drivers/net/*.ko*", "drivers/block/virtio_blk.ko*", "drivers/char/hw_random/virtio-rng.ko*"),
    *("fs/9p/*", "fs/overlayfs/*", "fs/ext4/*", "fs/fuse/fuse.ko*"),
)
"""The modules that a guest may want; besides them, what these need."""

_UNWANTED = ("drivers/net/*/*", "net/bluetooth/*", "net/mac80211/*", "net/ceph/*", "net/nfc/*")
_EVEN_SO = ("wireguard", "vxlan", "bonding", "macvlan", "ipvlan", "team", "netdevsim")

_AT_BOOT = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "virtio_blk")
"""What it takes to see files at all: all other modules are among these files."""

_DESCRIPTION = "kernel.json"


@dataclass(frozen=True, slots=True)
class StockKernel:
    """A distribution's kernel.

    Attributes:
        version: such as `6.12.107-1`.
        architecture: as Linux names it.
        origin: where it came from.
        boot: the modules to be loaded at first, in this order: files below `modules`.
        directory: what it lies in.
    """

    version: str
    architecture: str
    origin: str
    boot: tuple[str, ...]
    directory: Path

    @property
    def program(self) -> Path:
        """The kernel itself."""
        return self.directory / "vmlinuz"

    @property
    def modules(self) -> Path:
        """The directory of its modules."""
        return self.directory / "modules"

    @property
    def init(self) -> Path:
        """The first process in the guest, as this version of patchbay needs it."""
        return self.directory / f"init-{recipe().init_key}"

    @property
    def kind(self) -> Architecture:
        """What it is made for."""
        found = architecture_of(self.architecture)
        assert found is not None  # `read` has refused others
        return found

    @classmethod
    def read(cls, directory: Path) -> StockKernel:
        """The kernel that a directory describes.

        Raises:
            OSError: the directory has no description.
            ValueError: the description is not one of ours.
        """
        fields = json.loads((directory / _DESCRIPTION).read_text())
        try:
            kernel = cls(**{**fields, "boot": tuple(fields["boot"]), "directory": directory})
        except (TypeError, KeyError) as error:
            raise ValueError(f"{directory / _DESCRIPTION} describes no kernel: {error}") from error
        if architecture_of(kernel.architecture) is None:
            raise ValueError(f"{directory} has a kernel for {kernel.architecture}")
        return kernel


def stock_kernels() -> tuple[StockKernel, ...]:
    """Every kernel for QEMU that there is, the latest fetched first.

    Raises:
        HostNotCapable: PATCHBAY_QEMU_KERNEL names a directory without a kernel.
    """
    named = os.environ.get(NAMED, "")
    if not named:
        found = _cache().glob(f"[!.]*/{_DESCRIPTION}")
        latest = sorted(found, key=lambda each: each.stat().st_mtime, reverse=True)
        return tuple(StockKernel.read(each.parent) for each in latest)
    try:
        return (StockKernel.read(Path(named).absolute()),)
    except (OSError, ValueError) as error:
        raise HostNotCapable(
            f"{NAMED} names {named}, which has no kernel for QEMU: {error}", f"unset {NAMED}"
        ) from error


def best_stock_kernel(host: Host) -> StockKernel:
    """The latest kernel that this version of patchbay can run: for this processor, or else another.

    Raises:
        HostNotCapable: there is none; the remedy fetches one.
    """
    found = [each for each in stock_kernels() if each.init.exists()]
    own = architecture_of(host.architecture)
    for kernel in sorted(found, key=lambda each: each.kind != own):
        return kernel
    raise HostNotCapable(
        f"there is no kernel for QEMU for this version of patchbay in {_cache()}",
        f"unset {NAMED}; {FETCH}" if os.environ.get(NAMED) else FETCH,
    )


def fetch(say: Callable[[str], None], host: Host, image: str = "") -> StockKernel:
    """Unpack a distribution's kernel into the cache, and compile the guest's first process for it.

    Args:
        say: gets lines of progress.
        host: what this is.
        image: a package of Debian's kernel; default: downloaded with this machine's apt.

    Returns:
        The kernel.

    Raises:
        HostNotCapable: there is no package, no compiler, or no room for it.
        BuildFailed: a program that is used for it failed.
    """
    cache = _cache()
    make_cache(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as name:
        staged = Path(name) / "kernel"
        staged.mkdir()
        steps = Steps(Path(name) / "log", say)
        path, origin = _package(steps, Path(name), host, image)
        steps.announce(f"unpacking {path.name}")
        kernel = _unpack(path.read_bytes(), path.name, origin, staged)
        steps.announce("compiling the guest's first process")
        compile_init(steps, kernel.init, kernel.kind, host)
        final = cache / f"{kernel.version}-{kernel.architecture}"
        shutil.rmtree(final, ignore_errors=True)
        staged.rename(final)
        steps.announce(f"done: {final}")
    return StockKernel.read(final)


def _cache() -> Path:
    return cache_directory().parent / "qemu"


def _package(steps: Steps, directory: Path, host: Host, image: str) -> tuple[Path, str]:
    """The package, and where it comes from."""
    why = "it does not have Debian's packages"
    own = architecture_of(host.architecture)
    if image:
        if Path(image).is_file():
            return Path(image), f"{IMAGE}={os.path.abspath(image)}"
        why = f"{image} does not exist"
    elif own is None:
        why = (
            f"guests under QEMU exist for x86-64 and arm64, and this machine is {host.architecture}"
        )
    elif is_debian():
        try:
            return download_kernel(steps, directory, own.debian)
        except BuildFailed as error:
            why = f"{error.step} failed: {' | '.join(error.output[-3:])}"
    raise HostNotCapable(
        f"there is no kernel to be fetched: {why}",
        f"{IMAGE}=FILE.deb {FETCH}, with the package of Debian's kernel that linux-image-amd64 or "
        "linux-image-arm64 depends on at https://packages.debian.org/stable/kernel/",
    )


def _unpack(package: bytes, name: str, origin: str, directory: Path) -> StockKernel:
    """Put a package's kernel and its modules into a directory, and describe them there."""
    try:
        control = packages.control(package)
        content = {
            path: data
            for path, data in packages.files(package)
            if "/kernel/" in path or path.startswith("boot/vmlinuz-")
        }
    except ValueError as error:
        raise _no_kernel(name, str(error)) from error
    architecture = architecture_of(control.get("Architecture", ""))
    images = [data for path, data in content.items() if path.startswith("boot/vmlinuz-")]
    if architecture is None or len(images) != 1:
        raise _no_kernel(name, "it holds no kernel for x86-64 or arm64")
    (directory / "vmlinuz").write_bytes(images[0])
    programs, modules = _wanted(
        {path: data for path, data in content.items() if "/kernel/" in path}
    )
    (directory / "modules").mkdir()
    for key, data in programs.items():
        (directory / "modules" / f"{key}.ko").write_bytes(data)
    places = {key: f"/modules/{key}.ko" for key in programs}
    (directory / "modules" / "index").write_text(index(modules, places))
    boot = dict.fromkeys(each for key in _AT_BOOT for each in load_order(modules, key))
    kernel = StockKernel(
        version=control.get("Version", ""),
        architecture=architecture.name,
        origin=origin,
        boot=tuple(f"{key}.ko" for key in boot),
        directory=directory,
    )
    fields = {key: value for key, value in asdict(kernel).items() if key != "directory"}
    (directory / _DESCRIPTION).write_text(json.dumps(fields, indent=2) + "\n")
    return kernel


def _wanted(content: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, Module]]:
    """The modules that a guest may want and what these need, by name: programs, and what they say."""
    paths = {_name(path): path for path in content}
    waiting = [name for name, path in paths.items() if _is_wanted(path.split("/kernel/")[1])]
    programs: dict[str, bytes] = {}
    modules: dict[str, Module] = {}
    while waiting:
        name = waiting.pop()
        if name not in programs and name in paths:
            programs[name] = _program(paths[name], content[paths[name]])
            modules[name] = _module(name, programs[name])
            waiting += modules[name].needs
    return programs, modules


def _module(name: str, program: bytes) -> Module:
    try:
        return read_module(name, program)
    except ValueError as error:
        raise _no_kernel(f"the module {name}", str(error)) from error


def _name(path: str) -> str:
    return PurePosixPath(path).name.split(".")[0].replace("-", "_")


def _is_wanted(path: str) -> bool:
    if any(fnmatch(path, f"drivers/net/{each}/*") for each in _EVEN_SO):
        return True
    return any(fnmatch(path, each) for each in _WANTED) and not any(
        fnmatch(path, each) for each in _UNWANTED
    )


def _program(path: str, data: bytes) -> bytes:
    if path.endswith(".ko.xz"):
        return lzma.decompress(data)
    if path.endswith(".ko"):
        return data
    raise _no_kernel(path, "it is compressed in a way that is not known here")


def _no_kernel(what: str, why: str) -> HostNotCapable:
    return HostNotCapable(f"{what} is of no use: {why}", f"{IMAGE}=FILE.deb {FETCH}")
