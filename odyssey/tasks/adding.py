"""The adding problem: two marked numbers among many are to be added up.

Hochreiter and Schmidhuber (1997, experiment 4), in the form of Le, Jaitly and Hinton (2015): every
step has a number, uniform in [0, 1), and a mark; two steps, anywhere in the sequence, have the mark
1, all others 0. After the last step the sum of the two marked numbers is to be said. Saying 1
whatever was read has a mean squared error of 1/6, the variance of the sum; 0 can be reached.

Shapes: N sequences, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from odyssey.tasks.base import CERTAIN, Baseline, Split
from odyssey.tasks.examples import Example, pack_equal
from odyssey.tasks.sequences import DrawnTask
from odyssey.tasks.signature import NEAR, REALS, Signature, Values

LONGEST = 10_000


class Adding(DrawnTask):
    """Adds two marked numbers.

    Args:
        name: The normalised spec.
        length: Steps T, at least two.
    """

    def __init__(self, name: str, *, length: int) -> None:
        self._length = length
        super().__init__(
            name,
            signature=Signature(Values(REALS, 2), Values(REALS, 1)),
            counted="the last step",
            facts={"length": length},
            most_steps=length,
        )
        # of a sum s the density is 1 - |s - 1|
        self.chance = Baseline(nats=1 / 6, accuracy=NEAR * (2 - NEAR))
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int, split: Split) -> Sequence[Example]:
        """Draws sequences; every pair of steps is equally likely to be marked."""
        T = self._length
        numbers_NT = rng.random((count, T), dtype=np.float32)
        first_N = rng.integers(T, size=count)
        second_N = (first_N + rng.integers(1, T, size=count)) % T  # another one
        rows = np.arange(count)
        marks_NT = np.zeros((count, T), dtype=np.float32)
        marks_NT[rows, first_N] = marks_NT[rows, second_N] = 1
        inputs_NTI = np.stack([numbers_NT, marks_NT], -1)
        targets_NTK = np.zeros((count, T, 1), dtype=np.float32)
        targets_NTK[:, -1, 0] = numbers_NT[rows, first_N] + numbers_NT[rows, second_N]
        last_T = np.arange(T) == T - 1
        return pack_equal(inputs_NTI, targets_NTK, last_T)
