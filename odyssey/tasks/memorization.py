"""The memorisation screen of Jozefowicz et al. (2015, section 3.2).

Shapes: N sequences, M symbols to remember.
"""

from __future__ import annotations

import numpy as np

from odyssey.tasks.base import CERTAIN, guess
from odyssey.tasks.generated import ALPHABET, CUE, END, GeneratedTask, Sequences, from_rows


class Memorization(GeneratedTask):
    """Reads symbols and reproduces them in order: `kqxab>kqxab.`

    Args:
        name: The normalised spec.
        length: How many symbols are to be remembered.
        symbols: How many symbols there are to choose from.
    """

    warmup = 0  # the scores that are kept were measured so

    def __init__(self, name: str, *, length: int, symbols: int) -> None:
        self._length = length
        self._choices = symbols
        example = "".join(ALPHABET[i % symbols] for i in range(length))
        super().__init__(
            name,
            symbols=(*ALPHABET[:symbols], CUE, END),
            counted="the reproduced symbols",
            mean_length=2 * length + 2,
            prime=example + CUE,
            options={"length": length, "symbols": symbols},
        )
        self.chance = guess([1.0] * symbols)
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws what is to be remembered and repeats it."""
        length = self._length
        given_NM = rng.integers(self._choices, size=(count, length), dtype=np.uint8)
        rows = np.empty((count, 2 * length + 2), dtype=np.uint8)
        rows[:, :length] = given_NM
        rows[:, length] = self._choices  # the cue
        rows[:, length + 1 : -1] = given_NM
        rows[:, -1] = self._choices + 1  # the end
        counted = np.zeros(rows.shape[1], dtype=np.bool_)
        counted[length + 1 : -1] = True
        return from_rows(rows, counted)
