"""Several runs beside each other: do they agree on by how much two cells differ?

Each run that has both cells estimates their difference on its own draws. Cochran's Q (1954) is the
sum of squares of these estimates about their mean, weighted by the inverse squares of their
standard errors: of k runs that all estimate one difference it is chi-squared with k - 1 degrees of
freedom. I^2 (Higgins & Thompson 2002) is the share of the spread that is more than that: max(0,
(Q - (k - 1)) / Q). Runs of other budgets, spaces or data may well differ in truth, so that a mean
over them is the estimate of nothing; one is given only over runs that are one study with other
draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from odyssey.statistics.comparison import difference_error, pair_of
from odyssey.statistics.draws import TaskDraws, task_draws, top_scores
from odyssey.statistics.estimates import TAILS
from odyssey.storage.schema import TEST_BPC, VALID_BPC


class Heterogeneity(NamedTuple):
    """How far estimates of one difference are apart.

    Attributes:
        runs: Estimates that have a standard error.
        q: Cochran's Q; NaN with fewer than two.
        p: Chance of a Q as large, if all estimate one difference.
        i2: Share of the spread beyond chance, 0 to 1.
        mean: Their mean, weighted by inverse squares of standard errors.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    runs: int
    q: float
    p: float
    i2: float
    mean: float
    low: float
    high: float


def heterogeneity(differences: Sequence[float], errors: Sequence[float]) -> Heterogeneity:
    """Compares estimates of one difference by Cochran's Q and I^2.

    Args:
        differences: The estimates.
        errors: Their standard errors; those that are not above 0 are left out with theirs.
    """
    given, spread = np.asarray(differences, float), np.asarray(errors, float)
    usable = np.isfinite(given) & np.isfinite(spread) & (spread > 0)
    given, weight = given[usable], spread[usable] ** -2.0
    runs = len(given)
    if runs < 2:
        return Heterogeneity(runs, *[float("nan")] * 6)
    mean = float(weight @ given / weight.sum())
    q = float(weight @ (given - mean) ** 2)
    half = float(stats.norm.ppf(TAILS[1]) / np.sqrt(weight.sum()))
    p = float(stats.chi2.sf(q, runs - 1))
    i2 = max(0.0, (q - (runs - 1)) / q) if q else 0.0
    return Heterogeneity(runs, q, p, i2, mean, mean - half, mean + half)


SYNTHESIS_COLUMNS = (
    *("task", "label", "runs", "least", "most", "q", "p", "i2"),
    *("pooled", "pooled_low", "pooled_high"),
)


def synthesis(
    results: Mapping[str, pd.DataFrame],
    *,
    seed: int,
    baseline: str,
    poolable: Mapping[str, Sequence[str]] | None = None,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
) -> pd.DataFrame:
    """Says of every cell that several runs compare with the baseline whether they agree.

    Args:
        results: One row a member with `label`, by the name of the run.
        seed: Of the bootstrap of standard errors.
        baseline: Label of the baseline.
        poolable: Runs of one study with draws that have nothing in common, by task; none where it
            is None.
        valid: Column that chooses among draws.
        test: Column that is compared.

    Returns:
        One row a task and cell that two runs or more have beside the baseline: task, label, runs,
        least, most (the smallest and the largest difference, variant minus baseline), q, p, i2, and
        the mean of those that are poolable, with its 95 % interval (missing where that are not all
        of them).
    """
    found: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
    for run, rows in results.items():
        for draws in task_draws(rows, valid=valid, test=test):
            for label, estimate in _estimates(draws, baseline, seed).items():
                found.setdefault((draws.task, label), {})[run] = estimate
    made = []
    for (task, label), of in found.items():
        if len(of) < 2:
            continue
        differences, errors = zip(*of.values(), strict=True)
        whole = heterogeneity(differences, errors)
        row = {"task": task, "label": label, "runs": len(of), "q": whole.q, "p": whole.p}
        row |= {"i2": whole.i2, "least": min(differences), "most": max(differences)}
        if set(of) <= set((poolable or {}).get(task, ())):
            ends = {"pooled_low": whole.low, "pooled_high": whole.high}
            row |= {"pooled": whole.mean, **ends}
        made.append(row)
    return pd.DataFrame(made, columns=list(SYNTHESIS_COLUMNS))


def best_scores(
    results: pd.DataFrame, *, valid: str = VALID_BPC, test: str = TEST_BPC
) -> pd.DataFrame:
    """Gives what tuning every cell gave: task, label, draws, top, top_score, compared with nothing.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, of one run.
        valid: Column that chooses among draws.
        test: Column of which the mean over the best draws is given.
    """
    rows = []
    for draws in task_draws(results, valid=valid, test=test):
        for place, label in enumerate(draws.labels):
            there = draws.present[place]
            top = draws.top_count(int(there.sum()))
            best = top_scores(draws.valid[place, there], draws.test[place, there], top)
            row = {"task": draws.task, "label": label, "draws": int(there.sum()), "top": top}
            rows.append(row | {"top_score": draws.sign * float(best.mean())})
    return pd.DataFrame(rows, columns=["task", "label", "draws", "top", "top_score"])


def _estimates(draws: TaskDraws, baseline: str, seed: int) -> dict[str, tuple[float, float]]:
    """Gives the difference of every cell to the baseline, and its standard error."""
    if baseline not in draws.labels:
        return {}
    others = [label for label in draws.labels if label != baseline]
    found = {label: estimate(draws, baseline, label, seed=seed) for label in others}
    return {label: (of.difference, of.error) for label, of in found.items() if of.draws}


class Estimate(NamedTuple):
    """What one study says of a difference.

    Attributes:
        draws: That both cells have.
        difference: Cell minus baseline, in the unit of the test column; NaN without draws.
        error: Its standard error, as `comparison.difference_error`.
    """

    draws: int
    difference: float
    error: float


def estimate(draws: TaskDraws, baseline: str, label: str, *, seed: int) -> Estimate:
    """Estimates the difference of a cell to the baseline on the draws that both have."""
    pair = pair_of(draws, baseline, label)
    count = pair.valid.shape[1]
    if not count:
        return Estimate(0, float("nan"), float("nan"))
    best = top_scores(pair.valid, pair.test, pair.top).mean(axis=-1)
    difference = draws.sign * float(best[1] - best[0])
    return Estimate(count, difference, difference_error(pair, seed=seed))
