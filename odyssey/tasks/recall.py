"""Find what stood beside a key, or after a mark: `recall` and `induction`.

Shapes: S sequences, P pairs of a sequence, K keys, N symbols in a row, W places of a sequence.
"""

from __future__ import annotations

import string

import numpy as np

from odyssey.errors import TaskError
from odyssey.tasks.base import CERTAIN, guess
from odyssey.tasks.generated import ALPHABET, CUE, END, GeneratedTask, Sequences, from_rows

KEYS = string.ascii_lowercase
VALUES = string.ascii_uppercase + string.digits


class Recall(GeneratedTask):
    """Reads pairs of a key and a value, then gives the values of keys: `aXcYbZ>bZaXbZ.`

    The multi-query associative recall (MQAR) of Arora et al. (2023, section 3.1). As many keys are
    asked for as there are pairs, each of them any of those read; there, each is asked for once, and
    who remembers the values without their keys could tell the last ones by elimination.

    Args:
        name: The normalised spec.
        pairs: How many pairs there are, with different keys.
        keys: How many keys there are to choose from.
        values: How many values there are to choose from.

    Raises:
        TaskError: There are more pairs than keys.
    """

    def __init__(self, name: str, *, pairs: int, keys: int, values: int) -> None:
        if pairs > keys:
            raise TaskError(f"pairs={pairs} for {name}, with keys={keys}; expected at most {keys}")
        self._pairs, self._keys, self._values = pairs, keys, values
        given = [KEYS[i] + VALUES[i % values] for i in range(pairs)]
        super().__init__(
            name,
            symbols=(*KEYS[:keys], *VALUES[:values], CUE, END),
            counted="the values of the keys that are asked for",
            mean_length=4 * pairs + 2,
            prime="".join(given) + CUE + KEYS[pairs - 1],
            options={"pairs": pairs, "keys": keys, "values": values},
            mean_counted=pairs,
        )
        self.chance = guess([1.0] * values)
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws pairs, and which of them are asked for."""
        pairs = self._pairs
        keys_SK = np.tile(np.arange(self._keys, dtype=np.uint8), (count, 1))
        key_SP = rng.permuted(keys_SK, axis=1)[:, :pairs]
        value_SP = rng.integers(self._values, size=(count, pairs), dtype=np.uint8)
        value_SP += np.uint8(self._keys)
        asked_SP = rng.integers(pairs, size=(count, pairs))
        rows_SW = np.empty((count, 4 * pairs + 2), dtype=np.uint8)
        first = 2 * pairs + 1  # that is asked for
        rows_SW[:, 0 : first - 1 : 2] = key_SP
        rows_SW[:, 1 : first - 1 : 2] = value_SP
        rows_SW[:, first - 1] = self._keys + self._values  # the cue
        rows_SW[:, first:-1:2] = np.take_along_axis(key_SP, asked_SP, axis=1)
        rows_SW[:, first + 1 : -1 : 2] = np.take_along_axis(value_SP, asked_SP, axis=1)
        rows_SW[:, -1] = self._keys + self._values + 1  # the end
        counted_W = np.zeros(rows_SW.shape[1], dtype=np.bool_)
        counted_W[first + 1 : -1 : 2] = True
        return from_rows(rows_SW, counted_W)


class Induction(GeneratedTask):
    """Reads random symbols, one of them after a mark, and gives that one: `acb>dabc>d.`

    The induction heads task of Gu and Dao (2023, section 4.1.2), after Olsson et al. (2022).

    Args:
        name: The normalised spec.
        length: How many symbols are read, with the mark.
        symbols: How many symbols there are to choose from.
    """

    def __init__(self, name: str, *, length: int, symbols: int) -> None:
        self._length, self._choices = length, symbols
        example = "".join(ALPHABET[i % symbols] for i in range(length - 1))
        super().__init__(
            name,
            symbols=(*ALPHABET[:symbols], CUE, END),
            counted="the symbol after the second mark",
            mean_length=length + 3,
            prime=CUE + example + CUE,
            options={"length": length, "symbols": symbols},
            mean_counted=1,
        )
        self.chance = guess([1.0] * symbols)
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws symbols, and where the mark stands."""
        length, row_S = self._length, np.arange(count)
        rows_SW = np.empty((count, length + 3), dtype=np.uint8)
        rows_SW[:, :length] = rng.integers(self._choices, size=(count, length), dtype=np.uint8)
        mark_S = rng.integers(length - 1, size=count)
        rows_SW[row_S, mark_S] = self._choices
        rows_SW[:, length] = self._choices
        rows_SW[:, length + 1] = rows_SW[row_S, mark_S + 1]
        rows_SW[:, -1] = self._choices + 1  # the end
        return from_rows(rows_SW, np.arange(length + 3) == length + 1)
