"""How a difference between cells grows or shrinks along training, and whether it has settled.

A study compares cells at one budget. Its learning curves say what it would have found at smaller
ones: at every checkpoint the best draws of each cell are chosen anew by the best validation loss so
far, and the means of these losses are compared. A difference that still moves between half of the
budget and its end is one of learning faster as much as of learning more: the study does not say
what a larger budget would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from odyssey.statistics.estimates import (
    TAILS,
    counted_of,
    filled_curves,
    guessing_values,
    top_count,
)
from odyssey.storage.schema import VALID_BPC
from odyssey.threads import one_thread

MOST_CHECKPOINTS = 24
PROGRESS_COLUMNS = ("task", "label", "characters", "difference", "low", "high")
SETTLING_COLUMNS = (
    *("task", "label", "draws", "half", "half_difference", "difference"),
    *("change", "change_low", "change_high", "moving"),
)


class Progress(NamedTuple):
    """What learning curves say about differences.

    Attributes:
        curve: One row a task, cell and checkpoint: task, label, characters, difference (of mean
            best validation bits so far, cell minus baseline), low, high (pointwise 95 % percentile
            bootstrap over draws).
        settling: One row a task and cell: task, label, draws, half (the checkpoint next to half of
            the budget), half_difference (there), difference (at the end), change (from half to the
            end), change_low, change_high (its interval) and moving: whether that leaves nought out.
    """

    curve: pd.DataFrame
    settling: pd.DataFrame


@one_thread()
def difference_by_characters(
    curves: pd.DataFrame,
    results: pd.DataFrame,
    *,
    baseline: str,
    seed: int,
    resamples: int = 400,
) -> Progress:
    """Follows the difference of every cell to the baseline along training.

    Draws that diverged or failed count as guessing from their last measurement on, one that
    stopped early keeps its best loss, and one that was lost before its first measurement is
    guessing all along.

    Args:
        curves: As `CURVE_COLUMNS`, with `label`.
        results: As `RESULT_COLUMNS`, with `label`: says which draws were lost.
        baseline: Label of the baseline.
        seed: Of the bootstrap over draws, the same ones for both cells.
        resamples: Bootstrap samples.
    """
    lost_at = guessing_values(results, VALID_BPC).groupby(results["task"]).max()
    tops = {str(task): counted_of(part) for task, part in results.groupby("task")}
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    made = {
        (str(task), str(label)): set(of)
        for (task, label), of in results.groupby(["task", "label"])["member"]
    }
    for (task, label), table in filled_curves(curves, results).items():
        guess = float(lost_at.get(task, np.nan))
        unseen = sorted(made.get((task, label), set()) - set(table.columns))
        worst = guess if np.isfinite(guess) else np.inf
        never = pd.DataFrame(worst, index=table.index, columns=unseen)
        tables.setdefault(task, {})[label] = pd.concat([table, never], axis=1)
    parts, rows = [], []
    for task, cells in tables.items():
        if baseline not in cells:
            continue
        at = _checkpoints(cells)
        guess = float(lost_at.get(task, np.nan))
        for label, table in cells.items():
            common = cells[baseline].columns.intersection(table.columns)
            if label == baseline or common.empty or len(at) < 2:
                continue
            both = [_best_so_far(t[common], at, guess) for t in (cells[baseline], table)]
            chosen = np.random.default_rng(seed).integers(
                len(common), size=(resamples, len(common))
            )
            top = top_count(len(common), counted=tops.get(task, 0))
            whole, samples = (_difference(both, top, c) for c in (None, chosen))
            low, high = np.quantile(samples, TAILS, axis=0)
            shown = {"task": task, "label": label, "characters": at, "difference": whole}
            parts.append(pd.DataFrame(shown | {"low": low, "high": high}))
            half = int(np.abs(at - at[-1] / 2).argmin())
            ends = np.quantile(samples[:, -1] - samples[:, half], TAILS)
            change = whole[-1] - whole[half]
            moving = bool(ends[0] > 0 or ends[1] < 0)
            known = (task, label, len(common), int(at[half]), whole[half], whole[-1])
            rows.append((*known, change, *ends, moving))
    curve = pd.concat(parts, ignore_index=True) if parts else None
    return Progress(
        pd.DataFrame(columns=list(PROGRESS_COLUMNS)) if curve is None else curve,
        pd.DataFrame(rows, columns=list(SETTLING_COLUMNS)),
    )


def _checkpoints(cells: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """Gives the characters at which all cells are looked at: all checkpoints, or some of many."""
    there = np.unique(np.concatenate([table.index.to_numpy() for table in cells.values()]))
    first = max(float(table.index[0]) for table in cells.values())
    there = there[there >= first]
    wanted = np.linspace(0, len(there) - 1, min(len(there), MOST_CHECKPOINTS)).round().astype(int)
    chosen: np.ndarray = there[np.unique(wanted)]
    return chosen


def _best_so_far(table: pd.DataFrame, at: np.ndarray, guess: float) -> np.ndarray:
    """Gives the best loss of every draw up to every checkpoint, (T, N); of lost ones guessing."""
    values = table.to_numpy(dtype=float)
    ahead = np.minimum.accumulate(values[::-1], axis=0)[::-1]
    lost = np.isinf(ahead) | (ahead >= guess)  # guessing from here to the end
    best = np.where(lost, values, np.minimum.accumulate(values, axis=0))
    place = np.searchsorted(table.index.to_numpy(), at, side="right") - 1
    found: np.ndarray = best[np.maximum(place, 0)]
    return found


def _difference(both: list[np.ndarray], top: int, chosen: np.ndarray | None) -> np.ndarray:
    """Gives the difference of the means of the best draws: (T,), or of resamples (R, T)."""
    means = []
    for values in both:
        drawn = values if chosen is None else values[:, chosen]  # (T, N) or (T, R, N)
        best = np.partition(drawn, top - 1, axis=-1)[..., :top]
        means.append(best.mean(axis=-1))
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (means[1] - means[0]).T
    return found
