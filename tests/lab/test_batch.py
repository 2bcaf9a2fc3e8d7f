"""`batch()`: what is added together is checked together and built together."""

import pytest
from support import differences, home_and_server, reaches

from patchbay import ConfigError, IfaceConfig, NodeGone


def test_everything_of_a_batch_is_there_when_it_ends(lab):
    with lab.batch():
        dc = lab.add_router("dc", preset="public")
        home = lab.add_router("home", preset="home")
        server = lab.add_device("server", dc)
        laptops = [lab.add_device(f"laptop{number}", home) for number in range(5)]
        phone = lab.add_device("phone", ifaces={"wlan0": home, "cell0": IfaceConfig(dc)})
        assert lab.topology().routers == {}

    assert [device.name for device in lab.devices] == [
        "server",
        *(f"laptop{n}" for n in range(5)),
        "phone",
    ]
    for laptop in [*laptops, phone]:
        assert reaches(laptop, server)
        assert reaches(laptop, server, 6)
    assert differences(lab) == []


def test_a_batch_is_the_same_as_one_after_the_other(lab):
    from patchbay import Lab

    with lab.batch():
        home_and_server(lab)
    with Lab("test") as other:
        home_and_server(other)
        assert other.topology() == lab.topology()


def test_what_others_are_plugged_into_may_come_later(lab):
    with lab.batch():
        server = lab.add_device("server", "low")
        lab.add_router("low", upstream="top")
        lab.add_router("top")

    assert server.ping(lab.ix, timeout=30)
    assert lab.router("low").upstream == lab.router("top")


def test_all_mistakes_are_told_at_once_and_nothing_is_built(lab):
    lab.add_router("dc")
    before, events = lab.topology(), lab.events()
    with pytest.raises(ConfigError) as caught, lab.batch():  # noqa: PT012
        lab.add_router("dc")
        lab.add_router("home", preset="home", upstream="dcc")
        lab.add_device("a b", "dc")
        lab.add_device("c", "hoem")
        lab.add_device("d", "dc", mtu=10)
        lab.add_device("fine", "dc")

    told = str(caught.value)
    assert len(caught.value.problems) == 5
    for part in ("'dc'", "did you mean 'dc'", "' ' in it", "device 'c'", "mtu"):
        assert part in told
    assert lab.topology() == before
    assert lab.events() == events


def test_a_circle_of_routers_is_a_mistake(lab):
    with pytest.raises(ConfigError) as caught, lab.batch():  # noqa: PT012
        lab.add_router("a", upstream="b")
        lab.add_router("b", upstream="a")

    assert "'a'" in str(caught.value)
    assert lab.routers == []


def test_an_exception_inside_builds_nothing(lab):
    with pytest.raises(ZeroDivisionError), lab.batch():  # noqa: PT012
        lab.add_router("dc")
        1 / 0  # noqa: B018

    assert lab.routers == []
    lab.add_router("dc")


def test_values_that_are_none_raise_where_they_are_typed(lab):
    with lab.batch():
        lab.add_router("dc")
        with pytest.raises(ConfigError, match="did you mean 'home'"):
            lab.add_router("r", preset="hom")

    assert [router.name for router in lab.routers] == ["dc"]


def test_batches_do_not_nest_and_an_empty_one_does_nothing(lab):
    with lab.batch():
        lab.add_router("dc")
        with pytest.raises(RuntimeError, match="batch"), lab.batch():
            pass
        lab.add_router("dc2")
    assert [router.name for router in lab.routers] == ["dc", "dc2"]
    events = lab.events()
    with lab.batch():
        pass
    assert lab.events() == events


def test_handles_say_that_they_are_not_built_yet(lab):
    with lab.batch():
        dc = lab.add_router("dc")
        server = lab.add_device("server", dc)
        for use in (
            lambda: server.ip,
            lambda: dc.set_nat("home"),
            lambda: dc.downstream,
            lambda: server.iface("eth0"),
            lambda: lab.remove(server),
            lambda: lab.node("server"),
        ):
            with pytest.raises(NodeGone, match=r"'(server|dc)' is not built yet"):
                use()
        for use in (
            lambda: server.call(len, "x"),
            lambda: server.run(["true"]),
            lambda: server.ping("192.0.2.1"),
        ):
            with pytest.raises(NodeGone, match=r"'server' is not in this lab .*yet"):
                use()
        assert server.name == "server"
    assert server.call(len, "x") == 1
    assert server.ip is not None


def test_other_changes_in_a_batch_happen_at_once(lab):
    home = lab.add_router("home", preset="home")
    with lab.batch():
        lab.add_device("laptop", home)
        home.set_nat("none")
        assert str(home.nat) == "none"
    assert reaches(lab.device("laptop"), lab.ix)
    assert differences(lab) == []
