"""Loads a name that `patchbay` exports when it is first asked for (PEP 562).

The functions have other names here: the import system asks a module for attributes of its own.
"""

from __future__ import annotations

import importlib
import sys


def attribute(name: str) -> object:
    """A public name of the package."""
    from patchbay.exports import ALL, HOME, MODULES

    package = sys.modules["patchbay"]
    value: object
    if name == "__all__":
        value = list(ALL)
    elif name in MODULES:
        value = importlib.import_module(f"patchbay.{name}")
    elif name in HOME:
        value = getattr(importlib.import_module(HOME[name]), name)
    else:
        message = f"module 'patchbay' has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=package)
    setattr(package, name, value)
    return value


def names() -> list[str]:
    """The names that the package has."""
    from patchbay.exports import ALL

    return sorted({*vars(sys.modules["patchbay"]), *ALL})
