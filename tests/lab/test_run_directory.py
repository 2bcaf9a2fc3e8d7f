"""The event log, the state, and what nodes print: in memory and in the run directory."""

import json
import subprocess
import time

import pytest
from support import home_and_server

from patchbay import Lab


def everything(lab):
    """One of each change; the kinds of events they make, in order."""
    dc = lab.add_router("dc")
    home = lab.add_router("home", preset="home")
    device = lab.add_device("d", home)
    changes = [
        (lambda: device.add_iface("eth1", dc), "interface_added"),
        (lambda: device.set_default_route("eth1"), "default_route_changed"),
        (device.iface("eth0").down, "link_down"),
        (device.iface("eth0").up, "link_up"),
        (lambda: device.iface("eth1").replug(home), "interface_replugged"),
        (lambda: device.iface("eth1").renew_ip(), "device_ip_changed"),
        (lambda: device.iface("eth0").add_ip("10.0.1.99/24"), "device_ip_added"),
        (lambda: device.iface("eth0").set_mtu(1400), "mtu_changed"),
        (lambda: device.iface("eth0").set_condition("lan"), "link_condition_changed"),
        (lambda: device.iface("eth1").remove(), "interface_removed"),
        (lambda: home.set_nat("none"), "nat_changed"),
        (lambda: home.set_nat_v6("none"), "nat_v6_changed"),
        (lambda: home.set_firewall("none"), "firewall_changed"),
        (lambda: home.set_downlink_condition("lan"), "downlink_condition_changed"),
        (home.flush_nat, "nat_state_flushed"),
        (lambda: lab.dns_entry("x.example", "192.0.2.1"), "dns_entry_added"),
        (lambda: device.dns_entry("y.example", home), "dns_entry_added"),
        (lambda: lab.emit("my_own", answer=42, nested={"a": [1, 2]}), "my_own"),
        (lambda: lab.remove(device), "device_removed"),
        (lambda: lab.remove(home), "router_removed"),
    ]
    for change, _ in changes:
        change()
    return ["lab_created", "router_added", "router_added", "device_added"] + [
        kind for _, kind in changes
    ]


def test_every_change_makes_one_event(lab):
    expected = everything(lab)
    events = lab.events()

    assert [event.kind for event in events] == expected
    assert [event.opid for event in events] == list(range(len(events)))
    assert sorted(event.time for event in events) == [event.time for event in events]
    assert lab.events(since=len(events) - 1) == events[-1:]
    assert lab.events(since=len(events)) == []
    [mine] = [event for event in events if event.kind == "my_own"]
    assert mine.fields == {"answer": 42, "nested": {"a": [1, 2]}}
    assert all(str(event) for event in events)


def test_events_carry_what_changed(lab):
    everything(lab)
    by_kind = {event.kind: event.fields for event in lab.events()}

    replug = by_kind["interface_replugged"]
    assert (replug["node"], replug["iface"]) == ("d", "eth1")
    assert (replug["from_router"], replug["to_router"]) == ("dc", "home")
    assert by_kind["mtu_changed"] == {"node": "d", "iface": "eth0", "mtu": 1400}
    assert by_kind["nat_changed"] == {"node": "home", "nat": "none"}
    assert by_kind["router_added"]["name"] == "home"
    assert by_kind["device_added"]["name"] == "d"
    assert by_kind["dns_entry_added"]["node"] == "d"
    assert len(by_kind["dns_entry_added"]["addresses"]) == 2


def test_fields_of_own_events_never_hide_the_envelope(lab):
    lab.emit("mine", opid=99, timestamp="never", kind_of="x")
    event = lab.events()[-1]

    assert event.opid == 1
    assert event.fields == {"opid_": 99, "timestamp_": "never", "kind_of": "x"}


def test_a_node_that_dies_is_an_event(lab):
    import os

    from patchbay import NodeDied

    device = lab.add_device("d", lab.add_router("dc"))
    with pytest.raises(NodeDied):
        device.call(os._exit, 3)

    event = lab.events()[-1]
    assert event.kind == "node_died"
    assert event.fields["node"] == "d"
    assert "3" in event.fields["reason"]


