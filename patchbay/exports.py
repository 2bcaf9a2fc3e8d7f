"""Everything that the package `patchbay` exports; loaded with the first name that is used."""

from actors.errors import (
    CallTimeout,
    HostNotCapable,
    InternalError,
    NodeDied,
    NodeGone,
    PatchbayError,
    RemoteError,
    TravelError,
)
from actors.exceptions import RemoteTraceback
from actors.output import OutputLine
from actors.process import Process
from actors.tasks import Task
from patchbay import clock
from patchbay.aio import (
    AsyncCapture,
    AsyncDevice,
    AsyncIface,
    AsyncIx,
    AsyncLab,
    AsyncNode,
    AsyncPartition,
    AsyncProcess,
    AsyncReflector,
    AsyncRegion,
    AsyncRouter,
    AsyncStunServer,
)
from patchbay.capture.handle import Capture, CapturedInterface, CaptureStats
from patchbay.director import RefusedByKernel
from patchbay.errors import ConfigError, Problem
from patchbay.events import Event
from patchbay.fidelity import Fidelity
from patchbay.iface import Iface, InterfaceStats
from patchbay.lab import Lab
from patchbay.link_stats import LinkStats
from patchbay.links.choice import EngineChoice
from patchbay.meter.path_mtu import NarrowLink, PathMtu
from patchbay.meter.throughput import Delays, IperfResult
from patchbay.meter.traceroute import Hop, TracerouteResult
from patchbay.nat_table import NatEntry
from patchbay.nodes import Device, Ix, Router
from patchbay.partitions import Partition
from patchbay.ping import PingResult
from patchbay.reflectors import Observed, Reflector
from patchbay.regions import Region
from patchbay.stun.attributes import Endpoint
from patchbay.stun.discovery import NatBehaviour
from patchbay.stun_server import StunServer
from patchbay.values import (
    DelayTable,
    DropList,
    Firewall,
    FirewallAction,
    FirewallConfig,
    FirewallDirection,
    FirewallProtocol,
    FirewallRule,
    FlowMatch,
    FourState,
    GilbertElliott,
    IfaceConfig,
    IpSupport,
    Ipv6Provisioning,
    JitterDistribution,
    LinkCondition,
    LinkEngine,
    Nat,
    NatConfig,
    NatFiltering,
    NatMapping,
    NatPooling,
    NatPorts,
    NatTimeouts,
    NatV6Mode,
    PortForward,
    PortMapping,
    PortPolicy,
    QueueDiscipline,
    RegionLink,
    RouterPreset,
    Slots,
)
from patchbay.version import __version__

__all__ = [
    "AsyncCapture",
    "AsyncDevice",
    "AsyncIface",
    "AsyncIx",
    "AsyncLab",
    "AsyncNode",
    "AsyncPartition",
    "AsyncProcess",
    "AsyncReflector",
    "AsyncRegion",
    "AsyncRouter",
    "AsyncStunServer",
    "CallTimeout",
    "Capture",
    "CaptureStats",
    "CapturedInterface",
    "ConfigError",
    "DelayTable",
    "Delays",
    "Device",
    "DropList",
    "Endpoint",
    "EngineChoice",
    "Event",
    "Fidelity",
    "Firewall",
    "FirewallAction",
    "FirewallConfig",
    "FirewallDirection",
    "FirewallProtocol",
    "FirewallRule",
    "FlowMatch",
    "FourState",
    "GilbertElliott",
    "Hop",
    "HostNotCapable",
    "Iface",
    "IfaceConfig",
    "InterfaceStats",
    "InternalError",
    "IpSupport",
    "IperfResult",
    "Ipv6Provisioning",
    "Ix",
    "JitterDistribution",
    "Lab",
    "LinkCondition",
    "LinkEngine",
    "LinkStats",
    "NarrowLink",
    "Nat",
    "NatBehaviour",
    "NatConfig",
    "NatEntry",
    "NatFiltering",
    "NatMapping",
    "NatPooling",
    "NatPorts",
    "NatTimeouts",
    "NatV6Mode",
    "NodeDied",
    "NodeGone",
    "Observed",
    "OutputLine",
    "Partition",
    "PatchbayError",
    "PathMtu",
    "PingResult",
    "PortForward",
    "PortMapping",
    "PortPolicy",
    "Problem",
    "Process",
    "QueueDiscipline",
    "Reflector",
    "RefusedByKernel",
    "Region",
    "RegionLink",
    "RemoteError",
    "RemoteTraceback",
    "Router",
    "RouterPreset",
    "Slots",
    "StunServer",
    "Task",
    "TracerouteResult",
    "TravelError",
    "__version__",
    "clock",
]
