"""What a uniform guess scores: the worst that a recorded score may count as.

A model that knows nothing spreads its bets over the V symbols of a task. A loss above that says
that training went wrong and not by how much, and a draw that diverged or failed has no loss at all:
both count as guessing wherever scores are compared, averaged or explained.
"""

from __future__ import annotations

import math


def lower_is_better(column: str) -> bool:
    """Tells which end of a column is the better one: of losses the low, of accuracies the high."""
    return not column.endswith("accuracy")


def guessing(symbols: float | None, column: str) -> float:
    """Gives what a uniform guess scores: ln V nats, log2 V bits per character, accuracy 1 / V.

    Args:
        symbols: V; where it is missing or below 2 there is no guessing (NaN).
        column: The column that the score is of; its name tells the unit.
    """
    if symbols is None or not symbols >= 2:
        return math.nan
    if not lower_is_better(column):
        return 1 / symbols
    return math.log(symbols) if column.endswith("nats") else math.log2(symbols)


def no_worse_than_guessing(value: float, symbols: float | None, column: str) -> float:
    """Gives a score, or guessing where that is better; NaN stays NaN."""
    guess = guessing(symbols, column)
    if math.isnan(guess) or math.isnan(value):
        return value
    return min(value, guess) if lower_is_better(column) else max(value, guess)
