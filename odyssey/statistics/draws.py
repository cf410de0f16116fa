"""The draws of a study as arrays: row by row the same hyperparameters and seed for every cell.

A draw that diverged or failed is part of the budget: it is the worst draw of its cell. In the order
by validation it stands behind every other draw. Where its test score is needed as a number (when a
cell has fewer good draws than are looked at), it counts as guessing, and so does a score that is
worse than that (`estimates.member_values`). A draw that was not run is absent, which is another
thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from odyssey.errors import ConfigError, suggest
from odyssey.statistics import estimates
from odyssey.statistics.ranking import with_labels
from odyssey.storage.guessing import lower_is_better
from odyssey.storage.schema import FIRST, TEST_BPC, VALID_BPC


@dataclass(frozen=True)
class TaskDraws:
    """The draws of one task; lower is better in both arrays, whatever the metric.

    Attributes:
        task: The task.
        labels: The cells, in the order of the study (C of them).
        keys: What names a draw: its member number, with the run where there are several (N).
        valid: Order by validation, (C, N) float64: infinite where the draw was lost. Of a ladder
            the rung that a draw has reached comes first (`rung_first`).
        test: Test scores, (C, N) float64: guessing where the draw was lost or is worse.
        lost: Which draws diverged or failed, (C, N) bool.
        guessed: Which draws' test scores count as guessing, (C, N) bool: lost, or worse.
        present: Which draws were run, (C, N) bool.
        guess: What guessing scores, as in `test`; NaN where the records do not say.
        sign: 1 for losses, -1 for metrics of which more is better: `sign * test` is the metric.
        independent: The cells whose draws have the numbers of the others' and nothing else of them.
        counted: How many draws of a cell count as its best, where the design says so
            (`estimates.counted_of`); else 0.
    """

    task: str
    labels: tuple[str, ...]
    keys: tuple[object, ...] = field(repr=False)
    valid: np.ndarray = field(repr=False)
    test: np.ndarray = field(repr=False)
    lost: np.ndarray = field(repr=False)
    guessed: np.ndarray = field(repr=False)
    present: np.ndarray = field(repr=False)
    guess: float = float("nan")
    sign: float = 1.0
    independent: frozenset[str] = frozenset()
    counted: int = 0

    def top_count(self, draws: int, fraction: float = 0.1) -> int:
        """Gives how many of so many draws of a cell count as the best."""
        return estimates.top_count(draws, fraction, counted=self.counted)

    def place(self, label: str) -> int:
        """Gives the row of a cell.

        Raises:
            ConfigError: There is no such cell on the task.
        """
        if label not in self.labels:
            raise ConfigError(suggest(label, self.labels, what=f"cell with results on {self.task}"))
        return self.labels.index(label)

    def common(self, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Gives `valid` and `test` of cells on the draws that all of them made."""
        rows = [self.place(label) for label in labels]
        there = self.present[rows].all(axis=0)
        return self.valid[rows][:, there], self.test[rows][:, there]


def task_draws(
    results: pd.DataFrame, *, valid: str = VALID_BPC, test: str = TEST_BPC
) -> list[TaskDraws]:
    """Arranges results as arrays, one `TaskDraws` a task, in the order of the study.

    Args:
        results: One row a member, as `RESULT_COLUMNS`. Columns `label` and `run` are used where
            they are there, and `independent`: whether a cell's draws are its own.
        valid: Column that chooses among draws.
        test: Column that is reported. Both are losses, or both accuracies (names that end so).

    Raises:
        ConfigError: A cell has two rows for one draw, or one draw has two seeds.
    """
    results = results if "label" in results else with_labels(results)
    if lower_is_better(valid) != lower_is_better(test):
        raise ConfigError(f"{valid} chooses, {test} is reported: only one of them is a loss")
    sign = 1.0 if lower_is_better(test) else -1.0
    names = ["run", "member"] if "run" in results else ["member"]
    return [
        _draws(str(task), part, names=names, columns=(valid, test), sign=sign)
        for task, part in results.groupby("task", sort=False)
    ]


