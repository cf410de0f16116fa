"""How much of the spread of results is seeds, and how much hyperparameters and cells.

Shapes: C cells, H settings of hyperparameters, R seeds of each.

Where every setting is trained with several seeds the mean squares of a two-way analysis of variance
with replicates split the variance of the scores into four components: cells, settings, what a
setting does to one cell and not to others, and seeds, which is all that training again would change
(Searle, Casella & McCulloch 1992, section 4.6). The interval of the seeds' standard deviation is
the chi-squared one of normal luck.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from odyssey.hyperparameters import HYPERPARAMETERS
from odyssey.statistics.estimates import TAILS, member_values
from odyssey.storage.schema import TEST_BPC

COMPONENT_COLUMNS = (
    *("task", "component", "cells", "settings", "seeds", "sd", "low", "high", "share"),
)
CELLS, SETTINGS, BOTH, SEEDS = "cells", "hyperparameters", "cells x hyperparameters", "seeds"


def variance_components(results: pd.DataFrame, *, test: str = TEST_BPC) -> pd.DataFrame:
    """Splits the variance of scores, task by task.

    Draws that are lost, or worse than guessing, count as guessing.

    Args:
        results: One row a member, as `RESULT_COLUMNS`, with `label`.
        test: The column whose variance is split.

    Returns:
        Four rows a task on which two settings or more were trained with two seeds or more for all
        cells: task, component, cells, settings, seeds, sd (its standard deviation, in the unit of
        `test`), low, high (95 %, of seeds only), share (of the sum of all four variances).
    """
    names = [n for n in HYPERPARAMETERS if n in results and results[n].notna().any()]
    keyed = results.assign(
        setting=["|".join(map(str, row)) for row in results[names].itertuples(index=False)],
        counted=member_values(results, test),
    ).dropna(subset=["counted"])
    rows: list[tuple[object, ...]] = []
    for task, part in keyed.groupby("task", sort=False):
        table = _balanced(part)
        if table is None:
            continue
        found, (low, high) = split_variance(table)
        total = sum(found.values())
        cells, settings, seeds = table.shape
        for name, variance in found.items():
            ends = (low, high) if name == SEEDS else (np.nan, np.nan)
            share = variance / total if total else np.nan
            rows.append(
                (task, name, cells, settings, seeds, float(np.sqrt(variance)), *ends, share)
            )
    return pd.DataFrame(rows, columns=list(COMPONENT_COLUMNS))


def _balanced(part: pd.DataFrame) -> np.ndarray | None:
    """Gives the scores (C, H, R) of the settings that all cells have, with equally many seeds."""
    counts = part.groupby(["setting", "label"]).size().unstack(fill_value=0).min(axis=1)
    wanted = counts[counts > 1]
    if len(wanted) < 2:
        return None
    seeds = int(wanted.min())
    here = part[part["setting"].isin(wanted.index)].sort_values("member", kind="stable")
    groups = here.groupby(["label", "setting"], sort=True)["counted"]
    values = groups.apply(lambda v: v.to_numpy()[:seeds])
    shape = (here["label"].nunique(), len(wanted), seeds)
    table: np.ndarray = np.stack(values.to_list()).reshape(shape)
    return table


def split_variance(table: np.ndarray) -> tuple[dict[str, float], tuple[float, float]]:
    """Gives the components of variance of balanced scores, and the interval of the seeds'.

    Args:
        table: Scores, (C, H, R); with one cell there is no component of cells.

    Returns:
        Variances by component, none below 0, and the 95 % interval of the standard deviation of
        seeds.
    """
    cells, settings, seeds = table.shape
    mean = table.mean()
    of_both, of_cell, of_setting = table.mean(2), table.mean((1, 2)), table.mean((0, 2))
    inside = float(((table - of_both[:, :, None]) ** 2).sum())
    freedom = cells * settings * (seeds - 1)
    noise = inside / freedom
    setting = seeds * cells * float(((of_setting - mean) ** 2).sum()) / (settings - 1)
    both, cell = noise, 0.0
    if cells > 1:
        apart = of_both - of_cell[:, None] - of_setting[None, :] + mean
        both = seeds * float((apart**2).sum()) / ((cells - 1) * (settings - 1))
        cell = seeds * settings * float(((of_cell - mean) ** 2).sum()) / (cells - 1)
    found = {
        CELLS: max(0.0, cell - both) / (seeds * settings),
        SETTINGS: max(0.0, setting - both) / (seeds * cells),
        BOTH: max(0.0, both - noise) / seeds,
        SEEDS: noise,
    }
    low, high = np.sqrt(inside / stats.chi2.ppf(TAILS[::-1], freedom))
    return found, (float(low), float(high))
