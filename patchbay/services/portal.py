"""The page of a captive portal: pure, from a request to what is answered."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import IPv4Address

from patchbay.rules.portal import PORT
from patchbay.services.http import Request, response

PAGE = """<!DOCTYPE html>
<html lang="en">
<title>Sign in to this network</title>
<h1>Sign in to this network</h1>
<p>Nothing of the world is seen from here until somebody releases this device.</p>
</html>
"""


def url(request: Request) -> str:
    """What a request asked the world for."""
    if request.target.startswith("http://"):
        return request.target
    return f"http://{request.headers.get('host', '')}{request.target}"


def answer(request: Request, own: IPv4Address) -> bytes:
    """The page for who asks the router; for who asks the world, the way there.

    Args:
        request: what was asked.
        own: the router's address on its LAN.
    """
    head_only = request.method == "HEAD"
    here = f"{own}:{PORT}"
    if request.headers.get("host") == here:
        return response(HTTPStatus.OK, PAGE, head_only=head_only)
    # Nobody shall keep in mind that this is what the world answers.
    headers = {"Location": f"http://{here}/", "Cache-Control": "no-store"}
    return response(HTTPStatus.FOUND, PAGE, headers=headers, head_only=head_only)
