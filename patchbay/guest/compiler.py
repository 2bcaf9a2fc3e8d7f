"""Compiling the guest's first process for QEMU: with gcc at home, with Zig's compiler elsewhere."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

from actors.errors import HostNotCapable
from patchbay.guest.host import Architecture, Host, architecture_of
from patchbay.guest.recipe import recipe
from patchbay.guest.steps import Steps

_MAIN = "init.c"


def compile_init(steps: Steps, program: Path, wanted: Architecture, host: Host) -> None:
    """Compile it, as a static program.

    Args:
        steps: what runs the compiler.
        program: the file to be made.
        wanted: what it is for.
        host: where it is compiled.

    Raises:
        HostNotCapable: there is no compiler for it; the remedy installs one.
        BuildFailed: the compiler failed.
    """
    compiler = compiler_for(wanted, host)
    if not compiler:
        raise HostNotCapable(
            f"there is no compiler here for programs of Linux on {wanted.name}",
            f"{sys.executable} -m pip install ziglang",
        )
    with tempfile.TemporaryDirectory() as directory:
        for name, text in recipe().init.items():
            (Path(directory) / name).write_text(text)
        steps.run(
            "compiling the guest's first process",
            [*compiler, "-static", "-O2", "-s", "-o", program, Path(directory) / _MAIN],
        )


def compiler_for(wanted: Architecture, host: Host) -> list[str]:
    """The words that call a compiler; none where there is no compiler."""
    at_home = host.system == "Linux" and architecture_of(host.architecture) == wanted
    if at_home and (gcc := shutil.which("gcc")):
        return [gcc]
    for_linux = ["cc", "-target", f"{wanted.name}-linux-musl"]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", *for_linux]
    zig = shutil.which("zig")
    return [zig, *for_linux] if zig else []
