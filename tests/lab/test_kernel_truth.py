"""Whatever is done to a lab: the kernel has what the plan says, and packets go as it says."""

import random
import time
from collections.abc import Callable

import pytest
from support import differences

from patchbay import ConfigError, IfaceConfig, Lab
from patchbay.values import Firewall, Nat

OPERATIONS = 30
SECONDS = 25.0


class Walk:
    """Random changes of a small lab, each checked, all told when one goes wrong."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.random = random.Random(seed)
        self.told: list[str] = []
        self.count = 0

    def step(self) -> None:
        names = sorted(name for name in dir(self) if name.startswith("do_"))
        operation: Callable[[], str] = getattr(self, self.random.choice(names))
        try:
            self.told.append(operation())
        except ConfigError as refusal:
            self.told.append(f"refused: {refusal}")

    def pick_lan(self):
        return self.random.choice([*self.lab.routers, self.lab.ix])

    def pick_iface(self):
        nodes = [*self.lab.devices, *self.lab.routers]
        ifaces = [each for node in nodes for each in node.ifaces if each.name != "lan"]
        return self.random.choice(ifaces)

    def fresh(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def do_add_device(self):
        if len(self.lab.devices) > 5:
            return self.do_remove()
        name, lans = self.fresh("d"), [self.pick_lan(), self.pick_lan()]
        ifaces = {
            f"eth{number}": IfaceConfig(lan, up=self.random.random() < 0.9)
            for number, lan in enumerate(lans[: self.random.choice([1, 2])])
        }
        self.lab.add_device(name, ifaces=ifaces)
        return f"add_device {name} {ifaces}"

    def do_add_router(self):
        if len(self.lab.routers) > 4:
            return self.do_remove()
        name, upstream = self.fresh("r"), self.pick_lan()
        upstream = None if upstream.name == "ix" else upstream
        support = self.random.choice(["dual_stack"] * 3 + ["v4_only", "v6_only"])
        nat = self.random.choice(["none", "none", "home"])
        self.lab.add_router(name, upstream=upstream, ip_support=support, nat=nat)
        return f"add_router {name} behind {upstream} {support} nat={nat}"

    def do_remove(self):
        node = self.random.choice([*self.lab.devices, *self.lab.routers])
        self.lab.remove(node)
        return f"remove {node}"

    def do_replug(self):
        iface, lan = self.pick_iface(), self.pick_lan()
        iface.replug(lan)
        return f"replug {iface} into {lan}"

    do_replug_more = do_replug

    def do_up_or_down(self):
        iface = self.pick_iface()
        (iface.down if iface.is_up and self.random.random() < 0.5 else iface.up)()
        return f"{iface} up={iface.is_up}"

    do_up_or_down_more = do_up_or_down

    def do_renew(self):
        iface = self.pick_iface()
        return f"renew_ip {iface} {iface.renew_ip()}"

    def do_add_ip(self):
        iface = self.pick_iface()
        base = self.random.choice(iface.addresses)
        address = f"{base.network[self.random.randrange(50, 200)]}/{base.network.prefixlen}"
        iface.add_ip(address)
        return f"add_ip {iface} {address}"

    def do_add_iface(self):
        device, lan = self.random.choice(self.lab.devices), self.pick_lan()
        name = self.random.choice(["eth0", "eth1", "eth2"])
        device.add_iface(name, lan)
        return f"add_iface {device} {name} {lan}"

    def do_remove_iface(self):
        iface = self.pick_iface()
        iface.remove()
        return f"remove {iface}"

    def do_mtu(self):
        iface, mtu = self.pick_iface(), self.random.choice([1500, 1400, 9000, 1280])
        iface.set_mtu(mtu)
        return f"set_mtu {iface} {mtu}"

    def do_default(self):
        iface = self.pick_iface()
        self.lab.device(iface.node.name).set_default_route(iface.name)
        return f"set_default_route {iface}"

    def do_nat(self):
        router = self.random.choice(self.lab.routers)
        router.set_nat(self.random.choice(["none", "home"]))
        return f"set_nat {router} {router.nat}"

    def do_firewall(self):
        router = self.random.choice(self.lab.routers)
        router.set_firewall(self.random.choice(["none", "block_inbound"]))
        return f"set_firewall {router} {router.firewall}"

    # -- what must be so

    def check(self) -> None:
        assert differences(self.lab) == []
        for one in self.lab.devices:
            for other in self.lab.devices:
                for version in (4, 6):
                    self.check_pair(one, other, version)

    def check_pair(self, one, other, version) -> None:
        target = other.ip if version == 4 else other.ip6
        if one == other or target is None:
            return
        expected = self.expected(one, other, version)
        if expected is None:
            return
        answer = one.ping(target, timeout=30.0 if expected else 0.03)
        assert bool(answer) is expected, f"{one} to {other} by IPv{version}: {answer}"

    def expected(self, one, other, version) -> bool | None:
        """Whether the plan says that an echo comes back; None where the drawing leaves it open.

        Hosts reach whom they have a path of interfaces to that are up, unless NAT hides the
        target or a firewall stands before it.
        """
        source, target = one.default_iface, other.default_iface
        if source is None:
            return False
        if not (source.is_up and target.is_up):
            return False if not source.is_up and len(one.ifaces) == 1 else None
        if (source.ip if version == 4 else source.ip6) is None:
            return None
        lan, goal = source.router, target.router
        if lan == goal:
            return True
        if len(one.ifaces) > 1 and any(each.router == goal for each in one.ifaces):
            return None  # it is a neighbour by another interface
        up, down = self.chain(lan), self.chain(goal)
        above = [router for router in up if router not in down]
        below = [router for router in down if router not in up]
        if not all(router.iface("wan").is_up for router in (*above, *below)):
            return False
        for router in (*above, *below):
            wan = router.iface("wan")
            if (wan.ip if version == 4 else wan.ip6) is None:
                return False
        for router in below:
            if (
                version == 4 and router.nat is not Nat.NONE
            ) or router.firewall is not Firewall.NONE:
                return False
        return True

    def chain(self, router):
        """The routers from a LAN up to the IX."""
        found = []
        while router is not None:
            found.append(router)
            router = router.upstream
        return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_changes_keep_the_kernel_as_planned(lab, seed):
    walk = Walk(lab, seed)
    lab.add_router("dc", preset="public")
    lab.add_router("home", nat="home")
    lab.add_device("server", "dc")
    lab.add_device("laptop", "home")
    end = time.monotonic() + SECONDS
    for _ in range(OPERATIONS):
        walk.step()
        try:
            walk.check()
        except Exception as error:
            history = "\n".join(walk.told)
            raise AssertionError(f"seed {seed}, after\n{history}\n{lab}\n{error}") from error
        if time.monotonic() > end:
            break
