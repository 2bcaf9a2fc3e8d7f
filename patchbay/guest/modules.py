"""The modules of a distribution's kernel: what they need, and what the kernel asks for them by.

Nothing is read or written here. A module says so itself, in its section `.modinfo`; depmod reads the
same.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")

_OF_DEVICES = (
    "pci:",
    "usb:",
    "of:",
    "acpi",
    "hid:",
    "dmi:",
    "platform:",
    "vmbus:",
    "mdio:",
    "sdio:",
)
"""Aliases by which udev finds the drivers of real devices: there are none in a guest."""


@dataclass(frozen=True, slots=True)
class Module:
    """One module.

    Attributes:
        name: its name, with underscores.
        needs: the modules that must be loaded before it.
        aliases: patterns of further names by which the kernel asks for it.
    """

    name: str
    needs: tuple[str, ...]
    aliases: tuple[str, ...]


def read_module(name: str, program: bytes) -> Module:
    """What a module says of itself.

    Args:
        name: the name of its file, without `.ko`.
        program: its contents.

    Raises:
        ValueError: it is no module for a machine of 64 bits.
    """
    if not program.startswith(b"\x7fELF\x02\x01"):
        raise ValueError(f"{name} is no module of 64 bits")
    needs: list[str] = []
    aliases: list[str] = []
    for entry in _section(program, b".modinfo").split(b"\0"):
        key, _, value = entry.decode(errors="replace").partition("=")
        if key == "depends":
            needs += [_plain(each) for each in value.split(",") if each]
        elif key == "softdep" and value.startswith("pre:"):
            needs += [_plain(each) for each in value[4:].split("post:")[0].split()]
        elif key == "alias" and not value.startswith(_OF_DEVICES):
            aliases.append(_plain(value))
    return Module(_plain(name), tuple(needs), tuple(aliases))


def load_order(modules: Mapping[str, Module], name: str) -> tuple[str, ...]:
    """The modules to load for one, itself the last; what is built into the kernel is not among them.

    Args:
        modules: all there are, by name.
        name: which is wanted.
    """
    order: dict[str, None] = {}
    _visit(modules, name, order, frozenset())
    return tuple(order)


def index(modules: Mapping[str, Module], paths: Mapping[str, str]) -> str:
    """What data/init.c reads to load what the kernel asks for: a line for each name and alias.

    Args:
        modules: all there are, by name.
        paths: where each of them is in the guest.
    """
    lines = []
    for name, module in sorted(modules.items()):
        files = " ".join(paths[each] for each in load_order(modules, name))
        lines += [f"{alias} {files}\n" for alias in (name, *module.aliases) if " " not in alias]
    return "".join(lines)


def _visit(
    modules: Mapping[str, Module], name: str, order: dict[str, None], above: frozenset[str]
) -> None:
    if name not in modules or name in order or name in above:
        return
    for each in modules[name].needs:
        _visit(modules, each, order, above | {name})
    order[name] = None


def _plain(name: str) -> str:
    """A name as it is compared: the kernel does not tell dashes from underscores."""
    return name.replace("-", "_")


def _section(program: bytes, wanted: bytes) -> bytes:
    header = _HEADER.unpack_from(program)
    sections, (size, count, names) = header[5], header[10:13]
    table = [_SECTION.unpack_from(program, sections + n * size) for n in range(count)]
    for name, _, _, _, at, length, *_ in table:
        start = table[names][4] + name
        if program[start : program.index(b"\0", start)] == wanted:
            return program[at : at + length]
    return b""