def test_a_restart_is_an_event(lab):
    device = lab.add_device("d", lab.add_router("dc"))

    device.restart()

    event = lab.events()[-1]
    assert (event.kind, event.fields) == ("node_restarted", {"node": "d"})


def test_the_run_directory_has_events_state_and_output(tmp_path):
    outdir = tmp_path / "deep" / "run"
    with Lab("mine", outdir=outdir, seed=7) as lab:
        assert lab.outdir == outdir
        _, _, server, _ = home_and_server(lab)
        server.call(print, "hello from the server")
        server.run(["sh", "-c", "echo to-stderr >&2"], capture_output=False)
        events = lab.events()
        told = [json.loads(line) for line in (outdir / "events.jsonl").read_text().splitlines()]
        assert [(each["opid"], each["kind"]) for each in told] == [(e.opid, e.kind) for e in events]
        state = _state_with(outdir, lambda state: len(state["topology"]["devices"]) == 2)
        assert state["status"] == "running"
        assert list(state["topology"]["routers"]) == ["dc", "home"]

    state = json.loads((outdir / "state.json").read_text())
    told = [json.loads(line) for line in (outdir / "events.jsonl").read_text().splitlines()]
    assert state["status"] == "stopped"
    assert told[-1]["kind"] == "lab_closed"
    assert state["opid"] == len(told)
    assert told[0]["seed"] == 7
    log = (outdir / "nodes" / "server.log").read_text()
    assert "hello from the server" in log
    assert "to-stderr" in log
    assert {path.name for path in outdir.iterdir()} == {"events.jsonl", "state.json", "nodes"}


def _state_with(outdir, wanted):
    for _ in range(6000):
        state = json.loads((outdir / "state.json").read_text())
        if wanted(state):
            return state
        time.sleep(0.01)
    pytest.fail(f"state.json stays at {state}")


def test_the_state_on_disk_is_the_topology(tmp_path):
    from patchbay.topology.model import Topology
    from patchbay.topology.plain import from_plain

    with Lab(outdir=tmp_path) as lab:
        home_and_server(lab)
        lab.device("laptop").iface("eth0").replug("dc")
        expected = lab.topology()

    assert (
        from_plain(Topology, json.loads((tmp_path / "state.json").read_text())["topology"])
        == expected
    )


def test_nothing_is_written_without_a_directory(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home_and_server(lab)

    assert lab.outdir is None
    assert list(tmp_path.iterdir()) == []


def test_two_labs_in_one_directory_append_their_events(tmp_path):
    for _ in range(2):
        with Lab(outdir=tmp_path) as lab:
            lab.add_router("dc")

    kinds = [
        json.loads(line)["kind"] for line in (tmp_path / "events.jsonl").read_text().splitlines()
    ]
    assert kinds == ["lab_created", "router_added", "lab_closed"] * 2


def test_a_directory_that_cannot_be_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere"):
        with pytest.raises(OSError, match=str(bad).replace(str(tmp_path), "")):
            Lab(outdir=bad)


def test_a_directory_is_made_and_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Lab(outdir="run") as lab:
        monkeypatch.chdir("/")
        lab.add_router("dc")

    assert (tmp_path / "run" / "events.jsonl").exists()


def test_names_of_nodes_are_names_of_files(tmp_path):
    with Lab(outdir=tmp_path) as lab:
        for name in ("küche", ".hidden", "n" * 63, "a'b"):
            lab.add_device(name).call(print, "hi")

    assert len(list((tmp_path / "nodes").iterdir())) >= 4


def test_jq_like_programs_can_read_it(tmp_path):
    """Each line is one JSON object, whole at any moment."""
    with Lab(outdir=tmp_path) as lab:
        home_and_server(lab)
        done = subprocess.run(
            ["tail", "-n1", tmp_path / "events.jsonl"], capture_output=True, text=True
        )
        assert json.loads(done.stdout)["kind"] == "device_added"
