"""Read symbols, then reproduce them: after a delay, out of many blanks, or backwards.

Shapes: S sequences, M symbols to remember, W places of the longest sequence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import CERTAIN, guess
from odyssey.tasks.generated import ALPHABET, CUE, END, GeneratedTask, Sequences, from_rows

_BLANK = "_"


class Copy(GeneratedTask):
    """Reads symbols, waits, and reproduces them in order: `kqxab____>kqxab.`

    The copying problem of Hochreiter and Schmidhuber (1997), in the form of Arjovsky, Shah and
    Bengio (2016, section 4.1). The reproduced symbols are read as they appear, as all of a stream.

    Args:
        name: The normalised spec.
        length: How many symbols are to be remembered.
        symbols: How many symbols there are to choose from.
        delay: How many blanks follow them.
    """

    def __init__(self, name: str, *, length: int, symbols: int, delay: int) -> None:
        self._length, self._choices, self._delay = length, symbols, delay
        super().__init__(
            name,
            symbols=(*ALPHABET[:symbols], _BLANK, CUE, END),
            counted="the reproduced symbols",
            mean_length=2 * length + delay + 2,
            prime=_example(length, symbols) + _BLANK * delay + CUE,
            options={"length": length, "symbols": symbols, "delay": delay},
            mean_counted=length,
        )
        self.chance = guess([1.0] * symbols)
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws what is to be remembered and repeats it."""
        given_SM = rng.integers(self._choices, size=(count, self._length), dtype=np.uint8)
        before_SW = np.full((count, self._length + self._delay), self._choices, dtype=np.uint8)
        before_SW[:, : self._length] = given_SM
        return _answered(before_SW, given_SM, cue=self._choices + 1)


class SelectiveCopy(GeneratedTask):
    """Reads symbols at random places among blanks and reproduces them in order: `_k__q_x>kqx.`

    The selective copying task of Gu and Dao (2023, section 3.1): what counts is told from what
    does not by its content, not by its place.

    Args:
        name: The normalised spec.
        length: How many symbols are to be remembered.
        symbols: How many symbols there are to choose from.
        blanks: How many blanks lie among them.
    """

    def __init__(self, name: str, *, length: int, symbols: int, blanks: int) -> None:
        self._length, self._choices, self._blanks = length, symbols, blanks
        apart = _BLANK * (blanks // length)
        example = apart.join(_example(length, symbols))
        super().__init__(
            name,
            symbols=(*ALPHABET[:symbols], _BLANK, CUE, END),
            counted="the reproduced symbols",
            mean_length=2 * length + blanks + 2,
            prime=example + _BLANK * (length + blanks - len(example)) + CUE,
            options={"length": length, "symbols": symbols, "blanks": blanks},
            mean_counted=length,
        )
        self.chance = guess([1.0] * symbols)
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws symbols, strews them among blanks and repeats them."""
        given_SM = rng.integers(self._choices, size=(count, self._length), dtype=np.uint8)
        holds_SW = np.zeros((count, self._length + self._blanks), dtype=np.bool_)
        holds_SW[:, : self._length] = True
        rng.permuted(holds_SW, axis=1, out=holds_SW)
        before_SW = np.full(holds_SW.shape, self._choices, dtype=np.uint8)
        before_SW[holds_SW] = given_SM.ravel()
        return _answered(before_SW, given_SM, cue=self._choices + 1)


class Reverse(GeneratedTask):
    """Reads 1 to `length` symbols and writes them backwards: `kqx>xqk.`

    The reversal of Grefenstette et al. (2015, section 4.1.2): a stack that is filled once and
    emptied once. How many symbols there are is random, so the end counts too.

    Args:
        name: The normalised spec.
        length: The most symbols that are to be remembered.
        symbols: How many symbols there are to choose from.
    """

    def __init__(self, name: str, *, length: int, symbols: int) -> None:
        self._length, self._choices = length, symbols
        mean = (length + 1) / 2
        super().__init__(
            name,
            symbols=(*ALPHABET[:symbols], CUE, END),
            counted="the reversed symbols, with their final '.'",
            mean_length=2 * mean + 2,
            prime=_example(length, symbols) + CUE,
            options={"length": length, "symbols": symbols},
        )
        self.chance = guess([*[mean / symbols] * symbols, 0, 1])
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws symbols, of which the last few of a row are used."""
        length = self._length
        used_S = rng.integers(1, length + 1, size=(count, 1))
        given_SM = rng.integers(self._choices, size=(count, length), dtype=np.uint8)
        rows_SW = np.empty((count, 2 * length + 2), dtype=np.uint8)
        rows_SW[:, :length] = given_SM
        rows_SW[:, length] = self._choices  # the cue
        rows_SW[:, length + 1 : -1] = given_SM[:, ::-1]
        rows_SW[:, -1] = self._choices + 1  # the end
        used_SW = np.ones(rows_SW.shape, dtype=np.bool_)
        used_SW[:, :length] = np.arange(length, 0, -1) <= used_S
        used_SW[:, length + 1 : -1] = np.arange(length) < used_S
        return from_rows(rows_SW, np.arange(rows_SW.shape[1]) > length, used_SW)


def _example(length: int, symbols: int) -> str:
    return "".join(ALPHABET[i % symbols] for i in range(length))


def _answered(before_SW: NDArray[np.uint8], given_SM: NDArray[np.uint8], *, cue: int) -> Sequences:
    """Lets cue, answer and end follow what is read; the class of the end is that after the cue."""
    start = before_SW.shape[1] + 1
    rows_SW = np.empty((len(before_SW), start + given_SM.shape[1] + 1), dtype=np.uint8)
    rows_SW[:, : start - 1] = before_SW
    rows_SW[:, start - 1] = cue
    rows_SW[:, start:-1] = given_SM
    rows_SW[:, -1] = cue + 1
    counted_W = np.zeros(rows_SW.shape[1], dtype=np.bool_)
    counted_W[start:-1] = True
    return from_rows(rows_SW, counted_W)
