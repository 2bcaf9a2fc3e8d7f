"""A topology as a TOML file that people read and write, and back.

    [lab]
    name = "first"

    [[router]]
    name = "home"
    preset = "home"

    [device.laptop.eth0]
    gateway = "home"
    condition = "wifi"

Tables:
    `[lab]`: `name`, `ipv6-dad` (true or false), `ipv6-provisioning`, `link-engine`.
    `[[router]]`: `name`, `preset`, `upstream` (a router; its region or the IX without it),
        `region`, `nat`, `nat-v6`, `ip-support`, `firewall`, `downlink` (a condition),
        `downlink-engine`, `downlink-flows`, `downstream`, `downstream6` (subnets of its LAN), `mtu`.
    `[router.wan]`: the uplink of the router above it, as an interface without `gateway`.
    `[device.NAME]`: `default-via` (the first interface without it), `mtu`, and `count`, which makes
        devices `NAME-0`, `NAME-1` and so on.
    `[device.NAME.INTERFACE]`: `gateway` (a router), `condition` or `condition-up` and
        `condition-down`, `engine-up` and `engine-down`, `flows-up` and `flows-down` (arrays of
        tables, each with `match` and `condition`), `address`, `address6`, `addresses` (further
        ones), `mac`, `mtu`, `up`.
    `[region.NAME]`: `transit` (true or false), `downstream`, `downstream6` (subnets of its LAN), and
        `latencies`, which links it: a table of regions and milliseconds.
    `[[region-link]]`: `between` (an array of two regions), `latency-ms`, `jitter-ms`, `loss-pct`,
        `rate-mbit`, `back` (a table of these four, where the way back differs), `broken`, `reroute`.
    `[[partition]]`: `sides` (an array of arrays of nodes), `one-way` (true or false).
    `[[dns]]`: `name`, `address`, and `node` for an entry that only one node sees.

A condition is the name of a preset or a table of the fields of `LinkCondition`; a NAT or a
firewall is a name or a table of the fields of `NatConfig` or `FirewallConfig`. Keys and names may
be written with dashes or underscores. Nodes and interfaces are added in the order written.

What would come out the same if it were left out is not written by `dump`: addresses, for
instance, only where allocation would give others. After interfaces were removed or replugged,
it may write `cable`, `port` and `number` too, which interfaces, regions and links have in the lab;
leave them out of files of your own.
"""

from patchbay.topology.toml.description import Description
from patchbay.topology.toml.dumping import dump
from patchbay.topology.toml.reading import load

__all__ = ["Description", "dump", "load"]
