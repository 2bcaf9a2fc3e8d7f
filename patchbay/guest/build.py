"""Building a guest kernel, from nothing to a program in the cache."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from actors.errors import HostNotCapable
from patchbay.guest.cache import Kernel, cache_directory, kernels, make_cache
from patchbay.guest.recipe import features, recipe
from patchbay.guest.source import origin_of, unpack
from patchbay.guest.source import version as version_of
from patchbay.guest.steps import Steps
from patchbay.guest.tools import check_tools

_ROOM = 4 * 1024**3
"""Bytes that have to be free: source and objects take half of them while a kernel is built, and other
compilers' objects may be larger."""

_LINES = 1_500
"""What compiling 7.2 writes, about, most of it a line for each file."""


def build(say: Callable[[str], None], source: str = "") -> Kernel:
    """Build a guest kernel, unless it is built already.

    It takes minutes, and about 2 GB on disk until it is done. What an interrupted build has
    finished is used by the next one.

    Args:
        say: gets lines of progress.
        source: a tarball or a directory with the source of Linux; default: what this machine's
            package manager supplies.

    Returns:
        The kernel, which is in the user's cache.

    Raises:
        HostNotCapable: a program is missing, there is no source, or no room for it.
        BuildFailed: a program of the build failed.
    """
    if platform.machine() != "x86_64":
        raise HostNotCapable(
            f"User-mode Linux exists for x86_64 alone, and this machine is {platform.machine()}",
            "patchbay kernel fetch, for a guest under QEMU",
        )
    cache = cache_directory()
    make_cache(cache)
    with _alone(cache, say):
        for kernel in kernels():
            fits = not source or kernel.origin == origin_of(source)
            if fits and (kernel.current or (kernel.key == recipe().key and not kernel.packaged)):
                return _with_init(kernel, say)
        check_tools()
        return _build(cache / f".build-{recipe().key}", cache, source, say)


def _build(directory: Path, cache: Path, named: str, say: Callable[[str], None]) -> Kernel:
    free = shutil.disk_usage(cache).free
    if free < _ROOM and not directory.exists():
        raise HostNotCapable(
            f"to build a kernel {_ROOM >> 30} GB have to be free, and {cache} has {free / 2**30:.1f} GB",
            "XDG_CACHE_HOME=DIRECTORY patchbay kernel build, with a directory that has more",
        )
    directory.mkdir(exist_ok=True)
    steps = Steps(directory / "log", say)
    origin = unpack(steps, directory, named)
    version = version_of(directory / "source")
    _configure(steps, directory, version)
    _compile(steps, directory, version)
    kernel = _install(steps, directory, cache, version, origin)
    shutil.rmtree(directory)
    steps.announce(f"done: {kernel.program}")
    return _with_init(kernel, say)


def _configure(steps: Steps, directory: Path, version: str) -> None:
    steps.announce(f"configuring Linux {version}")
    objects, fragment = directory / "objects", directory / "lab.config"
    objects.mkdir(exist_ok=True)
    fragment.write_text(recipe().fragment)
    merge = directory / "source" / "scripts" / "kconfig" / "merge_config.sh"
    merged: list[str | Path] = [merge, "-m", "-O", objects, objects / ".config", fragment]
    for command in (_make(directory, "allnoconfig"), merged, _make(directory, "olddefconfig")):
        steps.run("configuring", command, directory=directory / "source")
    _check_features((objects / ".config").read_text(), version)


def _check_features(config: str, version: str) -> None:
    """A kernel that lacks what labs are made of is not worth minutes of compiling."""
    missing = set(features(recipe().fragment)) - set(features(config))
    if missing:
        raise HostNotCapable(
            f"Linux {version} cannot be configured with {', '.join(sorted(missing))}",
            "LINUX_SOURCE=TARBALL patchbay kernel build, with a tarball of Linux 7.2",
        )


def _compile(steps: Steps, directory: Path, version: str) -> None:
    processors = len(os.sched_getaffinity(0))
    steps.announce(f"compiling Linux {version} on {processors} processors: this takes minutes")
    steps.run(
        "compiling",
        [*_make(directory, "linux"), f"-j{processors}"],
        directory=directory / "source",
        environment={
            "KBUILD_BUILD_TIMESTAMP": "@0",
            "KBUILD_BUILD_USER": "patchbay",
            "KBUILD_BUILD_HOST": "patchbay",
        },
        expected=_LINES,
    )


def _make(directory: Path, target: str) -> list[str | Path]:
    return ["make", "ARCH=um", f"O={directory / 'objects'}", target]


def _install(steps: Steps, directory: Path, cache: Path, version: str, origin: str) -> Kernel:
    staged = directory / "result"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    objects = directory / "objects"
    steps.run("stripping", ["strip", "-o", staged / "linux", objects / "linux"])
    shutil.copyfile(objects / ".config", staged / "config")
    (staged / "COPYING").write_text(_licence(directory / "source"))
    kernel = Kernel(
        version=version,
        origin=origin,
        features=features((staged / "config").read_text()),
        compiler=steps.run("asking for its version", ["gcc", "--version"]).splitlines()[0],
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        key=recipe().key,
        directory=staged,
    )
    kernel.write()
    final = cache / f"{version}-{recipe().key}"
    shutil.rmtree(final, ignore_errors=True)
    staged.rename(final)
    return replace(kernel, directory=final)


def _licence(source: Path) -> str:
    """What a kernel may be passed on under: its COPYING, and the texts that this refers to."""
    texts = ("COPYING", "LICENSES/preferred/GPL-2.0", "LICENSES/exceptions/Linux-syscall-note")
    return "\n".join((source / name).read_text() for name in texts)


def _with_init(kernel: Kernel, say: Callable[[str], None]) -> Kernel:
    """Make sure that the kernel has the first process of this version of patchbay."""
    if not kernel.init.exists():
        check_tools()
        with contextlib.ExitStack() as remove:
            sources = [kernel.directory / name for name in recipe().init]
            log = kernel.directory / "init.log"
            unfinished = kernel.directory / "init.unfinished"
            for source, text in zip(sources, recipe().init.values(), strict=True):
                source.write_text(text)
                remove.callback(source.unlink)
            Steps(log, say).run(
                "compiling the guest's first process",
                ["gcc", "-static", "-O2", "-s", "-o", unfinished, sources[0]],
            )
            remove.callback(log.unlink)
            for old in kernel.directory.glob("init-*"):
                old.unlink()
            unfinished.rename(kernel.init)
    return kernel


@contextlib.contextmanager
def _alone(cache: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the cache's lock, so that nobody else builds meanwhile."""
    with open(cache / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build of this user's is under way: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
