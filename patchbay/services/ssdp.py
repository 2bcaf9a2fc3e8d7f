"""SSDP as a router answers it (UPnP Device Architecture 1.0, 1.2): pure, from bytes to bytes."""

from __future__ import annotations

from ipaddress import IPv4Address

GROUP, PORT = "239.255.255.250", 1900
SERVER = "Linux UPnP/1.0 patchbay/1.0"
_GATEWAY = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
_TARGETS = (
    "upnp:rootdevice",
    _GATEWAY,
    "urn:schemas-upnp-org:device:WANDevice:1",
    "urn:schemas-upnp-org:device:WANConnectionDevice:1",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1",
)


def device_id(own: IPv4Address) -> str:
    """What tells a router's description from another's: made of its address."""
    return f"uuid:7061-7463-6862-6179-{int(own):012x}"


def answer(data: bytes, own: IPv4Address, location: str) -> bytes | None:
    """What is answered to a search; None for anything else, and for what is not here.

    Args:
        data: the datagram.
        own: the router's address on its LAN.
        location: where its description is.
    """
    lines = data.decode("latin-1").split("\r\n")
    if lines[0] != "M-SEARCH * HTTP/1.1":
        return None
    pairs = [line.partition(":") for line in lines[1:] if line]
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    wanted = headers.get("st", "")
    if headers.get("man") != '"ssdp:discover"' or wanted not in ("ssdp:all", *_TARGETS):
        return None
    told = _GATEWAY if wanted == "ssdp:all" else wanted
    return "\r\n".join(
        (
            "HTTP/1.1 200 OK",
            "CACHE-CONTROL: max-age=120",
            f"ST: {told}",
            f"USN: {device_id(own)}::{told}",
            "EXT:",
            f"SERVER: {SERVER}",
            f"LOCATION: {location}",
            "",
            "",
        )
    ).encode()
