"""Signals seen at irregular times, some of them each time: what are the others now?

Every signal is an Ornstein-Uhlenbeck process of mean 0 and variance 1, which forgets at its own
rate: what it was a time s ago is worth a factor e^(-rate s) now. The times between steps are
exponential with mean 1. At the first step all signals are seen, later each by chance; at every step
the values of all of them are to be said. Those that are seen can be copied; of another the best
guess is its last seen value, faded by the time that has passed: a model needs both the times and
the mask of what is seen (as in Che et al., 2018). The least error is known: v e^(-rate s) is off by
1 - e^(-2 rate s) in the mean square, which the gaps of j steps take to 1 - (1 / (1 + 2 rate))^j.

Shapes: N sequences, T steps, D signals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import Baseline, Split
from odyssey.tasks.examples import Example, pack_equal
from odyssey.tasks.sequences import DrawnTask
from odyssey.tasks.signature import NEAR, REALS, Part, Signature, Values


class Irregular(DrawnTask):
    """Says what signals are that are seen at irregular times.

    A step of the inputs has the values that are seen, 0 for others, and three named parts: `gap`,
    the time since the step before; `mask`, 1 for what is seen; and `since`, for each signal the
    time since it was seen before this step (delta of Che et al., 2018). Given the mask, `gap` and
    `since` tell the same: a cell that reads one of them by name does not get the other within x.

    Args:
        name: The normalised spec.
        signals: Signals D; the rate of signal d, from 0, is 2^-d.
        length: Steps T, at least two.
        seen: Probability with which a signal is seen at a step.
    """

    def __init__(self, name: str, *, signals: int, length: int, seen: float) -> None:
        self._signals, self._length, self._seen = signals, length, seen
        self.rates_D = 0.5 ** np.arange(signals)
        parts = (Part("gap", 1, "time"), Part("mask", signals), Part("since", signals, "time"))
        width = signals + sum(part.size for part in parts)
        super().__init__(
            name,
            signature=Signature(Values(REALS, width), Values(REALS, signals), parts=parts),
            counted="all signals at every step but the first",
            facts={
                "signals": signals,
                "length": length,
                "seen": seen,
                "by_name": ", ".join(f"{part.name} ({part.size})" for part in parts),
            },
            most_steps=length,
        )
        self.chance = Baseline(nats=signals, accuracy=math.erf(NEAR / math.sqrt(2)) ** signals)
        self.optimum = Baseline(nats=self._least_error(), accuracy=math.nan)

    def _least_error(self) -> float:
        """Gives the mean squared error of the best guess at a step, summed over signals."""
        missed = 1 - self._seen
        kept_D = 1 / (1 + 2 * self.rates_D)  # what a gap leaves of a variance, in the mean
        errors = [float((1 - kept_D**back).sum()) for back in range(self._length)]
        total = 0.0
        for step in range(1, self._length):
            for back in range(1, step + 1):  # steps since a signal was seen, at last at the first
                chance = missed**back * (self._seen if back < step else 1.0)
                total += chance * errors[back]
        return total / (self._length - 1)

    def draw(self, rng: np.random.Generator, count: int, split: Split) -> Sequence[Example]:
        """Draws sequences, each with times of its own."""
        T, D = self._length, self._signals
        gap_NT = rng.exponential(size=(count, T))
        gap_NT[:, 0] = 0
        mask_NTD = rng.random((count, T, D)) < self._seen
        mask_NTD[:, 0] = True
        noise_NTD = rng.normal(size=(count, T, D))
        value_NTD, since_NTD = np.empty((count, T, D)), np.zeros((count, T, D))
        value_NTD[:, 0] = noise_NTD[:, 0]
        for t in range(1, T):
            kept_ND = np.exp(-self.rates_D * gap_NT[:, t, None])
            fresh_ND = np.sqrt(1 - kept_ND**2) * noise_NTD[:, t]
            value_NTD[:, t] = kept_ND * value_NTD[:, t - 1] + fresh_ND
            waited_ND = np.where(mask_NTD[:, t - 1], 0, since_NTD[:, t - 1])
            since_NTD[:, t] = waited_ND + gap_NT[:, t, None]
        columns = (value_NTD * mask_NTD, gap_NT[..., None], mask_NTD, since_NTD)
        inputs_NTI: NDArray[np.float32] = np.concatenate(columns, -1).astype(np.float32)
        return pack_equal(inputs_NTI, value_NTD.astype(np.float32), np.arange(T) > 0)
