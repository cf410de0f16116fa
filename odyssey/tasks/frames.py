"""A film of handwritten digits, with an answer at every frame: many to many, in step.

Shapes: N sequences, T steps (frames), I pixels of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import Split, guess
from odyssey.tasks.digits import DIGITS, LEVELS, SIZE, digits_of, load_digits
from odyssey.tasks.examples import Example, pack_equal
from odyssey.tasks.sequences import DrawnTask
from odyssey.tasks.signature import CLASSES, REALS, Signature, Values

SUM, SEEN = "sum", "seen"
COUNTS = (SUM, SEEN)
SOUGHT = 7


class Frames(DrawnTask):
    """Sees one digit after the other, and says at each the sum so far, modulo 10.

    Digits are equally likely. To read them alone is worth nothing: the sum of all so far is as
    random as the digit, and one that was misread spoils all sums that follow.

    Args:
        name: The normalised spec.
        length: How many frames there are.
        count: `sum`, or `seen`: whether a 7 has been seen.
    """

    def __init__(self, name: str, *, length: int, count: str) -> None:
        self._length, self._seen = length, count == SEEN
        symbols = ("no", "yes") if self._seen else DIGITS
        super().__init__(
            name,
            signature=Signature(Values(REALS, SIZE * SIZE), Values(CLASSES, len(symbols))),
            symbols=symbols,
            counted="the answer at every frame",
            facts={
                "data": "scikit-learn's handwritten digits",
                "length": length,
                "count": f"whether a {SOUGHT} was seen" if self._seen else "sum modulo 10",
            },
        )
        self.chance = guess([1.0] * len(DIGITS))
        if self._seen:
            unseen = sum((1 - 1 / len(DIGITS)) ** frame for frame in range(1, length + 1))
            self.chance = guess([unseen, length - unseen])

    @property
    def exact(self) -> bool:
        """Says that all frames of a sequence can be answered right."""
        return True

    def draw(self, rng: np.random.Generator, count: int, split: Split) -> Sequence[Example]:
        """Draws digits, and for each a picture of it that the split has."""
        _, shown = load_digits()
        own = digits_of(split)
        digit_NT = rng.integers(len(DIGITS), size=(count, self._length))
        which_NT = rng.random((count, self._length))
        chosen_NT = np.empty(digit_NT.shape, dtype=np.int64)
        for digit in range(len(DIGITS)):
            those = own[shown[own] == digit]
            there = digit_NT == digit
            chosen_NT[there] = those[(which_NT[there] * len(those)).astype(np.int64)]
        frames_NTI = _grey_levels()[chosen_NT]
        answer_NT = digit_NT.cumsum(axis=1) % len(DIGITS)
        if self._seen:
            answer_NT = (digit_NT == SOUGHT).cumsum(axis=1).clip(max=1)
        return pack_equal(frames_NTI, answer_NT, np.ones(self._length, dtype=np.bool_))


@cache
def _grey_levels() -> NDArray[np.float32]:
    """Gives all pictures (1797, 64), from 0 to 1."""
    pictures, _ = load_digits()
    return pictures.reshape(len(pictures), -1).astype(np.float32) / np.float32(LEVELS - 1)
