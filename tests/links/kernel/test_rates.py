"""Rates by tbf, which nearly every kernel has: what is asked for is what streams get."""

import pytest
from measuring import flow, goodput

from patchbay import ConfigError, LinkCondition, LinkEngine

FRAME, SEGMENT = 1514, 1448
"""Bytes of a full Ethernet frame, and what TCP carries in it."""


@pytest.fixture
def net(lab):
    dc = lab.add_router("dc")
    home = lab.add_router("home", preset="home")
    lab.add_device("server", dc)
    lab.add_device("laptop", home)
    return lab


def rate(kbit, **fields):
    """A rate, with a queue that a short stream does not fill."""
    if not any(name.startswith("queue") for name in fields):
        fields["queue_ms"] = 500
    return LinkCondition(rate_kbit=kbit, **fields)


def expected(kbit):
    """Goodput of TCP, from the rate of Ethernet frames."""
    return kbit * SEGMENT / FRAME


def assert_goodput(sender, receiver, size, kbit):
    """Never more than the rate, but for one burst; on a busy machine a stream may get less at times."""
    told = []
    for _ in range(5):
        told.append(goodput(sender, receiver, size) / expected(kbit))
        assert told[-1] < 1.07
        if told[-1] > 0.67:
            return
    pytest.fail(f"shares of {kbit} kbit/s: {told}")


def disciplines(node, interface):
    """The kinds of queueing disciplines of an interface, as the program tc tells them."""
    done = node.run(["tc", "qdisc", "show", "dev", interface], capture_output=True, text=True)
    return [line.split()[1] for line in done.stdout.splitlines()]


