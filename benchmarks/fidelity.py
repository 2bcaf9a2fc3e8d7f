"""How true links are: delays, losses and rates of both engines, and of others beside them.

Writes the tables of docs/fidelity.md. Needs the guest kernel (`make kernel`), and a machine that
does nothing else meanwhile.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from benchmarks.report import Row
from patchbay.fidelity import Fidelity, host_totals

PAGE = Path(__file__).parents[1] / "docs" / "fidelity.md"
ENGINES = {"user": "user space", "kernel": "kernel"}

BUSY = (
    "How busy the machine was meanwhile "
    "([`lab.fidelity()`](measuring.md#could-the-times-be-trusted) has the words):"
)

CHANGED = ("changes", "sent", "lost", "overtaken")
PROTOCOLS = {"UDP": 0, "TCP": 1}

Measured = dict[str, Any]


def run() -> list[Row]:
    conditions: dict[str, Fidelity] = {}
    told: Measured = {"conditions": conditions}
    for name, measure in {"on the host": on_host, "in guests": in_guests}.items():
        before = host_totals()
        told |= measure()
        conditions[name] = Fidelity.between(before, host_totals())
    write(told)
    return list(rows(told))


# -- measuring


def on_host() -> Measured:
    """What the host's kernel can do: it may have no netem."""
    return {
        "accuracy host user": work("accuracy", "user"),
        "rates host user": work("rates", "user", "2"),
        "rates host kernel": work("rates", "kernel", "2"),
        "carried": work("carried"),
        "idle": work("idle"),
    }


def in_guests() -> Measured:
    found: Measured = {}
    for engine in ENGINES:
        found[f"accuracy virtual {engine}"] = in_guest("virtual", "accuracy", engine)
        found[f"spread {engine}"] = in_guest("virtual", "spread", engine)
        found[f"rates virtual {engine}"] = in_guest("virtual", "rates", engine, "0.3")
        found[f"changes {engine}"] = in_guest("virtual", "changes", engine)
    found["accuracy real kernel"] = in_guest("real", "accuracy", "kernel")
    found["beside virtual"] = in_guest("virtual", "beside")
    return found


def work(*words: str, before: Sequence[str] = ()) -> Any:
    command = [*before, sys.executable, "-m", "benchmarks.fidelity_work", *words]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def in_guest(kind: str, *words: str) -> Any:
    guest = [sys.executable, "-m", "patchbay", "guest", "--time", kind, "--quiet", "--"]
    return work(*words, before=guest)


# -- telling


RATED = {
    "rates host user": ("user space", "host"),
    "rates host kernel": ("kernel", "host"),
    "rates virtual user": ("user space", "guest, virtual time"),
    "rates virtual kernel": ("kernel", "guest, virtual time"),
}
PLACES = {
    "accuracy host user": ("user space", "host"),
    "accuracy virtual user": ("user space", "guest, virtual time"),
    "accuracy virtual kernel": ("kernel", "guest, virtual time"),
    "accuracy real kernel": ("kernel", "guest, real time"),
}


def write(told: Measured) -> None:
    """Put the tables into the page, between the comments that name them."""
    text = PAGE.read_text()
    for name, lines in tables(told).items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        body = "\n".join([begin, *lines, end])
        text, count = re.subn(f"{begin}.*?{end}", lambda _, body=body: body, text, flags=re.DOTALL)
        assert count == 1, f"{PAGE} has no place for {name!r}"
    PAGE.write_text(text)


