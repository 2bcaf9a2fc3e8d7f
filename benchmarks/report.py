"""Samples and the table they are told in."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the report. `limit` is what we hold ourselves to, as a ratio or in `unit`."""

    what: str
    ours: float
    unit: str
    floor: float | None = None
    limit: float | None = None
    limit_is_ratio: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return None if self.floor is None else self.ours / self.floor

    @property
    def kept(self) -> bool | None:
        if self.limit is None:
            return None
        value = self.ratio if self.limit_is_ratio else self.ours
        return value is not None and value <= self.limit


def table(rows: list[Row]) -> str:
    head = ("what", "ours", "floor", "ratio", "at most", "")
    lines = [head]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} x"
        limit = ""
        if row.limit is not None:
            limit = f"{row.limit:g} x" if row.limit_is_ratio else f"{row.limit:g} {row.unit}"
        mark = {None: "", True: "kept", False: "NOT KEPT"}[row.kept]
        floor = "" if row.floor is None else f"{row.floor:.4g} {row.unit}"
        lines.append((row.what, f"{row.ours:.4g} {row.unit}", floor, ratio, limit, mark + row.note))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * sum(widths, 2 * len(widths)), *text[1:]])


def p50(samples: list[float]) -> float:
    return sorted(samples)[len(samples) // 2]


def in_turn(
    functions: dict[str, Callable[[], object]], *, rounds: int, batch: int
) -> dict[str, float]:
    """The median time of each in microseconds, taken in turn so that noise meets all alike."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        for _ in range(batch):
            function()
    for _ in range(rounds):
        for name, function in functions.items():
            for _ in range(batch):
                begin = time.perf_counter()
                function()
                samples[name].append((time.perf_counter() - begin) * 1e6)
    return {name: p50(each) for name, each in samples.items()}
