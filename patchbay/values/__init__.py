"""The values that people type: enums and frozen dataclasses, each checked when it is made.

Wherever one of them is asked for, its lower-case name does as well: `"home"`, `"v4_only"`,
`"wifi_bad"`; `parse` turns one into the other. A dataclass with several mistakes in it raises one
`ConfigError` that lists them all.
"""

from patchbay.values.delay import DelayTable, JitterDistribution, Slots
from patchbay.values.drops import DropList
from patchbay.values.engine import LinkEngine
from patchbay.values.firewall import Firewall, FirewallConfig, parse_firewall
from patchbay.values.firewall_rule import (
    FirewallAction,
    FirewallDirection,
    FirewallProtocol,
    FirewallRule,
    Network,
    PortPolicy,
    Ports,
)
from patchbay.values.flow import FlowMatch
from patchbay.values.iface import IfaceConfig, Named, name_of
from patchbay.values.link import LinkCondition, QueueDiscipline, parse_flows
from patchbay.values.loss import FourState, GilbertElliott
from patchbay.values.nat import Nat, NatV6Mode, parse_nat
from patchbay.values.nat_config import (
    NatConfig,
    NatFiltering,
    NatMapping,
    NatPooling,
    NatPorts,
    NatTimeouts,
    PortForward,
)
from patchbay.values.opportunities import DeliveryOpportunities
from patchbay.values.parsing import (
    MTU_DEFAULT,
    MTU_MAX,
    check_flag,
    check_mtu,
    is_int,
    parse,
    parse_address,
    parse_flag,
    parse_mac,
)
from patchbay.values.port_mapping import Pinhole, PortMapping
from patchbay.values.program import PacketFunction, PacketProgram
from patchbay.values.region import RegionCondition, RegionLink, parse_region_condition
from patchbay.values.router import IpSupport, Ipv6Provisioning, RouterPreset
from patchbay.values.schedule import Hold, Ramp, Schedule
from patchbay.values.timed import Since, TimedCondition, check_since, condition_now, parse_condition
from patchbay.values.trace import Trace

__all__ = [
    "MTU_DEFAULT",
    "MTU_MAX",
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
    "Named",
    "Nat",
    "NatConfig",
    "NatFiltering",
    "NatMapping",
    "NatPooling",
    "NatPorts",
    "NatTimeouts",
    "NatV6Mode",
    "Network",
    "PacketFunction",
    "PacketProgram",
    "Pinhole",
    "PortForward",
    "PortMapping",
    "PortPolicy",
    "Ports",
    "QueueDiscipline",
    "Ramp",
    "RegionCondition",
    "RegionLink",
    "RouterPreset",
    "Schedule",
    "Since",
    "Slots",
    "TimedCondition",
    "Trace",
    "check_flag",
    "check_mtu",
    "check_since",
    "condition_now",
    "is_int",
    "name_of",
    "parse",
    "parse_address",
    "parse_condition",
    "parse_firewall",
    "parse_flag",
    "parse_flows",
    "parse_mac",
    "parse_nat",
    "parse_region_condition",
]
