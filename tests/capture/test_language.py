"""The language of capture filters: what it means, and what it says of mistakes."""

from ipaddress import ip_address, ip_network

import pytest

from patchbay.capture.language import All, Link, Net, Not, Port, Size, Some, Transport, Way, parse
from patchbay.errors import ConfigError, Problem

HOSTS = {"laptop": ["10.0.1.2", "fd10::2"], "server": ["198.18.1.2"]}


def look_up(name):
    if name not in HOSTS:
        raise ConfigError(Problem(f"host {name!r}", "nobody", "laptop"))
    return [ip_address(each) for each in HOSTS[name]]


def net(text, side="either"):
    return Net(side, tuple(ip_network(each) for each in text.split()))


TCP, UDP = Transport(6), Transport(17)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("ip", Link(0x0800)),
        ("arp", Link(0x0806)),
        ("icmp6", Transport(58)),
        ("proto gre", Transport(47)),
        ("proto 89", Transport(89)),
        ("host 10.0.0.1", net("10.0.0.1/32")),
        ("src host 2001:db8::1", net("2001:db8::1/128", "src")),
        ("dst host laptop", net("10.0.1.2/32 fd10::2/128", "dst")),
        ("net 10.0.0.0/8", net("10.0.0.0/8")),
        ("port 53", Port("either", 53, 53)),
        ("dst portrange 5000-5010", Port("dst", 5000, 5010)),
        ("tcp port 443", All((TCP, Port("either", 443, 443)))),
        ("udp src port 68", All((UDP, Port("src", 68, 68)))),
        ("ip6 host fd10::2", All((Link(0x86DD), net("fd10::2/128")))),
        ("inbound", Way(outbound=False)),
        ("less 100", Size(at_least=False, bytes=100)),
        ("greater 1000", Size(at_least=True, bytes=1000)),
        ("not tcp", Not(TCP)),
        ("!tcp&&!udp", All((Not(TCP), Not(UDP)))),
        ("tcp or udp or arp", Some((TCP, UDP, Link(0x0806)))),
        ("tcp and (udp or outbound)", All((TCP, Some((UDP, Way(outbound=True)))))),
        ("tcp or udp port 53", Some((TCP, All((UDP, Port("either", 53, 53)))))),
    ],
)
def test_a_filter_means(text, meaning):
    assert parse(text, look_up) == meaning


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it is empty; leave it out to record everything"),
        ("tpc", "'tpc' stands where what packets to record should come; did you mean 'tcp'?"),
        ("tcp prot 80", "'prot' stands where `and`, `or` or the end should come; did you mean"),
        ("tcp port", "it ends where a value after `port` should come"),
        ("(tcp", "it ends where `)` should come"),
        ("tcp)", "')' stands where `and`, `or` or the end should come"),
        ("tcp and", "it ends where what packets to record should come"),
        ("src tcp", "'tcp' stands where after `src`, host, net, port or portrange should come"),
        (
            "tcp or udp and arp",
            "`and` and `or` are mixed: say by parentheses what belongs together",
        ),
        ("port 70000", "a port is a number from 0 to 65535, not '70000'"),
        ("port http", "a port is a number from 0 to 65535, not 'http'"),
        ("portrange 9-5", "the range of ports '9-5' ends before it begins"),
        ("portrange 9", "a range of ports is written 5000-5010, not '9'"),
        (
            "net 10.0.0.1/8",
            "'10.0.0.1/8' has bits set beyond its prefix; did you mean '10.0.0.0/8'?",
        ),
        ("net ten", "'ten' is no network such as 10.0.0.0/8"),
        ("proto tpc", "'tpc' is no protocol; did you mean 'tcp'?"),
        ("host lapto", "host 'lapto': nobody; did you mean 'laptop'?"),
    ],
)
def test_a_mistake_is_told_with_what_is_right(text, complaint):
    with pytest.raises(ConfigError) as caught:
        parse(text, look_up)

    assert complaint in str(caught.value)
    assert f"filter {text!r}" in str(caught.value)


def test_all_wrong_values_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse("port 70000 or host nobody or net x", look_up)

    assert len(caught.value.problems) == 3
