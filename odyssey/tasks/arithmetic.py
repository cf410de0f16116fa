"""The arithmetic task of Jozefowicz et al. (2015, section 3.3).

Shapes: N sequences, W columns of the widest sequence without its distractors.
"""

from __future__ import annotations

import string

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import CERTAIN
from odyssey.tasks.generated import GeneratedTask, Sequences

ARITHMETIC_SYMBOLS = tuple(string.ascii_lowercase + string.digits + "+-=.")
_ZERO = ARITHMETIC_SYMBOLS.index("0")
_PLUS, _MINUS, _EQUALS, _END = (ARITHMETIC_SYMBOLS.index(symbol) for symbol in "+-=.")
_POWERS = 10 ** np.arange(19, dtype=np.int64)


class Arithmetic(GeneratedTask):
    """Reads a sum or a difference among distractors and writes the result, digit by digit.

    `3e36d9-h1h39f94eeh43keg3c=-13991064.` means 3369 - 13994433 = -13991064. The number of
    digits of either operand is uniform: in the paper's example they have 4 and 8, which uniform
    values would make rare. Each input character is followed by a geometric number of random
    letters; the paper leaves their distribution open, and its example has 0.92 a character.

    Args:
        name: The normalised spec.
        digits: The most digits an operand has, at most 18.
        distractors: The probability that one more distractor follows.
    """

    warmup = 0  # the scores that are kept were measured so

    def __init__(self, name: str, *, digits: int, distractors: float) -> None:
        self._digits = digits
        self._distractors = distractors
        inputs = 2 * (digits + 1) / 2 + 1
        super().__init__(
            name,
            symbols=ARITHMETIC_SYMBOLS,
            counted="the answer, with its final '.'",
            mean_length=inputs / (1 - distractors) + 0.75 * digits + 3,
            prime="12+30=" if digits > 1 else "2+3=",
            options={"digits": digits, "distractors": distractors},
        )
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws sums and differences among distractors."""
        digits = self._digits
        sizes = rng.integers(1, digits + 1, size=(2, count))
        least = np.where(sizes == 1, 0, _POWERS[sizes - 1])
        left, right = rng.integers(least, _POWERS[sizes])
        minus = rng.integers(2, size=count, dtype=np.uint8).astype(np.bool_)
        answer = np.where(minus, left - right, left + right)
        magnitude = np.abs(answer)
        answer_size = np.maximum(np.searchsorted(_POWERS, magnitude, side="right"), 1)

        # Every sequence without distractors, in columns of fixed width; `used` drops the gaps.
        width = 2 * digits + 1
        rows = np.empty((count, 3 * digits + 5), dtype=np.uint8)
        used = np.ones(rows.shape, dtype=np.bool_)
        _write(left, sizes[0], rows[:, :digits], used[:, :digits])
        rows[:, digits] = np.where(minus, _MINUS, _PLUS)
        _write(right, sizes[1], rows[:, digits + 1 : width], used[:, digits + 1 : width])
        rows[:, width] = _EQUALS
        rows[:, width + 1] = _MINUS
        used[:, width + 1] = answer < 0
        _write(magnitude, answer_size, rows[:, width + 2 : -1], used[:, width + 2 : -1])
        rows[:, -1] = _END

        # A symbol and the distractors after it take 1 + Geometric(p) - 1 places.
        places = np.ones(rows.shape, dtype=np.int64)
        places[:, :width] = rng.geometric(1 - self._distractors, size=(count, width))
        after = np.cumsum(places[used])
        at = after - places[used]
        symbols = rng.integers(26, size=int(after[-1]), dtype=np.uint8)
        symbols[at] = rows[used]
        is_answer = np.broadcast_to(np.arange(rows.shape[1]) > width, rows.shape)
        counted = np.zeros(symbols.shape, dtype=np.bool_)
        counted[at[is_answer[used]]] = True
        return Sequences(symbols, counted, after[np.cumsum(used.sum(axis=1)) - 1])


def _write(
    numbers: NDArray[np.int64],
    sizes: NDArray[np.int64],
    rows: NDArray[np.uint8],
    used: NDArray[np.bool_],
) -> None:
    """Writes numbers (N,) of `sizes` digits into right-aligned columns (N, W)."""
    rest = numbers
    for column in range(rows.shape[1] - 1, -1, -1):
        tenth = rest // 10
        rows[:, column] = rest - 10 * tenth + _ZERO
        rest = tenth
    used[:] = np.arange(rows.shape[1], 0, -1) <= sizes[:, None]
