"""Random trees of operators and digits: drawn, evaluated and laid out level by level.

A level holds all nodes of one depth, of all sequences, in the order in which they are written.
Their children are leaves, which are digits, or the nodes of the next level. So values and sizes
are computed from the last level up, places from the first one down, and no loop is over nodes.

Shapes: N nodes of a level, C children of all of them in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shape:
    """Says what trees look like.

    Attributes:
        depth: The most nodes from the root to a leaf.
        most: The most children of a node; the fewest are 2, and their number is uniform.
        nested: The probability that a child is a node, where the depth admits one.
        digits: How many digits there are to choose from.
        between: The symbols that are written between two children.
    """

    depth: int
    most: int
    nested: float
    digits: int
    between: int

    @property
    def mean_size(self) -> float:
        """Computes the mean number of symbols of a tree, with a bracket before and after a node."""
        children = (2 + self.most) / 2
        child = 1.0
        for _ in range(self.depth):
            node = 2 + children * child + (children - 1) * self.between
            child = 1 + self.nested * (node - 1)
        return node


@dataclass(frozen=True)
class Level:
    """Holds the nodes of one depth and their children.

    Attributes:
        first_N: Where the children of a node begin.
        node_C: The node of a child.
        inner_C: Which children are nodes, bool.
        digit_C: The digits of the others, uint8.
    """

    first_N: NDArray[np.int64]
    node_C: NDArray[np.int64]
    inner_C: NDArray[np.bool_]
    digit_C: NDArray[np.uint8]


@dataclass(frozen=True)
class Places:
    """Holds where the parts of a level are written, int64.

    Attributes:
        opens_N: Of the bracket before a node.
        closes_N: Of the bracket after it.
        child_C: Of the first symbol of a child.
    """

    opens_N: NDArray[np.int64]
    closes_N: NDArray[np.int64]
    child_C: NDArray[np.int64]


def draw_levels(rng: np.random.Generator, count: int, shape: Shape) -> list[Level]:
    """Draws `count` trees."""
    levels: list[Level] = []
    while count:
        children_N = rng.integers(2, shape.most + 1, size=count)
        node_C = np.repeat(np.arange(count), children_N)
        if len(levels) + 1 < shape.depth:
            inner_C = rng.random(node_C.size) < shape.nested
        else:
            inner_C = np.zeros(node_C.size, dtype=np.bool_)
        digit_C = rng.integers(shape.digits, size=node_C.size, dtype=np.uint8)
        levels.append(Level(np.cumsum(children_N) - children_N, node_C, inner_C, digit_C))
        count = int(np.count_nonzero(inner_C))
    return levels


def evaluate(
    levels: Sequence[Level],
    operators: Sequence[NDArray[np.uint8]],
    combine: Callable[[Level, NDArray[np.uint8], NDArray[np.int64]], NDArray[np.int64]],
) -> NDArray[np.int64]:
    """Computes the values of the roots.

    Args:
        levels: The trees.
        operators: What `combine` is told beside a level and the values of its children (C,).
        combine: Gives the values of the nodes (N,).
    """
    value_N = np.empty(0, dtype=np.int64)
    for level, operator in zip(reversed(levels), reversed(operators), strict=True):
        value_C = level.digit_C.astype(np.int64)
        value_C[level.inner_C] = value_N
        value_N = combine(level, operator, value_C)
    return value_N


def lay_out(levels: Sequence[Level], *, between: int, after: int) -> tuple[list[Places], int]:
    """Puts trees one after the other.

    Args:
        levels: The trees.
        between: The symbols between two children of a node.
        after: The symbols that follow a tree.

    Returns:
        The places of every level, and how many symbols there are in all.
    """
    sizes: list[NDArray[np.int64]] = []  # of the children of a level, with what precedes each
    size_N = np.empty(0, dtype=np.int64)
    for level in reversed(levels):
        size_C = np.ones(level.node_C.size, dtype=np.int64)
        size_C[level.inner_C] = size_N
        size_C += between
        sizes.append(size_C)
        size_N = 2 - between + np.add.reduceat(size_C, level.first_N)
    opens_N = np.cumsum(size_N + after) - size_N - after
    total = int(opens_N[-1] + size_N[-1]) + after
    places = []
    for level, size_C in zip(levels, reversed(sizes), strict=True):
        before_C = np.cumsum(size_C) - size_C
        child_C = (opens_N + 1 - before_C[level.first_N])[level.node_C] + before_C
        closes_N = opens_N + 1 - between + np.add.reduceat(size_C, level.first_N)
        places.append(Places(opens_N, closes_N, child_C))
        opens_N = child_C[level.inner_C]
    return places, total
