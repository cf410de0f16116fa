"""Do rankings of cells transfer from one task to another? Kendall's tau with intervals.

Of all pairs of cells tau is the share that both tasks order alike less the share that they order
otherwise (tau-b, Kendall 1945, with ties). Cells are ranked by the mean test score of their best
draws. The interval is a percentile bootstrap over draws, the same draws for all cells and both
tasks, so that it says how far the ranking of these cells is uncertain; it does not speak of other
cells. The p-value is that of no association among so many cells.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from odyssey.statistics.draws import task_draws, top_scores
from odyssey.statistics.estimates import TAILS
from odyssey.storage.schema import TEST_BPC, VALID_BPC
from odyssey.threads import one_thread

LEAST_CELLS = 4  # of fewer a ranking says next to nothing
TRANSFER_COLUMNS = ("first", "second", "cells", "tau", "low", "high", "p")


@one_thread()
def transfer(
    results: pd.DataFrame,
    *,
    seed: int,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    resamples: int = 500,
) -> pd.DataFrame:
    """Compares the rankings of cells on all pairs of tasks.

    Args:
        results: One row a member, as `RESULT_COLUMNS`.
        seed: Of the bootstrap.
        valid: Column that chooses among draws.
        test: Column by which cells are ranked.
        resamples: Bootstrap samples.

    Returns:
        One row a pair of tasks that have `LEAST_CELLS` cells in common: first, second, cells, tau,
        low, high (95 %), p (of no association).
    """
    tasks = task_draws(results, valid=valid, test=test)
    rows = []
    for one, other in combinations(tasks, 2):
        labels = [label for label in one.labels if label in other.labels]
        if len(labels) < LEAST_CELLS:
            continue
        tables = [draws.common(labels) for draws in (one, other)]
        sizes = [table[0].shape[1] for table in tables]
        if min(sizes) == 0:
            continue
        tops = [d.top_count(n) for d, n in zip((one, other), sizes, strict=True)]
        scores = [_means(*table, None, top=top)[0] for table, top in zip(tables, tops, strict=True)]
        rng = np.random.default_rng(seed)
        chosen = [rng.integers(sizes[0], size=(resamples, sizes[0]))]
        # one study has the same draws on both tasks; where it has not they are others
        alike = sizes[0] == sizes[1]
        chosen.append(chosen[0] if alike else rng.integers(sizes[1], size=(resamples, sizes[1])))
        again = [
            _means(*table, c, top=top) for table, c, top in zip(tables, chosen, tops, strict=True)
        ]
        samples = [tau_b(a, b) for a, b in zip(*again, strict=True)]
        low, high = np.nanquantile(samples, TAILS) if np.isfinite(samples).any() else (np.nan,) * 2
        p = float(stats.kendalltau(*scores).pvalue)
        rows.append((one.task, other.task, len(labels), tau_b(*scores), low, high, p))
    return pd.DataFrame(rows, columns=list(TRANSFER_COLUMNS))


def tau_b(one: np.ndarray, other: np.ndarray) -> float:
    """Gives Kendall's tau-b of two rankings, (C,) each; NaN where one has ties only."""
    above = np.triu_indices(len(one), 1)
    first, second = (np.sign(v[:, None] - v[None, :])[above] for v in (one, other))
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return float(first @ second / norm) if norm else float("nan")


def _means(
    valid: np.ndarray, test: np.ndarray, chosen: np.ndarray | None, *, top: int
) -> np.ndarray:
    """Gives the mean of every cell's best draws, (1, C), or in resamples (S, C)."""
    if chosen is None:
        chosen = np.arange(valid.shape[1])[None, :]
    both = zip(valid, test, strict=True)
    means = [top_scores(v[chosen], t[chosen], top).mean(axis=-1) for v, t in both]
    found: np.ndarray = np.stack(means, axis=1)
    return found
