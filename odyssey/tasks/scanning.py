"""Handwritten digits, read piece by piece and told at the end: many to one, of real numbers.

Shapes: N pictures, T steps, I pixels a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from odyssey.tasks.base import Split, guess
from odyssey.tasks.digits import DIGITS, LEVELS, SIZE, digits_of, load_digits
from odyssey.tasks.examples import Example
from odyssey.tasks.sequences import FiniteTask
from odyssey.tasks.signature import CLASSES, REALS, Signature, Values

PIXELS = SIZE * SIZE
AT_ONCE: Mapping[str, int] = {"pixels": 1, "rows": SIZE, "picture": PIXELS}
"""The ways to read a picture, with how many pixels a step takes."""

ORDERS = ("rows", "permuted")


class Digits(FiniteTask):
    """Says which digit a picture shows, after it has read the last pixel.

    Sequential MNIST (Le, Jaitly and Hinton, 2015) in small: pictures of 64 pixels from 0 to 1, row
    by row, or in one random order that is the same for all pictures, which leaves no neighbours.

    Args:
        name: The normalised spec.
        read: What a step reads, one of `AT_ONCE`: with `picture` there is one step.
        order: Of the pixels, one of `ORDERS`.
    """

    def __init__(self, name: str, *, read: str, order: str) -> None:
        self._at_once = AT_ONCE[read]
        self._order = np.arange(PIXELS)
        if order == "permuted":
            self._order = np.random.default_rng(0).permutation(PIXELS)
        super().__init__(
            name,
            signature=Signature(Values(REALS, self._at_once), Values(CLASSES, len(DIGITS))),
            symbols=DIGITS,
            counted="the digit, at the last step",
            facts={"data": "scikit-learn's handwritten digits", "read": read, "order": order},
        )
        self.chance = guess(np.bincount(load_digits()[1]))

    def examples(self, split: Split) -> Sequence[Example]:
        """Gives the pictures of a split as sequences."""
        pictures, shown = load_digits()
        own = digits_of(split)
        pixels = pictures[own].reshape(len(own), PIXELS)[:, self._order] / np.float32(LEVELS - 1)
        inputs_NTI = pixels.reshape(len(own), -1, self._at_once)
        steps = inputs_NTI.shape[1]
        last_T = np.arange(steps) == steps - 1
        return [
            Example(inputs_T=x_TI, targets_T=np.full(steps, digit), weights_T=last_T)
            for x_TI, digit in zip(inputs_NTI, shown[own], strict=True)
        ]
