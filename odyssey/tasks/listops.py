"""ListOps: nested lists of digits under maximum, minimum, median and sum.

Shapes: S sequences, V values of a digit, N and C as in `trees.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from odyssey.tasks.base import CERTAIN, guess
from odyssey.tasks.generated import END, GeneratedTask, Sequences
from odyssey.tasks.trees import Level, Shape, draw_levels, evaluate, lay_out

DIGITS = "0123456789"
OPERATORS = "MmDS"
"""Maximum, minimum, median and the sum modulo 10."""
_CLOSE, _EQUALS = "]", "="
SYMBOLS = (*DIGITS, *OPERATORS, _CLOSE, _EQUALS, END)
_NESTED = 0.4


class ListOps(GeneratedTask):
    """Evaluates nested lists: `M29m47]0]=9.` is the maximum of 2, 9, the minimum of 4 and 7, and 0.

    Nangia and Bowman (2018), in one symbol an operator; of an even number of digits the median is
    the mean of the two in the middle, rounded down. The trees of Tay et al. (2021) are wide and
    shallow; these are short and deep.

    Args:
        name: The normalised spec.
        depth: The most operators from the root to a digit.
        arguments: The most arguments of an operator; the fewest are 2.
    """

    def __init__(self, name: str, *, depth: int, arguments: int) -> None:
        self._shape = Shape(depth, arguments, nested=_NESTED, digits=len(DIGITS), between=0)
        super().__init__(
            name,
            symbols=SYMBOLS,
            counted="the answer",
            mean_length=self._shape.mean_size + 3,
            prime="M3m47]]=" if depth > 1 else "M37]=",
            options={"depth": depth, "arguments": arguments},
            mean_counted=1,
        )
        self.chance = guess(_answers(self._shape))
        self.optimum = CERTAIN

    def draw(self, rng: np.random.Generator, count: int) -> Sequences:
        """Draws trees and evaluates them."""
        levels = draw_levels(rng, count, self._shape)
        operators = [
            rng.integers(len(OPERATORS), size=level.first_N.size, dtype=np.uint8)
            for level in levels
        ]
        places, total = lay_out(levels, between=self._shape.between, after=3)
        symbols_N = np.empty(total, dtype=np.uint8)
        for level, operator_N, place in zip(levels, operators, places, strict=True):
            leaf_C = ~level.inner_C
            symbols_N[place.child_C[leaf_C]] = level.digit_C[leaf_C]
            symbols_N[place.opens_N] = operator_N + np.uint8(len(DIGITS))
            symbols_N[place.closes_N] = SYMBOLS.index(_CLOSE)
        equals_S = places[0].closes_N + 1
        symbols_N[equals_S] = SYMBOLS.index(_EQUALS)
        symbols_N[equals_S + 1] = evaluate(levels, operators, _combine)
        symbols_N[equals_S + 2] = SYMBOLS.index(END)
        counted_N = np.zeros(total, dtype=np.bool_)
        counted_N[equals_S + 1] = True
        return Sequences(symbols_N, counted_N, equals_S + 3)


def _combine(
    level: Level, operator_N: NDArray[np.uint8], value_C: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Applies every node's operator to the values of its children."""
    order_C = np.argsort(16 * level.node_C + value_C)  # every node's children by size
    sorted_C = value_C[order_C]
    size_N = np.diff(level.first_N, append=value_C.size)
    middle_N = (
        sorted_C[level.first_N + (size_N - 1) // 2] + sorted_C[level.first_N + size_N // 2]
    ) // 2
    results = (
        sorted_C[level.first_N + size_N - 1],
        sorted_C[level.first_N],
        middle_N,
        np.add.reduceat(value_C, level.first_N) % len(DIGITS),
    )
    return np.choose(operator_N, results)


def _answers(shape: Shape) -> NDArray[np.float64]:
    """Computes the probability of every answer, by enumeration of the children's values."""
    digits = np.full(shape.digits, 1 / shape.digits)
    child_V = digits
    for _ in range(shape.depth):
        node_V = np.zeros(shape.digits)
        for children in range(2, shape.most + 1):
            value_NC = np.indices((shape.digits,) * children).reshape(children, -1).T
            chance_N = child_V[value_NC].prod(axis=1) / (shape.most - 1) / len(OPERATORS)
            level = Level(
                first_N=np.arange(len(value_NC)) * children,
                node_C=np.repeat(np.arange(len(value_NC)), children),
                inner_C=np.zeros(value_NC.size, dtype=np.bool_),
                digit_C=np.zeros(value_NC.size, dtype=np.uint8),
            )
            for operator in range(len(OPERATORS)):
                operator_N = np.full(len(value_NC), operator, dtype=np.uint8)
                value_N = _combine(level, operator_N, value_NC.ravel())
                node_V += np.bincount(value_N, weights=chance_N, minlength=shape.digits)
        child_V = shape.nested * node_V + (1 - shape.nested) * digits
    return node_V