def test_a_clean_link_is_a_plain_cable_and_becomes_one_again(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    assert disciplines(laptop, "eth0") == ["noqueue"]
    assert eth0.engine() is None

    eth0.set_condition(rate(5_000))
    assert eth0.engine("up").engine is LinkEngine.KERNEL
    assert "tbf" in disciplines(laptop, "eth0")
    eth0.set_condition(None)
    assert eth0.engine("up") is None
    assert laptop.ping(net.device("server"))
    while disciplines(laptop, "eth0") != ["noqueue"]:
        pass  # each look takes the milliseconds that a program takes to start


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_stream_gets_the_rate_in_the_direction_that_has_it(net, way):
    server, laptop = net.device("server"), net.device("laptop")
    laptop.iface("eth0").set_condition(rate(4_000), way)
    slow, fast = (laptop, server), (server, laptop)
    if way == "down":
        slow, fast = fast, slow

    # the server cannot reach into the home; it is the laptop that is asked in both cases
    net.router("home").set_nat("none")
    net.router("home").set_firewall("none")
    assert_goodput(*slow, 500_000, 4_000)
    assert goodput(*fast, 500_000) > 3 * expected(4_000)


def test_a_downlink_is_for_all_hosts_of_a_lan_or_for_one(net):
    server, home = net.device("server"), net.router("dc")
    other = net.add_device("other", home)
    laptop = net.device("laptop")

    home.set_downlink_condition(rate(4_000))
    assert home.downlink_condition == rate(4_000)
    assert home.iface("lan").condition() == rate(4_000)
    assert_goodput(laptop, server, 400_000, 4_000)
    home.set_downlink_condition(None)
    home.set_downlink_condition(rate(4_000), server)
    assert server.iface("eth0").condition("down") == rate(4_000)
    assert_goodput(laptop, server, 400_000, 4_000)
    assert goodput(laptop, other, 400_000) > 3 * expected(4_000)
    with pytest.raises(ConfigError, match="'laptop' is not plugged into its LAN"):
        home.set_downlink_condition(rate(4_000), laptop)


def test_the_slowest_of_several_links_decides(net):
    server, laptop = net.device("server"), net.device("laptop")
    laptop.iface("eth0").set_condition(rate(20_000), "up")
    net.router("home").iface("wan").set_condition(rate(3_000), "up")

    assert_goodput(laptop, server, 400_000, 3_000)


def test_a_rate_changes_while_it_runs(net):
    server, laptop = net.device("server"), net.device("laptop")
    eth0 = laptop.iface("eth0")
    for kbit in (5_000, 2_000, 8_000):
        eth0.set_condition(rate(kbit), "up")
        assert_goodput(laptop, server, kbit * 60, kbit)
    eth0.set_condition(None)
    assert goodput(laptop, server, 2_000_000) > 3 * expected(8_000)


def test_a_link_that_is_made_with_a_condition_has_it_from_the_first_packet(net):
    phone = net.add_device("phone", "home", condition=rate(2_000, queue_pkts=10))

    arrived = flow(phone, net.device("server"), 60, size=1_000, gap=0)
    # two in the burst, ten in the queue, and those that left meanwhile
    assert 11 <= len(arrived.numbers) < 40
    assert arrived.numbers == sorted(arrived.numbers)


def test_what_counts_are_packets_of_the_wire(net):
    """The stack's super-packets are cut before they are counted."""
    server, laptop = net.device("server"), net.device("laptop")
    laptop.iface("eth0").set_condition(rate(10_000, queue_pkts=400), "up")

    assert_goodput(laptop, server, 600_000, 10_000)
    told = laptop.run(["tc", "-s", "qdisc", "show", "dev", "eth0"], capture_output=True, text=True)
    sent, packets = next(
        (int(line.split()[1]), int(line.split()[3]))
        for line in told.stdout.splitlines()
        if line.strip().startswith("Sent") and int(line.split()[3])
    )
    assert sent / packets <= FRAME


def test_no_packet_is_lost_or_overtaken_by_changes(net):
    server, laptop = net.device("server"), net.device("laptop")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(rate(50_000, queue_ms=500), "up")

    def change(sending):
        for number in range(200):
            eth0.set_condition(rate(30_000 + 1_000 * (number % 20), queue_ms=500), "up")
        while not sending.done():
            eth0.set_condition(rate(40_000, queue_ms=400), "up")

    arrived = flow(laptop, server, 3_000, gap=0.001, quiet=3.0, during=change)
    assert arrived.numbers == list(range(3_000))


def test_a_condition_goes_with_its_interface_to_another_lan(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(rate(4_000), "down")
    eth0.replug("dc")

    assert eth0.condition("down") == rate(4_000)
    server = net.device("server")
    assert_goodput(server, laptop, 400_000, 4_000)
    eth0.set_mtu(1_400)
    assert_goodput(server, laptop, 400_000, 4_000)


def test_an_interface_that_goes_down_and_up_keeps_its_condition(net):
    laptop, server = net.device("laptop"), net.device("server")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(rate(4_000), "up")
    eth0.down()
    eth0.up()

    assert_goodput(laptop, server, 400_000, 4_000)


def test_long_packets_need_no_larger_burst(net):
    net.router("home").iface("wan").set_condition(rate(4_000), "up")
    laptop = net.device("laptop")
    laptop.iface("eth0").set_condition(rate(100), "up")

    assert laptop.ping(net.device("server"), size=1_400, timeout=5)


def test_removing_what_has_conditions_leaves_nothing(net):
    phone = net.add_device("phone", "dc", condition=rate(4_000))
    net.remove(phone)
    phone = net.add_device("phone", "dc")
    assert disciplines(phone, "eth0") == ["noqueue"]
    assert disciplines(net.router("dc"), "lan") == ["noqueue"]
    phone.iface("eth0").set_condition(rate(4_000))
    phone.iface("eth0").set_condition(None)
    phone.iface("eth0").remove()


def test_what_the_lab_chose_is_told(net):
    laptop = net.device("laptop")
    laptop.iface("eth0").set_condition(rate(4_000), "up", engine="kernel")

    assert str(laptop.iface("eth0").engine()) == "kernel: asked for"
    (event,) = [each for each in net.events() if each.kind == "link_condition_changed"]
    assert event.fields["engine"] == {"up": {"engine": "kernel", "reason": "asked for"}}
    assert "link eth0 rate_kbit=4000 queue_ms=500 by kernel: asked for" in str(net.plan())
    assert 'engine-up = "kernel"' in net.to_toml()


def test_what_the_kernel_cannot_do_is_refused_and_changes_nothing(net):
    laptop = net.device("laptop")
    eth0 = laptop.iface("eth0")
    eth0.set_condition(rate(4_000))
    before = net.topology()
    with pytest.raises(ConfigError, match="loss of long packets"):
        eth0.set_condition(rate(4_000, mtu=1_000), engine="kernel")
    assert net.topology() == before
    assert "tbf" in disciplines(laptop, "eth0")


def test_a_lab_of_a_file_has_its_conditions(lab_factory, tmp_path):
    from patchbay import Lab

    file = tmp_path / "slow.toml"
    file.write_text(
        '[[router]]\nname = "dc"\n[device.a.eth0]\ngateway = "dc"\n'
        "condition-up = { rate-kbit = 4000 }\n"
        '[device.b.eth0]\ngateway = "dc"\n'
    )
    with Lab.load(file) as lab:
        a, b = lab.device("a"), lab.device("b")
        assert_goodput(a, b, 400_000, 4_000)
