from actors.errors import CallTimeout as CallTimeout
from actors.errors import HostNotCapable as HostNotCapable
from actors.errors import InternalError as InternalError
from actors.errors import NodeDied as NodeDied
from actors.errors import NodeGone as NodeGone
from actors.errors import PatchbayError as PatchbayError
from actors.errors import RemoteError as RemoteError
from actors.errors import TravelError as TravelError
from actors.exceptions import RemoteTraceback as RemoteTraceback
from actors.output import OutputLine as OutputLine
from actors.process import Process as Process
from actors.tasks import Task as Task
from patchbay import clock as clock
from patchbay.aio import AsyncCapture as AsyncCapture
from patchbay.aio import AsyncDevice as AsyncDevice
from patchbay.aio import AsyncIface as AsyncIface
from patchbay.aio import AsyncIx as AsyncIx
from patchbay.aio import AsyncLab as AsyncLab
from patchbay.aio import AsyncLinkRecording as AsyncLinkRecording
from patchbay.aio import AsyncNode as AsyncNode
from patchbay.aio import AsyncPartition as AsyncPartition
from patchbay.aio import AsyncProcess as AsyncProcess
from patchbay.aio import AsyncReflector as AsyncReflector
from patchbay.aio import AsyncRegion as AsyncRegion
from patchbay.aio import AsyncRouter as AsyncRouter
from patchbay.aio import AsyncStunServer as AsyncStunServer
from patchbay.capture.handle import Capture as Capture
from patchbay.capture.handle import CapturedInterface as CapturedInterface
from patchbay.capture.handle import CaptureStats as CaptureStats
from patchbay.errors import ConfigError as ConfigError
from patchbay.errors import PacketProgramFailed as PacketProgramFailed
from patchbay.errors import Problem as Problem
from patchbay.errors import ProgramFailure as ProgramFailure
from patchbay.errors import RefusedByKernel as RefusedByKernel
from patchbay.events import Event as Event
from patchbay.fidelity import Fidelity as Fidelity
from patchbay.iface import Iface as Iface
from patchbay.iface import InterfaceStats as InterfaceStats
from patchbay.lab import Lab as Lab
from patchbay.link_recording import LinkRecording as LinkRecording
from patchbay.link_stats import LinkStats as LinkStats
from patchbay.links.choice import EngineChoice as EngineChoice
from patchbay.links.programs.dissection import EthernetHeader as EthernetHeader
from patchbay.links.programs.dissection import IcmpHeader as IcmpHeader
from patchbay.links.programs.dissection import IpHeader as IpHeader
from patchbay.links.programs.dissection import TcpHeader as TcpHeader
from patchbay.links.programs.dissection import UdpHeader as UdpHeader
from patchbay.links.programs.packet import Packet as Packet
from patchbay.links.programs.quic import QuicHeader as QuicHeader
from patchbay.links.programs.quic import QuicType as QuicType
from patchbay.links.programs.tls import ClientHello as ClientHello
from patchbay.meter.path_mtu import NarrowLink as NarrowLink
from patchbay.meter.path_mtu import PathMtu as PathMtu
from patchbay.meter.throughput import Delays as Delays
from patchbay.meter.throughput import IperfResult as IperfResult
from patchbay.meter.traceroute import Hop as Hop
from patchbay.meter.traceroute import TracerouteResult as TracerouteResult
from patchbay.nat_table import NatEntry as NatEntry
from patchbay.nodes import Device as Device
from patchbay.nodes import Ix as Ix
from patchbay.nodes import Router as Router
from patchbay.partitions import Partition as Partition
from patchbay.ping import PingResult as PingResult
from patchbay.reflectors import Observed as Observed
from patchbay.reflectors import Reflector as Reflector
from patchbay.regions import Region as Region
from patchbay.stun.attributes import Endpoint as Endpoint
from patchbay.stun.discovery import NatBehaviour as NatBehaviour
from patchbay.stun_server import StunServer as StunServer
from patchbay.traces import load_trace as load_trace
from patchbay.traces import save_trace as save_trace
from patchbay.values import DelayTable as DelayTable
from patchbay.values import DeliveryOpportunities as DeliveryOpportunities
from patchbay.values import DropList as DropList
from patchbay.values import Firewall as Firewall
from patchbay.values import FirewallAction as FirewallAction
from patchbay.values import FirewallConfig as FirewallConfig
from patchbay.values import FirewallDirection as FirewallDirection
from patchbay.values import FirewallProtocol as FirewallProtocol
from patchbay.values import FirewallRule as FirewallRule
from patchbay.values import FlowMatch as FlowMatch
from patchbay.values import FourState as FourState
from patchbay.values import GilbertElliott as GilbertElliott
from patchbay.values import Hold as Hold
from patchbay.values import IfaceConfig as IfaceConfig
from patchbay.values import IpSupport as IpSupport
from patchbay.values import Ipv6Provisioning as Ipv6Provisioning
from patchbay.values import JitterDistribution as JitterDistribution
from patchbay.values import LinkCondition as LinkCondition
from patchbay.values import LinkEngine as LinkEngine
from patchbay.values import Nat as Nat
from patchbay.values import NatConfig as NatConfig
from patchbay.values import NatFiltering as NatFiltering
from patchbay.values import NatMapping as NatMapping
from patchbay.values import NatPooling as NatPooling
from patchbay.values import NatPorts as NatPorts
from patchbay.values import NatTimeouts as NatTimeouts
from patchbay.values import NatV6Mode as NatV6Mode
from patchbay.values import PacketProgram as PacketProgram
from patchbay.values import Pinhole as Pinhole
from patchbay.values import PortForward as PortForward
from patchbay.values import PortMapping as PortMapping
from patchbay.values import PortPolicy as PortPolicy
from patchbay.values import QueueDiscipline as QueueDiscipline
from patchbay.values import Ramp as Ramp
from patchbay.values import RegionLink as RegionLink
from patchbay.values import RouterPreset as RouterPreset
from patchbay.values import Schedule as Schedule
from patchbay.values import Slots as Slots
from patchbay.values import Trace as Trace
from patchbay.version import __version__ as __version__

