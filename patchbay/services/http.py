"""As much of HTTP/1.1 (RFC 9112) as a router's pages need: pure, from bytes to bytes.

Each connection is for one request, and is closed after its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

MOST_BYTES = 1 << 16
"""Of a request, head and body."""


class BadRequest(ValueError):
    """These bytes are no request."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: such as `GET`.
        target: what was asked for: a path, or a whole URL.
        headers: by their names in lower case.
        body: what came with it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


def parse(data: bytes) -> Request | None:
    """The request that was received, or None if some of it is still to come.

    Raises:
        BadRequest: it will never be one.
    """
    if len(data) > MOST_BYTES:
        raise BadRequest("the request is too long")
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(f"{first!r} is no request line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(f"{line!r} is no header")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest(f"{length!r} is no length")
    if len(body) < int(length):
        return None
    return Request(words[0], words[1], headers, body[: int(length)])


def response(
    status: HTTPStatus,
    body: str = "",
    *,
    kind: str = "text/html; charset=utf-8",
    headers: Mapping[str, str] | None = None,
    head_only: bool = False,
) -> bytes:
    """An answer, after which the connection is closed.

    Args:
        status: how it went.
        body: the page.
        kind: what the page is.
        headers: more of them.
        head_only: leave the page out, as for a HEAD request.
    """
    data = body.encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(data)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head_only else data)
