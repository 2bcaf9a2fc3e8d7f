"""UPnP-IGD 1 as a router answers it (WANIPConnection:1): pages and SOAP, pure but for the router."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from http import HTTPStatus
from ipaddress import AddressValueError, IPv4Address
from xml.etree import ElementTree

from patchbay.services.http import Request, response
from patchbay.services.mapper import Lease, Mapper, Refused
from patchbay.services.ssdp import device_id

PORT = 49_000
DESCRIPTION = "/description.xml"
_CONTROL, _SERVICE_PAGE = "/control", "/service.xml"
_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_LINK_SERVICE = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
_XML = 'text/xml; charset="utf-8"'
_MOST_PORT = 65_535

Arguments = Mapping[str, str]


class _Fault(Exception):
    """An error of UPnP: its number and its name."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def answer(request: Request, client: str, own: IPv4Address, router: Mapper) -> bytes:
    """What is answered to a request.

    Args:
        request: what was asked.
        client: the address of who asks.
        own: the router's address on its LAN.
        router: what maps ports.
    """
    path = request.target
    if request.method == "GET" and path == DESCRIPTION:
        return response(HTTPStatus.OK, _description(own), kind=_XML)
    if request.method == "GET" and path == _SERVICE_PAGE:
        return response(HTTPStatus.OK, _service(), kind=_XML)
    if request.method == "POST" and path == _CONTROL:
        return _control(request, IPv4Address(client), router)
    return response(HTTPStatus.NOT_FOUND, "There is no such page.", kind="text/plain")


def _control(request: Request, client: IPv4Address, router: Mapper) -> bytes:
    service, _, name = request.headers.get("soapaction", "").strip('"').partition("#")
    try:
        action = _ACTIONS.get(name)
        if action is None:
            raise _Fault(401, "Invalid Action")
        told = action(_arguments(request.body), client, router)
    except _Fault as fault:
        page = _envelope(
            "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>"
            '<detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0">'
            f"<errorCode>{fault.code}</errorCode>"
            f"<errorDescription>{fault}</errorDescription></UPnPError></detail></s:Fault>"
        )
        return response(HTTPStatus.INTERNAL_SERVER_ERROR, page, kind=_XML)
    values = "".join(f"<{key}>{escape(value, quote=False)}</{key}>" for key, value in told.items())
    page = _envelope(f'<u:{name}Response xmlns:u="{service}">{values}</u:{name}Response>')
    return response(HTTPStatus.OK, page, kind=_XML)


def _arguments(body: bytes) -> Arguments:
    try:
        tree = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise _Fault(402, "Invalid Args") from None
    return {each.tag.rpartition("}")[2]: each.text or "" for each in tree.iter()}


def _number(arguments: Arguments, name: str, most: int, least: int = 0) -> int:
    text = arguments.get(name, "")
    if not text.isdecimal() or not least <= int(text) <= most:
        raise _Fault(402, "Invalid Args")
    return int(text)


def _protocol(arguments: Arguments) -> str:
    protocol = arguments.get("NewProtocol", "").lower()
    if protocol not in ("tcp", "udp"):
        raise _Fault(402, "Invalid Args")
    return protocol


def _add(arguments: Arguments, client: IPv4Address, router: Mapper) -> Arguments:
    protocol = _protocol(arguments)
    port = _number(arguments, "NewExternalPort", _MOST_PORT, 1)
    host_port = _number(arguments, "NewInternalPort", _MOST_PORT, 1)
    lifetime = _number(arguments, "NewLeaseDuration", 2**32 - 1)
    try:
        host = IPv4Address(arguments.get("NewInternalClient", ""))
    except AddressValueError:
        raise _Fault(402, "Invalid Args") from None
    if host != client:
        raise _Fault(606, "Action not authorized")
    if arguments.get("NewRemoteHost") not in ("", None, "*"):
        raise _Fault(726, "RemoteHostOnlySupportsWildcard")
    description = arguments.get("NewPortMappingDescription", "")
    made = router.map(
        protocol, host, host_port, port, lifetime or None, exact=True, description=description
    )
    if isinstance(made, Refused):
        raise (
            _Fault(501, "ActionFailed")
            if made is Refused.FAILED
            else _Fault(718, "ConflictInMappingEntry")
        )
    return {}


def _delete(arguments: Arguments, client: IPv4Address, router: Mapper) -> Arguments:
    lease = _find(arguments, router)
    if lease.mapping.host != client:
        raise _Fault(606, "Action not authorized")
    router.unmap(lease.mapping.protocol, lease.mapping.port)
    return {}