__all__ = [
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
    "CallTimeout",
    "Capture",
    "CaptureStats",
    "CapturedInterface",
    "ClientHello",
    "ConfigError",
    "DelayTable",
    "Delays",
    "DeliveryOpportunities",
    "Device",
    "DropList",
    "Endpoint",
    "EngineChoice",
    "EthernetHeader",
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
    "Hold",
    "Hop",
    "HostNotCapable",
    "IcmpHeader",
    "Iface",
    "IfaceConfig",
    "InterfaceStats",
    "InternalError",
    "IpHeader",
    "IpSupport",
    "IperfResult",
    "Ipv6Provisioning",
    "Ix",
    "JitterDistribution",
    "Lab",
    "LinkCondition",
    "LinkEngine",
    "LinkRecording",
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
    "Packet",
    "PacketProgram",
    "PacketProgramFailed",
    "Partition",
    "PatchbayError",
    "PathMtu",
    "PingResult",
    "Pinhole",
    "PortForward",
    "PortMapping",
    "PortPolicy",
    "Problem",
    "Process",
    "ProgramFailure",
    "QueueDiscipline",
    "QuicHeader",
    "QuicType",
    "Ramp",
    "Reflector",
    "RefusedByKernel",
    "Region",
    "RegionLink",
    "RemoteError",
    "RemoteTraceback",
    "Router",
    "RouterPreset",
    "Schedule",
    "Slots",
    "StunServer",
    "Task",
    "TcpHeader",
    "Trace",
    "TracerouteResult",
    "TravelError",
    "UdpHeader",
    "__version__",
    "clock",
    "load_trace",
    "save_trace",
]
