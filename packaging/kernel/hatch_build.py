"""Puts a built kernel into the wheel: the one whose directory PATCHBAY_KERNEL names."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

RECIPE = Path(__file__).resolve().parents[2] / "patchbay" / "guest" / "data"
FILES = ("linux", "kernel.json", "config", "COPYING")

SOURCE = """# The source of this kernel

This is Linux {version}, as User-mode Linux, made from

    {origin}

by `patchbay kernel build` of patchbay {ours}, with {compiler}. The patches and the configuration
are in `recipe`, and so is the source of the first process, which `gcc -static -O2 -s` makes of
`init.c`. The kernel's configuration as it was built is `config`; its licence is `COPYING`.

Debian keeps the source of every version: https://snapshot.debian.org/package/linux/. The same
source, unpatched, is at https://kernel.org. Both programs are linked with the GNU C library, whose
source Debian keeps at https://snapshot.debian.org/package/glibc/; with the sources above they can
be linked again with another.

Offer: for three years after you got this package from us we give anyone who asks, for no more than
the cost of doing so, the complete corresponding source of both programs, on a medium customary
for it. Ask in the issue tracker of patchbay.
"""


class Metadata(MetadataHookInterface):
    """The wheel is for one version of patchbay: kernel, first process and commands belong together."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["dependencies"] = [f"patchbay=={metadata['version']}"]


class Kernel(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the kernel's files, and says that they are for x86-64."""

    _scratch: tempfile.TemporaryDirectory[str]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        named = os.environ.get("PATCHBAY_KERNEL", "")
        if not named:
            raise SystemExit("PATCHBAY_KERNEL has to name the directory of a built kernel")
        directory = Path(named)
        described = json.loads((directory / "kernel.json").read_text())
        self._scratch = tempfile.TemporaryDirectory()
        notice = Path(self._scratch.name) / "SOURCE.md"
        notice.write_text(SOURCE.format(**described, ours=self.metadata.version))
        files = [directory / name for name in FILES] + sorted(directory.glob("init-*")) + [notice]
        build_data["force_include"] = {
            str(each): f"patchbay_kernel/kernel/{each.name}" for each in files
        } | {str(RECIPE): "patchbay_kernel/kernel/recipe"}
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-manylinux_2_17_x86_64"  # static: it asks nothing of the host

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._scratch.cleanup()