def _find(arguments: Arguments, router: Mapper) -> Lease:
    key = _protocol(arguments), _number(arguments, "NewExternalPort", _MOST_PORT, 1)
    for lease in router.leases():
        if (lease.mapping.protocol, lease.mapping.port) == key:
            return lease
    raise _Fault(714, "NoSuchEntryInArray")


def _inside(lease: Lease) -> dict[str, str]:
    return {
        "NewInternalPort": str(lease.mapping.host_port),
        "NewInternalClient": str(lease.mapping.host),
        "NewEnabled": "1",
        "NewPortMappingDescription": lease.description,
        "NewLeaseDuration": str(lease.lifetime or 0),
    }


def _specific(arguments: Arguments, _: IPv4Address, router: Mapper) -> Arguments:
    return _inside(_find(arguments, router))


def _generic(arguments: Arguments, _: IPv4Address, router: Mapper) -> Arguments:
    index, leases = _number(arguments, "NewPortMappingIndex", 2**16), router.leases()
    if index >= len(leases):
        raise _Fault(713, "SpecifiedArrayIndexInvalid")
    mapping = leases[index].mapping
    return {
        "NewRemoteHost": "",
        "NewExternalPort": str(mapping.port),
        "NewProtocol": mapping.protocol.upper(),
        **_inside(leases[index]),
    }


def _external(_: Arguments, __: IPv4Address, router: Mapper) -> Arguments:
    return {"NewExternalIPAddress": str(router.external)}


def _status(_: Arguments, __: IPv4Address, router: Mapper) -> Arguments:
    return {
        "NewConnectionStatus": "Connected",
        "NewLastConnectionError": "ERROR_NONE",
        "NewUptime": str(router.epoch),
    }


def _kind(_: Arguments, __: IPv4Address, ___: Mapper) -> Arguments:
    return {"NewConnectionType": "IP_Routed", "NewPossibleConnectionTypes": "IP_Routed"}


def _link(_: Arguments, __: IPv4Address, ___: Mapper) -> Arguments:
    return {
        "NewWANAccessType": "Ethernet",
        "NewLayer1UpstreamMaxBitRate": "0",
        "NewLayer1DownstreamMaxBitRate": "0",
        "NewPhysicalLinkStatus": "Up",
    }


def _nat(_: Arguments, __: IPv4Address, ___: Mapper) -> Arguments:
    return {"NewRSIPAvailable": "0", "NewNATEnabled": "1"}


_ACTIONS: Mapping[str, Callable[[Arguments, IPv4Address, Mapper], Arguments]] = {
    "AddPortMapping": _add,
    "DeletePortMapping": _delete,
    "GetSpecificPortMappingEntry": _specific,
    "GetGenericPortMappingEntry": _generic,
    "GetExternalIPAddress": _external,
    "GetStatusInfo": _status,
    "GetConnectionTypeInfo": _kind,
    "GetNATRSIPStatus": _nat,
    "GetCommonLinkProperties": _link,
}


def _envelope(body: str) -> str:
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


def _description(own: IPv4Address) -> str:
    """The tree of devices that a gateway is, with the one service that matters at its end."""
    connection = _offered(_SERVICE, "WANIPConn1")
    inner = _device("WANConnectionDevice", own, connection)
    link = _offered(_LINK_SERVICE, "WANCommonIFC1")  # clients take nothing for a gateway without
    middle = _device("WANDevice", own, f"{link}<deviceList>{inner}</deviceList>")
    outer = _device("InternetGatewayDevice", own, f"<deviceList>{middle}</deviceList>")
    return (
        '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">'
        f"<specVersion><major>1</major><minor>0</minor></specVersion>{outer}</root>"
    )


def _offered(service: str, name: str) -> str:
    return (
        f"<serviceList><service><serviceType>{service}</serviceType>"
        f"<serviceId>urn:upnp-org:serviceId:{name}</serviceId>"
        f"<controlURL>{_CONTROL}</controlURL><eventSubURL>/events</eventSubURL>"
        f"<SCPDURL>{_SERVICE_PAGE}</SCPDURL></service></serviceList>"
    )


def _device(kind: str, own: IPv4Address, inside: str) -> str:
    return (
        f"<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>"
        f"<friendlyName>patchbay {kind}</friendlyName><manufacturer>patchbay</manufacturer>"
        f"<modelName>router</modelName><UDN>{device_id(own)}</UDN>{inside}</device>"
    )


def _service() -> str:
    """The actions of the service, without their arguments: clients know them."""
    actions = "".join(f"<action><name>{name}</name></action>" for name in _ACTIONS)
    return (
        '<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0">'
        "<specVersion><major>1</major><minor>0</minor></specVersion>"
        f"<actionList>{actions}</actionList></scpd>"
    )
