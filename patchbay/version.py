"""The version of the distribution: said here, read by the build and by `patchbay --version`."""

__version__ = "0.1.0"
