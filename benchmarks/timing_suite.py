"""Forty tests of latency, jitter, loss and timeouts, each of which tells what it has measured.

pytest -q -s --patchbay-guest=virtual benchmarks/timing_suite.py
"""

import socket
import time
from collections.abc import Iterator

import pytest

from patchbay import Device, LinkCondition, clock

ACCURACY_MS = 0.1 if clock.is_virtual() else 50.0
"""In real time a busy machine is late; what matters there is what is told."""


@pytest.fixture(scope="module")
def cabled(lab_factory) -> tuple[Device, Device]:
    lab = lab_factory("timing", seed=7)
    router = lab.add_router("router")
    return lab.add_device("near", router), lab.add_device("far", router)


@pytest.fixture
def pair(cabled: tuple[Device, Device]) -> Iterator[tuple[Device, Device]]:
    near, far = cabled
    # They know each other's hardware addresses from here on. A test before may have lost so many
    # packets that the first ones only find a neighbour again.
    assert any(near.ping(far) for _ in range(10))
    yield near, far
    near.iface("eth0").set_condition(None)


@pytest.mark.parametrize("latency", [1, 2, 5, 10, 20, 50, 100, 150, 200, 300])
def test_latency(pair, latency):
    near, far = pair
    near.iface("eth0").set_condition(LinkCondition(latency_ms=latency))
    rtts = near.ping(far, count=5, timeout=5).rtts_ms
    assert len(rtts) == 5
    error = max(abs(rtt - 2 * latency) for rtt in rtts)
    print(f"\nlatency {latency} ms: RTT error {error:.6f} ms")
    assert error < ACCURACY_MS


@pytest.mark.parametrize("jitter", range(1, 11))
def test_jitter(pair, jitter):
    near, far = pair
    near.iface("eth0").set_condition(LinkCondition(latency_ms=50, jitter_ms=jitter), "up")
    rtts = near.ping(far, count=20, interval=0.02, timeout=5).rtts_ms
    print(f"\njitter {jitter} ms: {min(rtts):.6f} to {max(rtts):.6f} ms")
    assert len(rtts) == 20
    assert 50 - jitter - ACCURACY_MS < min(rtts)
    assert max(rtts) < 50 + jitter + ACCURACY_MS


@pytest.mark.parametrize("loss", range(2, 21, 2))
def test_loss(pair, loss):
    near, far = pair
    near.iface("eth0").set_condition(LinkCondition(latency_ms=5, loss_pct=loss))
    result = near.ping(far, count=100, timeout=0.2)
    print(f"\nloss {loss} %: {result.received} of {result.sent} came back")
    assert 40 < result.received <= 100


@pytest.mark.parametrize("tenths", range(5, 55, 5))
def test_timeout(pair, tenths):
    near, far = pair
    near.iface("eth0").set_condition(LinkCondition(loss_pct=100))
    taken = near.call(give_up, str(far.ip), tenths / 10)
    print(f"\ntimeout {tenths / 10} s: given up after {taken:.6f} s")
    assert taken == pytest.approx(tenths / 10, abs=0.01 + ACCURACY_MS / 1000)


def give_up(host, timeout):
    """Wait for an answer that never comes; over UDP, for TCP would hear of a router that is gone."""
    begun = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.sendto(b"", (host, 9))
        with pytest.raises(TimeoutError):
            sock.recv(1)
    return time.monotonic() - begun
