"""What a guest runs on: which machine it is, and by which means QEMU is fast there. Nothing is run."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

from patchbay.guest.options import Accelerator, Guest


@dataclass(frozen=True, slots=True)
class Architecture:
    """A kind of processor, by its several names.

    Attributes:
        name: as Linux says it.
        debian: as Debian's packages do.
        machine: the machine that QEMU makes of it.
        console: where the kernel writes its messages.
    """

    name: str
    debian: str
    machine: str
    console: str

    @property
    def emulator(self) -> str:
        """The program of QEMU for it."""
        return f"qemu-system-{self.name}"


ARCHITECTURES = (
    Architecture("x86_64", "amd64", "q35,usb=off,vmport=off", "ttyS0"),
    Architecture("aarch64", "arm64", "virt", "ttyAMA0"),
)
"""Those that QEMU guests exist for."""


def architecture_of(name: str) -> Architecture | None:
    """The one that a system or a package names so, such as `arm64`; None for others."""
    wanted = name.lower()
    return next((each for each in ARCHITECTURES if wanted in (each.name, each.debian)), None)


@dataclass(frozen=True, slots=True)
class Host:
    """What there is outside.

    Attributes:
        system: `Linux`, or `Darwin` for macOS.
        architecture: its processor's, as the system names it.
        has_kvm: whether this process may use Linux's virtual machines.
    """

    system: str
    architecture: str
    has_kvm: bool

    @property
    def has_uml(self) -> bool:
        """Whether User-mode Linux exists for it."""
        return self.system == "Linux" and architecture_of(self.architecture) == ARCHITECTURES[0]

    def accelerators(self, guest: Guest, architecture: Architecture) -> tuple[Accelerator, ...]:
        """By which means QEMU may run a guest of an architecture, the one to be tried first first.

        Only an emulated processor (`tcg`) has another time than the world's.
        """
        if guest.accelerator != "auto":
            return (guest.accelerator,)
        if guest.is_virtual or architecture_of(self.architecture) != architecture:
            return ("tcg",)
        if self.system == "Darwin":
            return ("hvf", "tcg")
        return ("kvm", "tcg") if self.has_kvm else ("tcg",)


def this_host() -> Host:
    """The one that this process runs on."""
    return Host(platform.system(), platform.machine(), os.access("/dev/kvm", os.R_OK | os.W_OK))
