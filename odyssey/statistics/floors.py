"""Has a cell learned its task? Its score between the floor of the task and the ceiling.

The floor is the best that a model without memory scores: a guess by frequencies, the best
prediction from the current input, and where a task has a grammar, from the grammar. The ceiling is
the optimum, or a bound of it; 0 where neither is known. A cell has left its floor when its best
draws are better by `LEFT` of the way from there to the ceiling; a study of cells that have not
compares how well they fit what needs no memory.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from odyssey.statistics.synthesis import best_scores
from odyssey.storage.schema import TEST_NATS, VALID_NATS

LEFT = 0.05  # share of the way from the floor to the ceiling
SOLVED = 0.95  # the same: what is beyond leaves little room for a better cell
_CEILINGS = ("optimum", "bound")
LEARNING_COLUMNS = ("task", "label", "score", "floor", "kind", "ceiling", "share", "learned")


def learning(
    results: pd.DataFrame, floors: pd.DataFrame, *, baseline: str | None = None
) -> pd.DataFrame:
    """Says of every task how far the baseline has come from the floor to the ceiling.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, with `label`.
        floors: As `storage.floors.FLOOR_COLUMNS`.
        baseline: Label of the baseline; the cell with the best score where it is None or is not on
            the task.

    Returns:
        One row a task that has a floor: task, label, score (mean test loss of its best draws by
        validation), floor, kind (of that floor), ceiling (0 where none is known), all in nats,
        share (of the way from floor to ceiling) and learned (whether that is more than `LEFT`).
    """
    rows = []
    best = best_scores(results, valid=VALID_NATS, test=TEST_NATS)
    for task in dict.fromkeys(best["task"]):
        here = floors[floors["task"] == task]
        low = here[~here["kind"].isin(_CEILINGS) & ~(here["context"] > 1).fillna(False)]
        if low.empty:
            continue
        first = low.sort_values("nats", kind="stable").iloc[0]
        ceiling = float(here.loc[here["kind"].isin(_CEILINGS), "nats"].min())
        ceiling = 0.0 if np.isnan(ceiling) else ceiling
        scores = best[best["task"] == task].set_index("label")["top_score"].to_dict()
        label = baseline if baseline in scores else min(scores, key=lambda k: scores[k])
        floor, score = float(first["nats"]), scores[label]
        share = (floor - score) / (floor - ceiling) if floor > ceiling else np.nan
        rows.append((task, label, score, floor, first["kind"], ceiling, share))
    frame = pd.DataFrame(rows, columns=list(LEARNING_COLUMNS[:-1]))
    return frame.assign(learned=frame["share"] > LEFT)
