"""How a difference between cells changes from rung to rung of a ladder.

At every rung the cells are compared as if the ladder ended there: a draw counts with the last rung
up to it that it reached, and the best half of those who reached it are the best. So the budgets of
both cells are alike at every rung, and the last one is the comparison of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from odyssey.statistics.comparison import pair_of, resampled_differences, testable
from odyssey.statistics.draws import TaskDraws, task_draws, top_scores
from odyssey.statistics.estimates import TAILS
from odyssey.statistics.progress import PROGRESS_COLUMNS, SETTLING_COLUMNS, Progress
from odyssey.storage.schema import TEST_BPC, VALID_BPC
from odyssey.threads import one_thread

BY_RUNG_COLUMNS = (*PROGRESS_COLUMNS, "rung", "reached", "top")


class _Point(NamedTuple):
    """A cell beside the baseline on a rung: the difference, and that of resamples (S,)."""

    rung: int
    characters: float
    reached: int
    top: int
    draws: int
    difference: float
    samples: np.ndarray


@one_thread()
def difference_by_rung(
    tables: Mapping[int, pd.DataFrame],
    *,
    baseline: str,
    seed: int,
    valid: str = VALID_BPC,
    test: str = TEST_BPC,
    resamples: int = 1_000,
) -> Progress:
    """Follows the difference of every cell to the baseline from rung to rung.

    Args:
        tables: By rung the table of draws as if the ladder ended there, with `label`; see
            `storage.rungs.table_of_draws`.
        baseline: Label of the baseline.
        seed: Of the bootstrap over draws, the same ones for both cells and all rungs.
        valid: Column that chooses among draws.
        test: Column that is compared.
        resamples: Bootstrap samples.

    Returns:
        The curve with `rung`, `reached` (draws of the cell on the rung) and `top` (best draws)
        beside its columns, in the unit of `test`; `settling`, between the last two rungs, with
        `rung`, the last but one.
    """
    found: dict[tuple[str, str], list[_Point]] = {}
    for rung, table in sorted(tables.items()):
        on_it = table[table["rung"] == rung]
        for draws in task_draws(table, valid=valid, test=test):
            there = on_it[on_it["task"] == draws.task]
            if there.empty or baseline not in draws.labels:
                continue  # an unfinished run has not come to this rung
            for label in draws.labels:
                point = _point(draws, baseline, label, seed=seed, resamples=resamples)
                if label == baseline or point is None:
                    continue
                characters = float(there["characters"].max())
                reached = int((there["label"] == label).sum())
                at = point._replace(rung=rung, characters=characters, reached=reached)
                found.setdefault((draws.task, label), []).append(at)
    curve = [
        (*key, p.characters, p.difference, *_ends(p.samples), p.rung, p.reached, p.top)
        for key, points in found.items()
        for p in points
    ]
    settling = [(*key, *_settled(of)) for key, of in found.items() if len(of) > 1]
    return Progress(
        pd.DataFrame(curve, columns=list(BY_RUNG_COLUMNS)),
        pd.DataFrame(settling, columns=[*SETTLING_COLUMNS, "rung"]),
    )


def _point(
    draws: TaskDraws, baseline: str, label: str, *, seed: int, resamples: int
) -> _Point | None:
    pair = pair_of(draws, baseline, label)
    if not testable(pair):
        return None
    best = top_scores(pair.valid, pair.test, pair.top).mean(axis=-1)
    samples = draws.sign * resampled_differences(pair, seed=seed, resamples=resamples)
    difference = draws.sign * float(best[1] - best[0])
    return _Point(0, np.nan, 0, pair.top, pair.draws, difference, samples)


def _settled(points: Sequence[_Point]) -> tuple[object, ...]:
    before, last = points[-2:]
    change = last.difference - before.difference
    low, high = _ends(last.samples - before.samples)
    moving = bool(low > 0 or high < 0)
    known = (last.draws, before.characters, before.difference, last.difference)
    return (*known, change, low, high, moving, before.rung)


def _ends(samples: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(samples, TAILS)
    return float(low), float(high)
