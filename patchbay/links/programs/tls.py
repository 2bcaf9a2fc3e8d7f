"""The ClientHello with which TLS begins, as far as it is in one segment (RFC 8446, 4.1.2)."""

from __future__ import annotations

from dataclasses import dataclass

from patchbay.links.programs.reading import Reader, Truncated

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43
"""Extensions (RFC 6066, 3; RFC 7301, 3.1; RFC 8446, 4.2.1)."""
_HOST_NAME = 0


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says first in TLS.

    Attributes:
        version: the version in its old place: 0x0303 for TLS 1.2 and 1.3.
        versions: those of the extension `supported_versions`: 0x0304 is TLS 1.3.
        cipher_suites: their numbers (IANA).
        server_name: the name of the server that is wanted (SNI); None if none is told here.
        alpn: protocols that the client speaks, such as `h2`.
        complete: whether all of it is in this segment. If not, the rest is not told.
    """

    version: int
    versions: tuple[int, ...]
    cipher_suites: tuple[int, ...]
    server_name: str | None
    alpn: tuple[str, ...]
    complete: bool


def client_hello(segment: bytes) -> ClientHello | None:
    """The ClientHello at the beginning of a TCP segment's payload; None if there is none."""
    reader = Reader(segment)
    try:
        if reader.number(1) != _HANDSHAKE or reader.number(1) != 3:
            return None
        reader.take(1)
        size = reader.number(2)
        if reader.number(1) != _CLIENT_HELLO:
            return None
        length = reader.number(3)
        body = reader.take(min(length, size - 4, reader.left)) if size >= 4 else b""
        return _hello(Reader(body), whole=len(body) == length)
    except Truncated:
        return None


def _hello(reader: Reader, *, whole: bool) -> ClientHello:
    """Read a hello.

    Raises:
        Truncated: it ends before its extensions.
    """
    version = reader.number(2)
    reader.take(32)  # its random bytes
    reader.vector(1)  # the id of a session
    suites = reader.vector(2)
    reader.vector(1)  # compressions
    versions: tuple[int, ...] = ()
    name: str | None = None
    protocols: tuple[str, ...] = ()
    try:
        end = reader.number(2) + reader.at if reader.left else reader.at
        while reader.at < end:
            kind, content = reader.number(2), reader.vector(2)
            if kind == _SERVER_NAME:
                name = _server_name(Reader(content))
            elif kind == _ALPN:
                protocols = _protocols(content)
            elif kind == _SUPPORTED_VERSIONS:
                versions = _numbers(Reader(content).vector(1))
    except Truncated:
        whole = False
    return ClientHello(version, versions, _numbers(suites), name, protocols, whole)


def _numbers(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[at : at + 2]) for at in range(0, len(data) - 1, 2))


def _server_name(reader: Reader) -> str | None:
    names = Reader(reader.vector(2))
    while names.left:
        kind, name = names.number(1), names.vector(2)
        if kind == _HOST_NAME:
            return name.decode("ascii", "backslashreplace")
    return None


def _protocols(content: bytes) -> tuple[str, ...]:
    reader = Reader(Reader(content).vector(2))
    found = []
    while reader.left:
        found.append(reader.vector(1).decode("ascii", "backslashreplace"))
    return tuple(found)
