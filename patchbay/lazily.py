"""Loads what `patchbay` exports when it is first asked for any of it (PEP 562)."""

from __future__ import annotations

import importlib
import sys


def __getattr__(name: str) -> object:
    """A public name of the package."""
    package = sys.modules["patchbay"]
    if not name.startswith("__") or name in ("__all__", "__version__"):
        exports = importlib.import_module("patchbay.exports")
        public = {each: getattr(exports, each) for each in ("__all__", *exports.__all__)}
        vars(package).update(public)
        if name in public:
            return public[name]
    message = f"module 'patchbay' has no attribute {name!r}"
    raise AttributeError(message, name=name, obj=package)


def __dir__() -> list[str]:
    """The names that the package has."""
    exports = importlib.import_module("patchbay.exports")
    return sorted({*vars(sys.modules["patchbay"]), *exports.__all__})
