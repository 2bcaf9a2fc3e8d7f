"""Debian packages, read without Debian's programs: what is in a `.deb`, an archive of two archives."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

_MAGIC = b"!<arch>\n"
_HEADER = 60
"""Bytes before each member of an `ar` archive: see ar(5). Its name is in the first 16, its length in
ten from the 48th."""


def control(package: bytes) -> dict[str, str]:
    """The fields of a package's description, such as `Version`; of long ones the first line.

    Raises:
        ValueError: it is no package, or packed in a way that this Python cannot read.
    """
    for name, data in _files(package, "control.tar"):
        if name == "control":
            lines = [line for line in data.decode().splitlines() if not line.startswith(" ")]
            return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    raise ValueError("the package has no description")


def files(package: bytes) -> Iterator[tuple[str, bytes]]:
    """The regular files of a package: the path below `/`, and the contents.

    Raises:
        ValueError: it is no package, or packed in a way that this Python cannot read.
    """
    return _files(package, "data.tar")


def _files(package: bytes, member: str) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(_member(package, member)), mode="r:*") as archive:
            for each in archive:
                content = archive.extractfile(each) if each.isreg() else None
                if content is not None:
                    yield each.name.removeprefix("./"), content.read()
    except tarfile.TarError as error:
        raise ValueError(f"this Python cannot unpack it: {error}") from error


def _member(package: bytes, wanted: str) -> bytes:
    if not package.startswith(_MAGIC):
        raise ValueError("it is no Debian package")
    at = len(_MAGIC)
    while at + _HEADER <= len(package):
        header = package[at : at + _HEADER]
        start, length = at + _HEADER, int(header[48:58])
        if header[:16].decode().startswith(wanted):
            return package[start : start + length]
        at = start + length + length % 2
    raise ValueError(f"it has no {wanted}")
