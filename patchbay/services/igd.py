"""UPnP-IGD 1 as a router answers it (WANIPConnection:1): pages and SOAP, pure but for the router."""

from __future__ import annotations

from http import HTTPStatus
from ipaddress import AddressValueError, IPv4Address

from patchbay.services import igd_firewall, soap
from patchbay.services.http import Request, response
from patchbay.services.mapper import Lease, Mapper, PinholeKeeper, Refused
from patchbay.services.soap import XML, Actions, Arguments, Fault
from patchbay.services.ssdp import device_id

PORT = 49_000
DESCRIPTION = "/description.xml"
_CONTROL, _SERVICE_PAGE = "/control", "/service.xml"
_WALL_CONTROL, _WALL_PAGE = "/firewall", "/firewall.xml"
_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
_LINK_SERVICE = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1"
_MOST_PORT = 65_535


def answer(
    request: Request, client: str, own: IPv4Address, router: Mapper, wall: PinholeKeeper | None
) -> bytes:
    """What is answered to a request.

    Args:
        request: what was asked.
        client: the address of who asks.
        own: the router's address on its LAN.
        router: what maps ports.
        wall: what opens ways in over IPv6; None where there is no IPv6.
    """
    path = request.target
    if request.method == "GET" and path == DESCRIPTION:
        return response(HTTPStatus.OK, _description(own, wall is not None), kind=XML)
    if request.method == "GET" and path == _SERVICE_PAGE:
        return soap.service(_ACTIONS)
    if request.method == "POST" and path == _CONTROL:
        return soap.answer(request, IPv4Address(client), _ACTIONS, router)
    if request.method == "GET" and path == _WALL_PAGE and wall is not None:
        return soap.service(igd_firewall.ACTIONS)
    if request.method == "POST" and path == _WALL_CONTROL and wall is not None:
        return soap.answer(request, IPv4Address(client), igd_firewall.ACTIONS, wall)
    return response(HTTPStatus.NOT_FOUND, "There is no such page.", kind="text/plain")


def _protocol(arguments: Arguments) -> str:
    protocol = arguments.get("NewProtocol", "").lower()
    if protocol not in ("tcp", "udp"):
        raise Fault(402, "Invalid Args")
    return protocol


def _add(arguments: Arguments, client: IPv4Address, router: Mapper) -> Arguments:
    protocol = _protocol(arguments)
    port = soap.number(arguments, "NewExternalPort", _MOST_PORT, 1)
    host_port = soap.number(arguments, "NewInternalPort", _MOST_PORT, 1)
    lifetime = soap.number(arguments, "NewLeaseDuration", 2**32 - 1)
    try:
        host = IPv4Address(arguments.get("NewInternalClient", ""))
    except AddressValueError:
        raise Fault(402, "Invalid Args") from None
    if host != client:
        raise Fault(606, "Action not authorized")
    if arguments.get("NewRemoteHost") not in ("", None, "*"):
        raise Fault(726, "RemoteHostOnlySupportsWildcard")
    description = arguments.get("NewPortMappingDescription", "")
    made = router.map(
        protocol, host, host_port, port, lifetime or None, exact=True, description=description
    )
    if isinstance(made, Refused):
        raise (
            Fault(501, "ActionFailed")
            if made is Refused.FAILED
            else Fault(718, "ConflictInMappingEntry")
        )
    return {}


def _delete(arguments: Arguments, client: IPv4Address, router: Mapper) -> Arguments:
    lease = _find(arguments, router)
    if lease.mapping.host != client:
        raise Fault(606, "Action not authorized")
    router.unmap(lease.mapping.protocol, lease.mapping.port)
    return {}


def _find(arguments: Arguments, router: Mapper) -> Lease:
    key = _protocol(arguments), soap.number(arguments, "NewExternalPort", _MOST_PORT, 1)
    for lease in router.leases():
        if (lease.mapping.protocol, lease.mapping.port) == key:
            return lease
    raise Fault(714, "NoSuchEntryInArray")


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
    index, leases = soap.number(arguments, "NewPortMappingIndex", 2**16), router.leases()
    if index >= len(leases):
        raise Fault(713, "SpecifiedArrayIndexInvalid")
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


_ACTIONS: Actions[Mapper] = {
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


def _description(own: IPv4Address, v6: bool) -> str:
    """The tree of devices that a gateway is, with the services that matter at its end."""
    connection = _offered(_SERVICE, "WANIPConn1", _CONTROL, _SERVICE_PAGE)
    if v6:
        connection += _offered(igd_firewall.SERVICE, "WANIPv6FC1", _WALL_CONTROL, _WALL_PAGE)
    inner = _device("WANConnectionDevice", own, f"<serviceList>{connection}</serviceList>")
    # Clients take nothing for a gateway without this one.
    link = _offered(_LINK_SERVICE, "WANCommonIFC1", _CONTROL, _SERVICE_PAGE)
    parts = f"<serviceList>{link}</serviceList><deviceList>{inner}</deviceList>"
    middle = _device("WANDevice", own, parts)
    outer = _device("InternetGatewayDevice", own, f"<deviceList>{middle}</deviceList>")
    return (
        '<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">'
        f"<specVersion><major>1</major><minor>0</minor></specVersion>{outer}</root>"
    )


def _offered(service: str, name: str, control: str, page: str) -> str:
    return (
        f"<service><serviceType>{service}</serviceType>"
        f"<serviceId>urn:upnp-org:serviceId:{name}</serviceId>"
        f"<controlURL>{control}</controlURL><eventSubURL>/events</eventSubURL>"
        f"<SCPDURL>{page}</SCPDURL></service>"
    )


def _device(kind: str, own: IPv4Address, inside: str) -> str:
    return (
        f"<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>"
        f"<friendlyName>patchbay {kind}</friendlyName><manufacturer>patchbay</manufacturer>"
        f"<modelName>router</modelName><UDN>{device_id(own)}</UDN>{inside}</device>"
    )
