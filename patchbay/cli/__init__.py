"""The command `patchbay`: each of its commands is a module of this package."""

from patchbay.cli.main import main as main
