"""Pairs of brackets or tags in a nested sequence.

Shapes: E brackets (an opening or a closing one) of all sequences in a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def match(change_E: NDArray[np.int8]) -> tuple[NDArray[np.int64], int]:
    """Numbers the pairs: a closing bracket has the number of the one that it closes.

    On each level of nesting, opening and closing brackets alternate; a stable sort by level brings
    every pair side by side.

    Args:
        change_E: +1 for an opening bracket, -1 for a closing one.

    Returns:
        The number of every bracket (E,), and how many numbers there are.
    """
    level_E = np.cumsum(change_E, dtype=np.int16) + (change_E < 0)
    order = np.argsort(level_E, kind="stable")
    num_pairs = order.size // 2
    pair_E = np.empty(order.size, dtype=np.int64)
    pair_E[order] = np.repeat(np.arange(num_pairs), 2)
    return pair_E, num_pairs
