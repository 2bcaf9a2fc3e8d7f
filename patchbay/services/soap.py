"""SOAP as UPnP speaks it (UPnP Device Architecture 1.0, 3): actions by name, with text in and out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import TypeVar
from xml.etree import ElementTree

from patchbay.services.http import Request, response

XML = 'text/xml; charset="utf-8"'

Arguments = Mapping[str, str]
_T = TypeVar("_T")
Actions = Mapping[str, Callable[[Arguments, IPv4Address, _T], Arguments]]
"""From arguments, the address of who asks and a router to what is told."""


class Fault(Exception):
    """An error of UPnP: its number and its name."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def answer(request: Request, client: IPv4Address, actions: Actions[_T], router: _T) -> bytes:
    """What is answered to a request for an action."""
    service, _, name = request.headers.get("soapaction", "").strip('"').partition("#")
    try:
        action = actions.get(name)
        if action is None:
            raise Fault(401, "Invalid Action")
        told = action(_arguments(request.body), client, router)
    except Fault as fault:
        page = _envelope(
            "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>"
            '<detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0">'
            f"<errorCode>{fault.code}</errorCode>"
            f"<errorDescription>{fault}</errorDescription></UPnPError></detail></s:Fault>"
        )
        return response(HTTPStatus.INTERNAL_SERVER_ERROR, page, kind=XML)
    values = "".join(f"<{key}>{escape(value, quote=False)}</{key}>" for key, value in told.items())
    page = _envelope(f'<u:{name}Response xmlns:u="{service}">{values}</u:{name}Response>')
    return response(HTTPStatus.OK, page, kind=XML)


def number(arguments: Arguments, name: str, most: int, least: int = 0) -> int:
    """An argument that is a number within limits."""
    text = arguments.get(name, "")
    if not text.isdecimal() or not least <= int(text) <= most:
        raise Fault(402, "Invalid Args")
    return int(text)


def service(actions: Iterable[str]) -> bytes:
    """The page with the actions of a service, without their arguments: clients know them."""
    named = "".join(f"<action><name>{name}</name></action>" for name in actions)
    page = (
        '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0">'
        "<specVersion><major>1</major><minor>0</minor></specVersion>"
        f"<actionList>{named}</actionList></scpd>"
    )
    return response(HTTPStatus.OK, page, kind=XML)


def _arguments(body: bytes) -> Arguments:
    try:
        tree = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise Fault(402, "Invalid Args") from None
    return {each.tag.rpartition("}")[2]: each.text or "" for each in tree.iter()}


def _envelope(body: str) -> str:
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )
