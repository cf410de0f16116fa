"""The permutation test with a studentised statistic, for cells whose luck differs.

The permutation test of `permutation.py` is exact where two cells are one. Cells whose tuned scores
are equal and whose luck is not are no case of that, and it rejects a little too often there.
Divided by its own standard error in every swap the difference of means is level also then, as draws
grow (Janssen 1997; Chung & Romano 2013). The standard error is that of two samples of best draws;
that these were chosen is part of every swap.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from odyssey.statistics.comparison import holm, pair_of
from odyssey.statistics.draws import task_draws
from odyssey.statistics.permutation import EXACT_DRAWS, Pair, all_signs, random_signs
from odyssey.storage.schema import TEST_BPC, VALID_BPC

_MOST_VALUES = 4_000_000  # scores handled at a time


def studentised_p(pair: Pair, *, seed: int, swaps: int = 10_000) -> float:
    """Gives the two-sided p-value of the permutation test of a studentised difference.

    Args:
        pair: The draws of baseline and variant, draw by draw the same.
        seed: Of the random swaps.
        swaps: How many, where there are more than 18 draws; else all are counted.

    Returns:
        NaN with fewer than two best draws, where nothing differs within both cells, or for cells
        that have no draws in common.
    """
    draws, top = pair.draws, pair.top
    if pair.independent or top < 2 or not np.isfinite(pair.test).all():
        return float("nan")
    kept = np.ones((draws, 1), dtype=np.int8)
    observed = abs(float(_statistics(pair, kept, top)[0]))
    if not np.isfinite(observed):
        return float("nan")
    least = observed * (1 - 1e-10)
    exact = draws <= EXACT_DRAWS
    rng = np.random.default_rng(seed)
    reached = counted = 0
    step = max(1, _MOST_VALUES // (2 * draws))
    signs = all_signs(draws) if exact else None
    total = swaps if signs is None else signs.shape[1]
    while counted < total:
        count = min(step, total - counted)
        part = random_signs(rng, draws, count) if signs is None else signs[:, counted:][:, :count]
        found = np.abs(_statistics(pair, part, top))
        reached += int((found >= least).sum())
        counted += count
    return reached / counted if exact else (1 + reached) / (1 + counted)


def _statistics(pair: Pair, signs_NS: np.ndarray, top: int) -> np.ndarray:
    """Gives the studentised difference under swaps, (S,)."""
    kept_SN = signs_NS.T > 0
    means, squares = [], []
    for own, other in ((0, 1), (1, 0)):
        valid = np.where(kept_SN, pair.valid[own], pair.valid[other])
        test = np.where(kept_SN, pair.test[own], pair.test[other])
        chosen = np.argsort(valid, axis=1, kind="stable")[:, :top]
        best = np.take_along_axis(test, chosen, axis=1)
        means.append(best.mean(axis=1))
        squares.append(best.var(axis=1, ddof=1) / top)
    with np.errstate(divide="ignore", invalid="ignore"):
        # swaps that leave no spread: a difference without is infinitely many errors, or none
        found: np.ndarray = (means[1] - means[0]) / np.sqrt(squares[0] + squares[1])
    known: np.ndarray = np.nan_to_num(found, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return known


def studentised(
    results: pd.DataFrame,
    *,
    baseline: str,
    seed: int,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
) -> pd.DataFrame:
    """Compares every cell with the baseline by the studentised statistic.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        baseline: Label of the baseline.
        seed: Of the random swaps.
        valid: Column that chooses among draws.
        test: Column that is compared.

    Returns:
        One row a task and cell: task, label, p, p_holm (over all rows).
    """
    rows = [
        (draws.task, label, studentised_p(pair_of(draws, baseline, label), seed=seed))
        for draws in task_draws(results, valid=valid, test=test)
        for label in draws.labels
        if label != baseline
    ]
    frame = pd.DataFrame(rows, columns=["task", "label", "p"])
    return frame.assign(p_holm=holm(frame["p"]))