def first_cell(tasks: Sequence[TaskDraws]) -> str:
    """Names the baseline that is meant when none is named: the first cell of the study."""
    if not tasks:
        raise ConfigError("there are no results to compare; wait for the first trial to finish")
    return tasks[0].labels[0]


def _draws(
    task: str, part: pd.DataFrame, *, names: list[str], columns: tuple[str, str], sign: float
) -> TaskDraws:
    valid, test = columns
    repeated = part.duplicated(["label", *names])
    if repeated.any():
        row = part[repeated].iloc[0]
        raise ConfigError(
            f"{row['label']} has draw {row['member']} twice on {task};"
            " compare one run, or runs that a `run` column tells apart"
        )
    own = part["independent"] if "independent" in part else pd.Series(data=False, index=part.index)
    if "seed" in part and (part[~own].groupby(names)["seed"].nunique() > 1).any():
        raise ConfigError(f"a draw on {task} has two seeds: the results are not of one study")
    labels = list(dict.fromkeys(part["label"].astype(str)))
    order = pd.MultiIndex.from_frame(part[names].drop_duplicates()).sortlevel()[0]
    shape = (len(labels), len(order))
    rows = pd.Categorical(part["label"].astype(str), labels).codes
    cols = order.get_indexer(pd.MultiIndex.from_frame(part[names]))
    usable = (estimates.valid_rows(part, valid) & estimates.valid_rows(part, test)).to_numpy()
    part = part.assign(**{test: part[test].where(usable)})
    by_valid, by_test = np.full(shape, np.inf), np.full(shape, np.nan)
    scores = estimates.member_values(part, test)
    by_test[rows, cols] = sign * scores.to_numpy()
    counted = sign * estimates.member_values(part, valid).to_numpy()
    rung = estimates.rungs_of(part).to_numpy()
    by_valid[rows[usable], cols[usable]] = rung_first(counted, rung)[usable]
    present, lost, guessed = (np.zeros(shape, dtype=bool) for _ in range(3))
    present[rows, cols] = True
    lost[rows, cols] = ~usable
    guessed[rows, cols] = (scores != part[test].astype("float64")).to_numpy()
    guess = sign * float(estimates.guessing_values(part, test).max())
    keys = tuple(order.to_flat_index())
    return TaskDraws(
        task,
        tuple(labels),
        keys,
        by_valid,
        by_test,
        lost,
        guessed,
        present,
        guess,
        sign,
        independent=frozenset(part.loc[own, "label"].astype(str)),
        counted=estimates.counted_of(part),
    )


def rung_first(valid: np.ndarray, rung: np.ndarray) -> np.ndarray:
    """Gives an order in which the rung comes first and validation second; lower is better.

    A million times the distance from the median to the best lies between two rungs, so that no
    shift of a test brings a draw past one that got further. Scores behind all measure of the others
    (of tasks that know no guessing) stay behind.

    Args:
        valid: Validation scores, lower is better, (N); NaN where there is none.
        rung: Rungs that the draws have reached, (N).
    """
    finite = valid[np.isfinite(valid)]
    if not finite.size or rung.max(initial=FIRST) == FIRST:
        return valid
    apart = float(np.median(finite) - finite.min()) or abs(float(finite.min())) or 1.0
    order: np.ndarray = valid + 1e6 * apart * (rung.max() - rung)
    return order


def top_scores(valid: np.ndarray, test: np.ndarray, top: int) -> np.ndarray:
    """Gives the test scores of the `top` draws that are best by validation, the best first.

    Of draws that validation cannot tell apart those with the lower numbers are taken.

    Args:
        valid: Order by validation, lower is better, (..., N).
        test: Test scores, (..., N).
        top: How many.

    Returns:
        Shape (..., top).
    """
    chosen = np.argsort(valid, axis=-1, kind="stable")[..., :top]
    return np.take_along_axis(test, chosen, axis=-1)
