"""Everything that the package `patchbay` exports, and the module that each name comes from.

`__init__.pyi` tells type checkers the same; the tests compare the two. A name is loaded when it is
first used, with what it needs and no more: a program waits for what it uses.
"""

from collections.abc import Mapping
from types import MappingProxyType

NAMES = {
    "actors.errors": (
        "CallTimeout",
        "HostNotCapable",
        "InternalError",
        "NodeDied",
        "NodeGone",
        "PatchbayError",
        "RemoteError",
        "TravelError",
    ),
    "actors.exceptions": ("RemoteTraceback",),
    "actors.output": ("OutputLine",),
    "actors.process": ("Process",),
    "actors.tasks": ("Task",),
    "patchbay.aio": (
        "AsyncCapture",
        "AsyncDevice",
        "AsyncIface",
        "AsyncIx",
        "AsyncLab",
        "AsyncLinkRecording",
        "AsyncNode",
        "AsyncPartition",
        "AsyncProcess",
        "AsyncReflector",
        "AsyncRegion",
        "AsyncRouter",
        "AsyncStunServer",
    ),
    "patchbay.capture.handle": (
        "Capture",
        "CapturedInterface",
        "CaptureStats",
    ),
    "patchbay.errors": (
        "ConfigError",
        "PacketProgramFailed",
        "Problem",
        "ProgramFailure",
        "RefusedByKernel",
    ),
    "patchbay.events": ("Event",),
    "patchbay.fidelity": ("Fidelity",),
    "patchbay.iface": (
        "Iface",
        "InterfaceStats",
    ),
    "patchbay.lab": ("Lab",),
    "patchbay.link_stats": ("LinkStats",),
    "patchbay.links.choice": ("EngineChoice",),
    "patchbay.links.programs.dissection": (
        "EthernetHeader",
        "IcmpHeader",
        "IpHeader",
        "TcpHeader",
        "UdpHeader",
    ),
    "patchbay.links.programs.packet": ("Packet",),
    "patchbay.links.programs.quic": (
        "QuicHeader",
        "QuicType",
    ),
    "patchbay.links.programs.tls": ("ClientHello",),
    "patchbay.meter.path_mtu": (
        "NarrowLink",
        "PathMtu",
    ),
    "patchbay.meter.throughput": (
        "Delays",
        "IperfResult",
    ),
    "patchbay.meter.traceroute": (
        "Hop",
        "TracerouteResult",
    ),
    "patchbay.nat_table": ("NatEntry",),
    "patchbay.nodes": (
        "Device",
        "Ix",
        "Router",
    ),
    "patchbay.partitions": ("Partition",),
    "patchbay.ping": ("PingResult",),
    "patchbay.reflectors": (
        "Observed",
        "Reflector",
    ),
    "patchbay.regions": ("Region",),
    "patchbay.stun.attributes": ("Endpoint",),
    "patchbay.stun.discovery": ("NatBehaviour",),
    "patchbay.stun_server": ("StunServer",),
    "patchbay.link_recording": ("LinkRecording",),
    "patchbay.traces": ("load_trace", "save_trace"),
    "patchbay.values": (
        "DelayTable",
        "DeliveryOpportunities",
        "DropList",
        "Firewall",
        "FirewallAction",
        "FirewallConfig",
        "FirewallDirection",
        "FirewallProtocol",
        "FirewallRule",
        "FlowMatch",
        "FourState",
        "GilbertElliott",
        "Hold",
        "IfaceConfig",
        "IpSupport",
        "Ipv6Provisioning",
        "JitterDistribution",
        "LinkCondition",
        "LinkEngine",
        "Nat",
        "NatConfig",
        "NatFiltering",
        "NatMapping",
        "NatPooling",
        "NatPorts",
        "NatTimeouts",
        "NatV6Mode",
        "PacketProgram",
        "Pinhole",
        "PortForward",
        "PortMapping",
        "PortPolicy",
        "QueueDiscipline",
        "Ramp",
        "RegionLink",
        "RouterPreset",
        "Schedule",
        "Slots",
        "Trace",
    ),
    "patchbay.version": ("__version__",),
}
"""The names that each module gives."""

MODULES = ("clock",)
"""The modules below `patchbay` that are public themselves."""

HOME: Mapping[str, str] = MappingProxyType(
    {name: module for module, names in NAMES.items() for name in names}
)
"""The module that a name comes from."""

ALL = sorted((*HOME, *MODULES))
