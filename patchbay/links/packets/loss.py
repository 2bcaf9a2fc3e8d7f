"""Which packets are lost: one object with one question for each model."""

from __future__ import annotations

from random import Random
from typing import Protocol

from patchbay.values import FourState, GilbertElliott, LinkCondition


class Loss(Protocol):
    """A model of loss."""

    def next(self) -> bool:
        """Whether the next packet is lost."""


class Independent:
    """Each packet is lost with the same probability, whatever became of others."""

    def __init__(self, share: float, random: Random) -> None:
        self._share = share
        self._random = random.random

    def next(self) -> bool:
        """Whether the next packet is lost."""
        return self._random() < self._share


class GoodOrBad:
    """The two states of Gilbert and Elliott; two draws for each packet."""

    def __init__(self, model: GilbertElliott, random: Random) -> None:
        self._to_other = (model.to_bad_pct / 100, model.to_good_pct / 100)
        self._loss = (model.loss_good_pct / 100, model.loss_bad_pct / 100)
        self._random = random.random
        self._bad = False

    def next(self) -> bool:
        """Whether the next packet is lost."""
        lost = self._random() < self._loss[self._bad]
        if self._random() < self._to_other[self._bad]:
            self._bad = not self._bad
        return lost


_RECEIVED, _RECEIVED_IN_BURST, _LOST_IN_BURST, _LOST_ALONE = 1, 2, 3, 4


class FourStates:
    """The chain of Salsano et al.; one draw for each packet."""

    def __init__(self, model: FourState, random: Random) -> None:
        assert model.p31_pct is not None, "the model fills it in"
        self._p13, self._p14 = model.p13_pct / 100, model.p14_pct / 100
        self._p31, self._p32 = model.p31_pct / 100, model.p32_pct / 100
        self._p23 = model.p23_pct / 100
        self._random = random.random
        self._state = _RECEIVED

    def next(self) -> bool:
        """Whether the next packet is lost."""
        drawn = self._random()
        match self._state:
            case 1:
                if drawn < self._p13:
                    self._state = _LOST_IN_BURST
                elif drawn < self._p13 + self._p14:
                    self._state = _LOST_ALONE
            case 2:
                if drawn < self._p23:
                    self._state = _LOST_IN_BURST
            case 3:
                if drawn < self._p31:
                    self._state = _RECEIVED
                elif drawn < self._p31 + self._p32:
                    self._state = _RECEIVED_IN_BURST
            case _:
                self._state = _RECEIVED
        return self._state in (_LOST_IN_BURST, _LOST_ALONE)


def loss_of(condition: LinkCondition, random: Random) -> Loss | None:
    """The model of loss of a condition; None if nothing is lost."""
    model = condition.loss_model
    if model is None and condition.loss_burst_pkts > 1 and 0 < condition.loss_pct < 100:
        model = GilbertElliott.of_bursts(condition.loss_pct, condition.loss_burst_pkts)
    if isinstance(model, GilbertElliott):
        return GoodOrBad(model, random)
    if model is not None:
        return FourStates(model, random)
    return Independent(condition.loss_pct / 100, random) if condition.loss_pct else None
