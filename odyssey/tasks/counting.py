"""The language a^n b^n c^n, for which a cell has to count.

Shapes: S sequences, L letters, R runs of one letter of all sequences.
"""

from __future__ import annotations

import math
import string

import numpy as np

from odyssey.tasks.base import Baseline, guess
from odyssey.tasks.generated import END, GeneratedTask, Sequences

LETTERS = string.ascii_lowercase


class Counting(GeneratedTask):
    """Predicts runs of the same length, a letter each: `aaabbbccc.`

    The language a^n b^n c^n of Gers and Schmidhuber (2001), with n uniform from 1 to `length`: once
    the first `b` is read, the rest is certain. Before it there are ln(length) nats a sequence.

    Args:
        name: The normalised spec.
        length: The longest run.
        letters: How many letters take turns: 2 is the context-free a^n b^n.
    """

    def __init__(self, name: str, *, length: int, letters: int) -> None:
        self._length, self._letters = length, letters
        mean = (length + 1) / 2
        symbols = letters * mean + 1
        super().__init__(
            name,
            symbols=(*LETTERS[:letters], END),
            counted="every character",
            mean_length=symbols,
            prime="a" * math.ceil(mean) + "b",
            options={"length": length, "letters": letters},
        )
        self.chance = guess([*[mean] * letters, 1])
        # To say `a` as long as n can be greater misses the first `b`, unless n is the greatest.
        missed = (length - 1) / length
        self.optimum = Baseline(nats=math.log(length) / symbols, accuracy=1 - missed / symbols)

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws the length of the runs."""
        length_S = rng.integers(1, self._length + 1, size=count)
        times_SL = np.repeat(length_S[:, None], self._letters + 1, axis=1)
        times_SL[:, -1] = 1  # the end
        run_R = np.tile(np.arange(self._letters + 1, dtype=np.uint8), count)
        symbols_N = np.repeat(run_R, times_SL.ravel())
        ends = np.cumsum(times_SL.sum(axis=1))
        return Sequences(symbols_N, np.ones(symbols_N.shape, dtype=np.bool_), ends)
