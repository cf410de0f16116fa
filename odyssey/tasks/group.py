"""Word problems of groups: the product of what has been read, at every step.

Shapes: S sequences, L elements of a sequence, G elements of the group, W places of a sequence.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import CERTAIN, guess
from odyssey.tasks.generated import ALPHABET, END, GeneratedTask, Sequences, from_rows

_ASKED = "?"
# Letters of Latin-1 go on where the alphabet ends: S5 has 120 elements.
ELEMENTS = ALPHABET + "".join(chr(c) for c in range(0xC0, 0x100) if chr(c).isalpha())

Permutation = tuple[int, ...]


class Group(GeneratedTask):
    """Reads elements of a group and tells their product after each: `bbcf.` for two elements.

    The word problems of Merrill, Petty and Sabharwal (2024, section 5): of Z2 it is parity, of
    the solvable S3 a small automaton, of A5 and S5 it is complete for NC1. The answers count, and
    each is read as `?`: from the last product and the next element anybody could tell the next
    product. The first symbol stands for the identity.

    Args:
        name: The normalised spec.
        group: The name of the group, of `GROUPS`.
        length: The number of elements in a sequence.
    """

    blank = _ASKED

    def __init__(self, name: str, *, group: str, length: int) -> None:
        permutations = GROUPS[group]()
        self._length = length
        self._table_GG = _products(permutations)
        order = len(permutations)
        super().__init__(
            name,
            symbols=(*ELEMENTS[:order], _ASKED, END),
            counted="the product after every element",
            mean_length=2 * length + 1,
            prime="b",
            options={"group": group, "length": length},
        )
        self.chance = guess([1.0] * order)
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws elements and multiplies them from left to right."""
        order = len(self._table_GG)
        element_SL = rng.integers(order, size=(count, self._length), dtype=np.uint8)
        rows_SW = np.empty((count, 2 * self._length + 1), dtype=np.uint8)
        rows_SW[:, 0:-1:2] = element_SL
        product_S = np.zeros(count, dtype=np.uint8)
        for step in range(self._length):
            product_S = self._table_GG[product_S, element_SL[:, step]]
            rows_SW[:, 2 * step + 1] = product_S
        rows_SW[:, -1] = order + 1  # the end
        return from_rows(rows_SW, np.arange(rows_SW.shape[1]) % 2 == 1)


def _rotations(points: int) -> list[Permutation]:
    return [tuple((i + k) % points for i in range(points)) for k in range(points)]


def _symmetric(points: int) -> list[Permutation]:
    return list(itertools.permutations(range(points)))


def _alternating(points: int) -> list[Permutation]:
    def even(p: Permutation) -> bool:
        return sum(p[i] > p[j] for i, j in itertools.combinations(range(points), 2)) % 2 == 0

    return [p for p in _symmetric(points) if even(p)]


GROUPS: dict[str, Callable[[], list[Permutation]]] = {
    "Z2": lambda: _rotations(2),
    "S3": lambda: _symmetric(3),
    "A4": lambda: _alternating(4),
    "S4": lambda: _symmetric(4),
    "Z60": lambda: _rotations(60),
    "A5": lambda: _alternating(5),
    "S5": lambda: _symmetric(5),
}
"""The permutations of every group, the identity first."""


def _products(permutations: list[Permutation]) -> NDArray[np.uint8]:
    """Tabulates the product of two elements: first the one, then the other."""
    index = {p: i for i, p in enumerate(permutations)}
    return np.array(
        [[index[tuple(q[i] for i in p)] for q in permutations] for p in permutations],
        dtype=np.uint8,
    )
