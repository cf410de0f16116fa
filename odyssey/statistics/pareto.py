"""Which models are not dominated: none is as good and as cheap as they are, and better or cheaper.

Costs are trained parameters, and operations of a character. A front is one of the draws that were
made: it has no interval, and another budget or space has another.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from odyssey.statistics.estimates import member_values, valid_rows
from odyssey.storage.schema import TEST_BPC, VALID_BPC

COSTS = {"num_parameters": "parameters", "operations": "operations"}
"""Columns of costs, and how a reader calls them."""
FRONT = {cost: f"least_loss_by_{name}" for cost, name in COSTS.items()}
"""Columns that say of each cost whether a model is on its front."""
PARETO_COLUMNS = ("task", "label", "member", *COSTS, VALID_BPC, TEST_BPC, *FRONT.values())


def is_efficient(cost: object, loss: object) -> np.ndarray:
    """Says of every point whether no other dominates it, (N,).

    A point dominates another one where neither its cost nor its loss is higher, and one of them is
    lower. Of equal points all are on the front, or none. Missing numbers are on none.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (cost, loss))
    found = np.zeros(len(x), dtype=bool)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    order = known[np.lexsort((y[known], x[known]))]
    least, at = np.inf, np.nan
    for k in order:
        if y[k] < least:
            least, at = y[k], x[k]
        found[k] = y[k] == least and x[k] == at
    return found


def pareto(results: pd.DataFrame) -> pd.DataFrame:
    """Lists all models that have a result, by task and cost, and says which are on a front.

    The loss is the best validation loss, by which models are chosen; the test loss stands beside
    it. Losses that are worse than guessing count as guessing.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, with `label`.

    Returns:
        Columns `PARETO_COLUMNS`, by task (in the order of the study), then parameters and loss.
    """
    counted = {column: member_values(results, column) for column in (VALID_BPC, TEST_BPC)}
    usable = results.assign(**counted)[valid_rows(results)]
    parts = []
    for _, part in usable.groupby("task", sort=False):
        costs = {c: part[c].astype("Float64").to_numpy(float, na_value=np.nan) for c in COSTS}
        fronts = {FRONT[c]: is_efficient(v, part[VALID_BPC]) for c, v in costs.items()}
        parts.append(
            part.assign(**fronts).sort_values(["num_parameters", VALID_BPC], kind="stable")
        )
    if not parts:
        return pd.DataFrame(columns=list(PARETO_COLUMNS))
    return pd.concat(parts, ignore_index=True)[list(PARETO_COLUMNS)]
