"""A train goes into a tunnel: its link fades, and is gone. What was recorded is played again.

python examples/tunnel.py
"""

import tempfile
import time
from pathlib import Path

from patchbay import (
    Device,
    Hold,
    Lab,
    LinkCondition,
    Ramp,
    Schedule,
    Trace,
    load_trace,
    save_trace,
)

FADING = LinkCondition(latency_ms=120, jitter_ms=30, loss_pct=10, rate_kbit=500)
GONE = LinkCondition(loss_pct=100)


def wait_until_over(lab: Lab, count: int) -> None:
    """Wait until so many schedules have made their last change."""
    while sum(event.kind == "link_schedule_ended" for event in lab.events()) < count:
        time.sleep(0.01)


def tell(when: str, train: Device, server: Device, patience: float = 30) -> None:
    """Ask twice: one packet may be lost by chance."""
    answered = any(train.ping(server, timeout=each) for each in (0.3, patience))
    print(f"{when:<26}{'an answer' if answered else 'no answer'}")


def main() -> None:
    with Lab("tunnel") as lab:
        server = lab.add_device("server", lab.add_router("dc"))
        train = lab.add_device("train", lab.add_router("carrier", preset="isp_cgnat"))
        eth0 = train.iface("eth0")
        into_the_tunnel = Schedule(Hold("lte", 0.1), Ramp(FADING, 0.3, 0.05), Hold(GONE))

        tell("before", train, server)
        with eth0.record_conditions("up") as recording:
            eth0.set_condition(into_the_tunnel, "up")
            wait_until_over(lab, 1)
        tell("in the tunnel", train, server, patience=0.3)
        eth0.set_condition(Schedule(Ramp("lte", 0.1, start=FADING)), "up")
        wait_until_over(lab, 2)
        tell("out of it", train, server)

        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "tunnel.jsonl")
            save_trace(recording.trace(), path)
            recorded: Trace = load_trace(path)
        print(f"{'recorded':<26}{len(recorded.changes)} changes")
        eth0.set_condition(recorded, "up")
        wait_until_over(lab, 3)
        lost = eth0.condition("up")
        print(f"{'in the same tunnel':<26}{lost.loss_pct if lost else 0} % are lost")


if __name__ == "__main__":
    main()
