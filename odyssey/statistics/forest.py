"""One change over all studies that made it: a random-effects synthesis with its heterogeneity.

Every study and task estimates the difference of a cell with the change to the study's own baseline,
with a standard error (bootstrap over draws). Studies differ in optimiser, task and budget, so that
their true differences may differ: the random-effects model takes these for draws of one normal
distribution with a variance tau² beside that of the estimates (DerSimonian & Laird 1986). The mean
is the middle of that distribution and no study's truth; the prediction interval says where the next
study's would lie (Higgins, Thompson & Spiegelhalter 2009). Groups of studies are compared by the
sum of squares of their means about the common one, weighted with the tau² that is left inside of
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from odyssey.statistics.draws import task_draws
from odyssey.statistics.estimates import TAILS
from odyssey.statistics.synthesis import estimate, heterogeneity
from odyssey.storage.schema import TEST_BPC, VALID_BPC

MODERATORS = ("optimizer", "task", "characters")
EFFECT_COLUMNS = ("task", "change", "baseline", "draws", "difference", "error")
FOREST_COLUMNS = (
    *("change", "estimates", "runs", "mean", "low", "high", "tau", "q", "p", "i2"),
    *("next_low", "next_high"),
)
GROUP_COLUMNS = ("change", "by", "group", "estimates", "mean", "low", "high", "p_between")


class RandomEffects(NamedTuple):
    """A mean over studies whose truths differ.

    Attributes:
        mean: The middle of the truths; NaN without an estimate.
        low: Lower end of its 95 % interval.
        high: Upper end.
        tau: Standard deviation of the truths.
        next_low: Lower end of the 95 % prediction interval of another study's truth; NaN with fewer
            than three estimates.
        next_high: Upper end.
    """

    mean: float
    low: float
    high: float
    tau: float
    next_low: float
    next_high: float


def random_effects(differences: Sequence[float], errors: Sequence[float]) -> RandomEffects:
    """Estimates the mean of differences whose truths are not the same.

    Args:
        differences: The estimates.
        errors: Their standard errors, above 0.
    """
    given, spread = np.asarray(differences, float), np.asarray(errors, float)
    count = len(given)
    if not count:
        return RandomEffects(*[float("nan")] * 6)
    tau2 = between([(given, spread)])
    weight = 1 / (spread**2 + tau2)
    mean = float(weight @ given / weight.sum())
    error = float(np.sqrt(1 / weight.sum()))
    half = float(stats.norm.ppf(TAILS[1])) * error
    wide = np.nan
    if count > 2:
        wide = float(stats.t.ppf(TAILS[1], count - 2)) * float(np.sqrt(tau2 + error**2))
    tau = float(np.sqrt(tau2))
    return RandomEffects(mean, mean - half, mean + half, tau, mean - wide, mean + wide)


def between(groups: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Estimates the variance of the truths inside of groups by moments (DerSimonian & Laird 1986).

    Args:
        groups: Estimates and their standard errors; a single estimate says nothing.
    """
    moments = np.array([_moments(*group) for group in groups if len(group[0]) > 1])
    excess, scale = moments.sum(axis=0).tolist() if len(moments) else (0.0, 0.0)
    return max(0.0, excess / scale) if scale > 0 else 0.0


def _moments(given: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """Gives Cochran's Q less its expectation without variance between, and what that adds to it."""
    weight = spread**-2.0
    mean = weight @ given / weight.sum()
    q = float(weight @ (given - mean) ** 2)
    return q - (len(given) - 1), float(weight.sum() - (weight**2).sum() / weight.sum())


def run_effects(
    results: pd.DataFrame,
    *,
    baseline: str,
    seed: int,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
) -> pd.DataFrame:
    """Estimates what every change of a run's baseline does, task by task.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, with `label`.
        baseline: Label of the baseline. Its changes are the cells whose lineage begins with its own
            and goes on; other cells are no changes of it.
        seed: Of the bootstrap.
        valid: Column that chooses among draws.
        test: Column that is compared.

    Returns:
        One row a task and change: task, change (the steps of the lineage, as `no_input_gate`),
        baseline, draws, difference (with the change less without, in the unit of `test`), error
        (its standard error; rows without one are left out).
    """
    lineage = dict(zip(results["label"].astype(str), results["lineage"].astype(str), strict=True))
    first = lineage.get(baseline, baseline)
    rows = []
    for draws in task_draws(results, valid=valid, test=test):
        if baseline not in draws.labels:
            continue
        for label in draws.labels:
            prefix = first + " > "
            if label == baseline or not lineage[label].startswith(prefix):
                continue
            # cells at guessing differ by how good the baseline is, and by nothing else
            if draws.guessed[draws.place(label)].all():
                continue
            found = estimate(draws, baseline, label, seed=seed)
            change = lineage[label].removeprefix(prefix).replace(" > ", "+")
            rows.append((draws.task, change, baseline, *found))
    frame = pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))
    return frame[frame["error"] > 0].reset_index(drop=True)


def forest(effects: pd.DataFrame) -> pd.DataFrame:
    """Synthesises every change over all runs and tasks that made it.

    Args:
        effects: As `run_effects`, of several runs, with a column run.

    Returns:
        One row a change with two estimates or more: change, estimates, runs, mean, low, high (95
        %), tau, q, p, i2 (heterogeneity), next_low, next_high (prediction interval).
    """
    rows = []
    for change, part in effects.groupby("change", sort=False):
        if len(part) < 2:
            continue
        found = random_effects(part["difference"].tolist(), part["error"].tolist())
        apart = heterogeneity(part["difference"].tolist(), part["error"].tolist())
        rows.append(
            (
                *(change, len(part), part["run"].nunique(), *found[:4]),
                *(apart.q, apart.p, apart.i2, found.next_low, found.next_high),
            )
        )
    return pd.DataFrame(rows, columns=list(FOREST_COLUMNS))


def forest_groups(effects: pd.DataFrame, *, by: Sequence[str] = MODERATORS) -> pd.DataFrame:
    """Asks of every change whether its effect depends on what its studies did.

    Args:
        effects: As `run_effects`, of several runs, with a column for each of `by`.
        by: Columns that group the estimates.

    Returns:
        One row a change, column and group: change, by, group, estimates, mean, low, high (95 %,
        with the tau² inside of groups) and p_between: of no difference between the groups. Changes
        whose estimates are all in one group have no rows of that column.
    """
    rows = []
    for change, part in effects.groupby("change", sort=False):
        for name in by:
            groups = [(str(g), p) for g, p in part.groupby(name, sort=True)]
            if len(groups) < 2:
                continue
            values = [(p["difference"].to_numpy(), p["error"].to_numpy()) for _, p in groups]
            tau2 = between(values)
            weights = [1 / (spread**2 + tau2) for _, spread in values]
            sums = np.array([w.sum() for w in weights])
            means = np.array([w @ v for w, (v, _) in zip(weights, values, strict=True)]) / sums
            common = sums @ means / sums.sum()
            p = float(stats.chi2.sf(sums @ (means - common) ** 2, len(groups) - 1))
            half = stats.norm.ppf(TAILS[1]) / np.sqrt(sums)
            rows += [
                (change, name, group, len(of), mean, mean - wide, mean + wide, p)
                for (group, of), mean, wide in zip(groups, means, half, strict=True)
            ]
    return pd.DataFrame(rows, columns=list(GROUP_COLUMNS))
