"""Models of loss that comes in bursts."""

from __future__ import annotations

from dataclasses import dataclass

from patchbay.errors import Problems
from patchbay.values.parsing import check_number


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Loss of a channel that is good or bad (Gilbert 1960, Elliott 1963), as tc-netem(8) has it.

    For each packet: it is lost with the probability of the state that the channel is in; then the
    channel may change its state.

    Attributes:
        to_bad_pct: probability that a good channel turns bad (`p`).
        to_good_pct: probability that a bad channel turns good (`r`); 100 divided by it is the
            mean number of packets that a bad state lasts.
        loss_bad_pct: share of packets that a bad channel loses (`1-h`).
        loss_good_pct: share of packets that a good channel loses (`1-k`).
    """

    to_bad_pct: float
    to_good_pct: float
    loss_bad_pct: float = 100
    loss_good_pct: float = 0

    def __post_init__(self) -> None:
        _check_shares(self, "to_bad_pct", "to_good_pct", "loss_bad_pct", "loss_good_pct")

    @classmethod
    def of_bursts(cls, loss_pct: float, burst_pkts: float) -> GilbertElliott:
        """Loss of a share of all packets, in bursts of a mean length.

        Raises:
            ConfigError: so much loss cannot come in bursts so short.
        """
        share = loss_pct / 100
        to_good = 1 / burst_pkts
        return cls(100 * to_good * share / (1 - share) if share < 1 else 100, 100 * to_good)

    @property
    def mean_loss_pct(self) -> float:
        """Share of packets that are lost in the long run."""
        change = self.to_bad_pct + self.to_good_pct
        bad = self.to_bad_pct / change if change else 0.0
        return bad * self.loss_bad_pct + (1 - bad) * self.loss_good_pct


@dataclass(frozen=True, slots=True)
class FourState:
    """Loss by a Markov chain of four states (Salsano et al., GI model), as tc-netem(8) has it.

    The states: 1, received in a gap between bursts of loss; 2, received within a burst; 3, lost
    within a burst; 4, lost alone in a gap. For each packet the chain takes one step, and the
    packet is lost if that ends in 3 or 4. From 4 it always returns to 1.

    Attributes:
        p13_pct: probability that a burst begins.
        p31_pct: probability that a burst ends after a loss; None for `100 - p13_pct`.
        p32_pct: probability that a packet is received after a loss within a burst.
        p23_pct: probability that a packet is lost after one received within a burst.
        p14_pct: probability of a loss alone.
    """

    p13_pct: float
    p31_pct: float | None = None
    p32_pct: float = 0
    p23_pct: float = 100
    p14_pct: float = 0

    def __post_init__(self) -> None:
        if self.p31_pct is None:
            object.__setattr__(self, "p31_pct", 100 - self.p13_pct)
        _check_shares(self, "p13_pct", "p31_pct", "p32_pct", "p23_pct", "p14_pct")
        problems = Problems()
        for first, second in (("p13_pct", "p14_pct"), ("p31_pct", "p32_pct")):
            if getattr(self, first) + getattr(self, second) > 100:
                problems.add(second, f"{first} and {second} are more than 100 per cent together")
        problems.check()


def _check_shares(model: object, *names: str) -> None:
    problems = Problems()
    for name in names:
        check_number(problems, name, getattr(model, name), 0, 100, "per cent")
    problems.check()
