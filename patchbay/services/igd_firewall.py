"""The part of UPnP-IGD that opens ways in over IPv6 (WANIPv6FirewallControl:1): actions, pure."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address

from patchbay.services.mapper import LONGEST, PinholeKeeper, PinholeLease, Refused
from patchbay.services.soap import Actions, Arguments, Fault, number
from patchbay.values import Pinhole

SERVICE = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1"
_PROTOCOLS = {"6": "tcp", "17": "udp"}
_ANY = "65535"
_MOST_PORT, _MOST_NUMBER = 65_535, 2**16 - 1
_REFUSED = {
    Refused.NO_RESOURCES: Fault(701, "PinholeSpaceExhausted"),
    Refused.NOT_AUTHORIZED: Fault(606, "Action not authorized"),
}


def _status(_: Arguments, __: IPv4Address, wall: PinholeKeeper) -> Arguments:
    return {"FirewallEnabled": str(int(wall.enabled)), "InboundPinholeAllowed": "1"}


def _add(arguments: Arguments, client: IPv4Address, wall: PinholeKeeper) -> Arguments:
    if not wall.enabled:
        raise Fault(702, "FirewallDisabled")
    text = arguments.get("Protocol", "")
    if text == _ANY:
        raise Fault(707, "ProtocolWildcardingNotAllowed")
    number(arguments, "Protocol", _MOST_PORT)
    if text not in _PROTOCOLS:
        raise Fault(705, "ProtocolNotSupported")
    port = number(arguments, "InternalPort", _MOST_PORT)
    if port == 0:
        raise Fault(706, "InternalPortWildcardingNotAllowed")
    host, remote = _address(arguments, "InternalClient"), _address(arguments, "RemoteHost")
    if host is None:
        raise Fault(708, "WildCardNotPermittedInSrcIP")
    pinhole = Pinhole(
        protocol=_PROTOCOLS[text],
        host=host,
        port=port,
        remote=remote,
        remote_port=number(arguments, "RemotePort", _MOST_PORT) or None,
    )
    lifetime = number(arguments, "LeaseTime", LONGEST, 1)
    if not wall.is_host(client, host):
        raise Fault(606, "Action not authorized")
    return {"UniqueID": str(_done(wall.open(pinhole, lifetime)).number)}


def _update(arguments: Arguments, client: IPv4Address, wall: PinholeKeeper) -> Arguments:
    lease = _find(arguments, client, wall)
    _done(wall.open(lease.pinhole, number(arguments, "NewLeaseTime", LONGEST, 1), lease.nonce))
    return {}


def _delete(arguments: Arguments, client: IPv4Address, wall: PinholeKeeper) -> Arguments:
    wall.shut(_find(arguments, client, wall).number)
    return {}


def _outbound(arguments: Arguments, _: IPv4Address, wall: PinholeKeeper) -> Arguments:
    text = arguments.get("Protocol", "")
    if text not in _PROTOCOLS:
        raise Fault(705, "ProtocolNotSupported")
    return {"OutboundPinholeTimeout": str(wall.outbound_timeout(_PROTOCOLS[text]))}


ACTIONS: Actions[PinholeKeeper] = {
    "GetFirewallStatus": _status,
    "GetOutboundPinholeTimeout": _outbound,
    "AddPinhole": _add,
    "UpdatePinhole": _update,
    "DeletePinhole": _delete,
}


def _address(arguments: Arguments, name: str) -> IPv6Address | None:
    """An address; None for any, which is written as nothing."""
    text = arguments.get(name, "")
    try:
        return IPv6Address(text) if text not in ("", "*") else None
    except AddressValueError:
        raise Fault(402, "Invalid Args") from None


def _find(arguments: Arguments, client: IPv4Address, wall: PinholeKeeper) -> PinholeLease:
    wanted = number(arguments, "UniqueID", _MOST_NUMBER)
    for lease in wall.pinholes():
        if lease.number == wanted:
            if not wall.is_host(client, lease.pinhole.host):
                raise Fault(606, "Action not authorized")
            return lease
    raise Fault(704, "NoSuchEntry")


def _done(made: PinholeLease | Refused) -> PinholeLease:
    if isinstance(made, Refused):
        raise _REFUSED.get(made, Fault(501, "ActionFailed"))
    return made
