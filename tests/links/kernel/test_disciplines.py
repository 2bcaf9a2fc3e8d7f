"""What the kernel's engine leaves on interfaces, as the program tc tells it."""

import pytest
from traffic import cross, eventually, stream

from patchbay import ConfigError, LinkCondition

FRAME = 1514
"""Bytes of a full Ethernet frame."""

SLOW = LinkCondition(rate_kbit=4_000)


@pytest.fixture
def net(lab):
    lab.add_device("server", lab.add_router("dc"))
    lab.add_device("laptop", lab.add_router("home"))
    return lab


def disciplines(node, interface):
    """The kinds of queueing disciplines of an interface."""
    done = node.run(["tc", "qdisc", "show", "dev", interface], capture_output=True, text=True)
    return [line.split()[1] for line in done.stdout.splitlines()]


def test_a_clean_link_is_a_plain_cable_and_becomes_one_again(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    assert disciplines(laptop, "eth0") == ["noqueue"]
    assert eth0.engine() is None

    eth0.set_condition(SLOW, engine="kernel")
    assert "tbf" in disciplines(laptop, "eth0")
    eth0.set_condition(None)
    assert eth0.engine("up") is None
    assert laptop.ping(net.device("server"), timeout=30)
    eventually(lambda: disciplines(laptop, "eth0") == ["noqueue"], "disciplines are left")


def test_what_counts_are_packets_of_the_wire(net):
    """The stack's super-packets are cut before they are counted."""
    server, laptop = net.device("server"), net.device("laptop")
    condition = LinkCondition(rate_kbit=10_000, queue_pkts=400)
    laptop.iface("eth0").set_condition(condition, "up", engine="kernel")

    stream(laptop, server, bytes(300_000))
    told = laptop.run(["tc", "-s", "qdisc", "show", "dev", "eth0"], capture_output=True, text=True)
    sent, packets = next(
        (int(line.split()[1]), int(line.split()[3]))
        for line in told.stdout.splitlines()
        if line.strip().startswith("Sent") and int(line.split()[3])
    )
    assert sent / packets <= FRAME


def test_long_packets_need_no_larger_burst(net):
    net.router("home").iface("wan").set_condition(SLOW, "up")
    laptop = net.device("laptop")
    laptop.iface("eth0").set_condition(LinkCondition(rate_kbit=100), "up")

    assert cross(laptop, net.device("server"), 1, size=1_400).in_order


def test_removing_what_has_conditions_leaves_nothing(net):
    phone = net.add_device("phone", "dc", condition=SLOW)
    net.remove(phone)
    phone = net.add_device("phone", "dc")
    assert disciplines(phone, "eth0") == ["noqueue"]
    assert disciplines(net.router("dc"), "lan") == ["noqueue"]
    phone.iface("eth0").set_condition(SLOW)
    phone.iface("eth0").set_condition(None)
    phone.iface("eth0").remove()


def test_what_the_lab_chose_is_told(net):
    laptop = net.device("laptop")
    laptop.iface("eth0").set_condition(SLOW, "up", engine="kernel")

    assert str(laptop.iface("eth0").engine()) == "kernel: asked for"
    (event,) = [each for each in net.events() if each.kind == "link_condition_changed"]
    assert event.fields["engine"] == {"up": {"engine": "kernel", "reason": "asked for"}}
    assert "link eth0 rate_kbit=4000 by kernel: asked for" in str(net.plan())
    assert 'engine-up = "kernel"' in net.to_toml()


def test_what_the_kernel_cannot_do_is_refused_and_changes_nothing(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(SLOW)
    before = net.topology()
    with pytest.raises(ConfigError, match="loss of long packets"):
        eth0.set_condition(LinkCondition(rate_kbit=4_000, mtu=1_000), engine="kernel")
    assert net.topology() == before
    assert "tbf" in disciplines(laptop, "eth0")
