"""Handwritten digits as a language: their label, then 64 grey levels, each from those before.

A model of it paints digits (the idea of DRAW, Gregor et al., 2015, without its attention), and is a
classifier by the way: of ten labels, the one under which a picture is likeliest.

Shapes: N pictures, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import Split, guess
from odyssey.tasks.digits import DIGITS, LEVELS, SIZE, digits_of, load_digits
from odyssey.tasks.examples import Example
from odyssey.tasks.sequences import FiniteTask
from odyssey.tasks.signature import CLASSES, Signature, Values

_GREYS = " .:-=+*abcdefgh#@"  # as text, for tables
assert len(_GREYS) == LEVELS


class Paint(FiniteTask):
    """Predicts the grey levels of a picture row by row, once it was told which digit it shows.

    Classes of the output are the levels, 0 where nothing was written. Those of the input are the
    same, with the ten labels behind them: what was predicted can be read as it is.

    Args:
        name: The normalised spec.
        levels: How many grey levels there are: 17 as in the data, or fewer, for which neighbours
            are joined.
    """

    pixels = SIZE * SIZE
    labels = len(DIGITS)

    def __init__(self, name: str, *, levels: int) -> None:
        self.levels = levels
        super().__init__(
            name,
            signature=Signature(Values(CLASSES, levels + len(DIGITS)), Values(CLASSES, levels)),
            symbols=tuple(_GREYS[level * LEVELS // levels] for level in range(levels)),
            counted="every grey level",
            facts={"data": "scikit-learn's handwritten digits", "levels": levels},
        )
        self.chance = guess(np.bincount(self._quantised(load_digits()[0]).ravel()))

    def label(self, digit: int) -> int:
        """Gives the input that says which digit comes."""
        assert 0 <= digit < self.labels
        return self.levels + digit

    def picture(self, levels: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint8]:
        """Puts the classes of an output together to a picture (8, 8)."""
        return np.array(levels, dtype=np.uint8).reshape(SIZE, SIZE)

    def examples(self, split: Split) -> Sequence[Example]:
        """Gives the pictures of a split as sequences of 64 steps, the label first."""
        pictures, shown = load_digits()
        own = digits_of(split)
        levels_NT = self._quantised(pictures[own]).reshape(len(own), self.pixels)
        return [
            Example(inputs_T=np.append(self.label(digit), levels_T[:-1]), targets_T=levels_T)
            for levels_T, digit in zip(levels_NT, shown[own], strict=True)
        ]

    def _quantised(self, pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
        return pictures.astype(np.int64) * self.levels // LEVELS