def tables(told: Measured) -> dict[str, list[str]]:
    return {
        "delays": table(
            ("engine", "where", "asked", "error, p50", "error, p99"),
            (
                (*place, f"{asked} ms", milliseconds(p50), milliseconds(p99))
                for name, place in PLACES.items()
                for asked, p50, p99 in told[name]["delays"]
            ),
        ),
        "losses": table(
            ("engine", "where", "asked", "packets", "lost", "99.9 % of all runs lose"),
            (
                (*place, f"{asked} %", str(sent), str(lost), usual(sent, asked))
                for name, place in PLACES.items()
                for asked, sent, lost in told[name]["losses"]
            ),
        ),
        "spread": table(
            ("asked", "test", *(f"p, {each}" for each in ENGINES.values())),
            (
                (what, test, *(f"{told[f'spread {each}'][at][2]:.3f}" for each in ENGINES))
                for at, (what, test, _) in enumerate(told["spread user"])
            ),
        ),
        "rates": table(*rates(told)),
        "changes": table(
            ("engine", "changes", "packets meanwhile", "lost", "overtaken"),
            (
                (called, *(f"{told[f'changes {engine}'][each]:,}" for each in CHANGED))
                for engine, called in ENGINES.items()
            ),
        ),
        "carried": table(
            ("frame", "packets in a second", "rate", "CPU of a packet"),
            (
                (
                    f"{frame} bytes",
                    f"{round(packets, -3):,.0f}",
                    f"{gbit:.2f} Gbit/s",
                    f"{cpu:.1f} µs",
                )
                for frame, packets, gbit, cpu in told["carried"]
            ),
        ),
        "conditions": [
            BUSY,
            "",
            *table(
                ("measured", "took", "other machines took", "something waited for a CPU"),
                (
                    (name, f"{each.seconds:.0f} s", f"{each.steal_pct:.1f} %", stalled(each))
                    for name, each in told["conditions"].items()
                ),
            ),
        ],
        "idle": [f"200 idle links take {100 * told['idle']:.2f} % of a processor."],
        "beside": table(
            ("made by", "20 ms: p50, p99", "1 % of 10,000: lost", "10 Mbit/s: goodput"),
            (
                (
                    who,
                    f"{each['delay']['p50']:.3f}, {each['delay']['p99']:.3f} ms",
                    str(10_000 - each["loss"]["received"]),
                    f"{each['rate']['kbit'] / 10_000 / (1458 / 1500):.2%}",
                )
                for who, each in told["beside virtual"].items()
            ),
        ),
    }


def rates(told: Measured) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The table of rates: a column for each, a line for each place and protocol."""
    every = sorted({kbit for name in RATED for kbit, *_ in told[name]})
    lines: list[Sequence[str]] = []
    for name, place in RATED.items():
        shares = {kbit: found for kbit, *found in told[name]}
        for protocol, column in PROTOCOLS.items():
            found = [f"{shares[kbit][column]:.1%}" if kbit in shares else "" for kbit in every]
            lines.append((*place, protocol, *found))
    return ("engine", "where", "protocol", *map(rate_name, every)), lines


def rate_name(kbit: int) -> str:
    return f"{kbit} kbit/s" if kbit < 1_000 else f"{kbit // 1_000} Mbit/s"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    every = [head, ["---"] * len(head), *lines]
    return ["| " + " | ".join(line) + " |" for line in every]


def stalled(found: Fidelity) -> str:
    part = found.stalled_pct
    return "not told" if part is None else f"{part:.0f} % of the time"


def milliseconds(value: float) -> str:
    return f"{value:.4f} ms"


def usual(count: int, per_cent: float) -> str:
    """Between which numbers of lost packets 99.9 % of all runs are (normal approximation)."""
    share = per_cent / 100
    reach = NormalDist().inv_cdf(0.9995) * (count * share * (1 - share)) ** 0.5
    return f"{max(0, count * share - reach):.0f} to {count * share + reach:.0f}"


def rows(told: Measured) -> Iterator[Row]:
    for name, (engine, where) in PLACES.items():
        errors = told[name]["delays"]
        limits = (
            (0.01, 0.01) if "virtual" in name else (0.2, 1.0) if "host" in name else (None,) * 2
        )
        for quantile, column, limit in zip(("p50", "p99"), (1, 2), limits, strict=True):
            worst = max(error[column] for error in errors)
            yield Row(f"delay error {quantile}, {engine}, {where}", worst, "ms", limit=limit)
    for engine, called in ENGINES.items():
        harmed = told[f"changes {engine}"]["lost"] + told[f"changes {engine}"]["overtaken"]
        yield Row(f"harmed by 1,000 changes, {called}", harmed, "packets", limit=0)
    for name, (engine, where) in RATED.items():
        for protocol, column in PROTOCOLS.items():
            wrong = max(abs(shares[column] - 1) for _, *shares in told[name])
            yield Row(f"rate error, {engine}, {where}, {protocol}", 100 * wrong, "%", limit=2)
    for frame, packets, gbit, cpu in told["carried"]:
        note = f"  {packets:.0f} packets/s, {gbit:.2f} Gbit/s"
        yield Row(f"user-space link, frames of {frame}", cpu, "us", note=note)
    yield Row("200 idle links", 100 * told["idle"], "% CPU", limit=1)
