"""Handwritten digits as sequences: house numbers to be read, and pictures to be painted or judged.

The pictures are the 1,797 of scikit-learn, 8 x 8 with 17 levels of grey (UCI optical recognition of
handwritten digits, test part; Alpaydin and Kaynak, 1998): real, and nothing to download. A fixed
fifth is held out, half for validation and half for the test: what is drawn from them shows pictures
that training never saw.

Shapes: N sequences, T steps, H and W height and width of a picture.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import Split
from odyssey.tasks.examples import Example
from odyssey.tasks.sequences import DrawnTask
from odyssey.tasks.signature import CLASSES, Condition, Signature, Values, Way

SIZE = 8
LEVELS = 17
DIGITS = tuple("0123456789")
END = "."


@cache
def load_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Gives the pictures (1797, 8, 8), 0 to 16, and the digits that they show (1797,)."""
    # scikit-learn's file: importing scikit-learn itself takes seconds
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None, "scikit-learn is a requirement"
    assert spec.submodule_search_locations, "scikit-learn is a package"
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    table = np.loadtxt(path, delimiter=",")  # 64 levels and the digit in every row
    return table[:, :-1].reshape(-1, SIZE, SIZE).astype(np.uint8), table[:, -1].astype(np.int64)


@cache
def digits_of(split: Split) -> NDArray[np.int64]:
    """Gives the numbers of the pictures of a split: 1,437 of train, 180 each of valid and test."""
    order = np.random.default_rng(0).permutation(len(load_digits()[1]))
    return {"train": order[360:], "valid": order[:180], "test": order[180:360]}[split]


class HouseNumbers(DrawnTask):
    """Reads house numbers from left to right: pictures of 1 to `digits` digits (Ba et al., 2015).

    A picture has its digits side by side, at random distances and heights, on black. At every step
    the model is told the digit before (at first, the mark of the start) and predicts the next one,
    at last the end. A model that does not look at the picture can know how long numbers are, and
    nothing else.

    Args:
        name: The normalised spec.
        digits: The most digits of a number.
        way: How the picture gets in; see `Condition`.
    """

    height = 12

    def __init__(self, name: str, *, digits: int, way: Way) -> None:
        self._digits = digits
        self.width = (SIZE + 1) * digits + 3
        marks = len(DIGITS) + 1  # the start of the input is the end of the output
        shape = (self.height, self.width, 1)
        super().__init__(
            name,
            signature=Signature(
                Values(CLASSES, marks), Values(CLASSES, marks), Condition(shape, way)
            ),
            symbols=(*DIGITS, END),
            counted="every digit and the end",
            facts={"data": "scikit-learn's handwritten digits", "digits": digits, "look": way},
        )
        self.start = self.end = len(DIGITS)

    @property
    def exact(self) -> bool:
        """Says that a number can be read wholly right."""
        return True

    def draw(self, rng: np.random.Generator, count: int, split: Split) -> Sequence[Example]:
        """Draws numbers of equally likely lengths."""
        pictures, shown = load_digits()
        own = digits_of(split)
        lengths_N = rng.integers(1, self._digits + 1, size=count)
        # free columns are spread over the gaps: before, between and behind the digits
        chosen = own[rng.integers(len(own), size=(count, self._digits))]
        down = rng.integers(self.height - SIZE + 1, size=(count, self._digits))
        places = rng.random((count, self._digits))
        canvas = np.zeros((count, self.height, self.width, 1), dtype=np.float32)
        examples = []
        for n, length in enumerate(lengths_N):
            free = self.width - SIZE * length
            gaps = np.sort((places[n, :length] * (free + 1)).astype(np.int64))
            lefts = gaps + SIZE * np.arange(length)
            for k in range(length):
                left, top = lefts[k], down[n, k]
                picture = pictures[chosen[n, k]]
                canvas[n, top : top + SIZE, left : left + SIZE, 0] = picture / (LEVELS - 1)
            answer = np.append(shown[chosen[n, :length]], len(DIGITS))
            examples.append(
                Example(
                    inputs_T=np.append(len(DIGITS), answer[:-1]),
                    targets_T=answer,
                    given=canvas[n],
                    columns_T=np.append(lefts + (SIZE - 1) / 2, np.nan),
                )
            )
        return examples
