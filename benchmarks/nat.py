"""What NAT costs to set up: a router with it beside a plain one, and a change of it."""

import time
from collections.abc import Callable

from benchmarks.report import Row, in_turn, p50
from patchbay import Lab

KINDS = ("full_cone", "home", "corporate", "cgnat")


def run() -> list[Row]:
    with Lab("nat") as lab:
        times = in_turn(
            {
                "plain": built(lab, preset="public"),
                "nat and firewall": built(lab, preset="home"),
            },
            rounds=10,
            batch=1,
        )
        home = lab.add_router("home", preset="home")
        changes = []
        for number in range(60):
            began = time.perf_counter()
            home.set_nat(KINDS[number % len(KINDS)])
            changes.append((time.perf_counter() - began) * 1000)
    return [
        Row(
            "a router with NAT and firewall, against a plain one",
            times["nat and firewall"],
            "us",
            times["plain"],
            2.0,
            True,
        ),
        Row("set_nat", p50(changes), "ms", limit=5.0),
    ]


def built(lab: Lab, preset: str) -> Callable[[], object]:
    """Build a router, and remove it."""

    def build() -> None:
        lab.add_router("built", preset=preset)
        lab.remove("built")

    return build
