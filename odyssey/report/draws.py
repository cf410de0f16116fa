"""The draws of a study as arrays: row by row the same hyperparameters and seed for every cell.

A draw that diverged or failed is part of the budget: it is the worst draw of its cell. In the order
by validation it stands behind every other draw. Where its test score is needed as a number (only
when a cell has fewer good draws than are looked at), it counts as the worst finite test score that
any cell reached on the task. A draw that was not run is absent, which is another thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from odyssey.errors import ConfigError, suggest
from odyssey.report import statistics
from odyssey.report.tables import with_labels


@dataclass(frozen=True)
class Draws:
    """The draws of one task; lower is better in both arrays, whatever the metric.

    Attributes:
        task: The task.
        labels: The cells, in the order of the study (C of them).
        keys: What names a draw: its member number, with the run where there are several (N).
        valid: Order by validation, (C, N) float64: infinite where the draw was lost.
        test: Test scores, (C, N) float64: the worst finite one of the task where it was lost.
        lost: Which draws diverged or failed, (C, N) bool.
        present: Which draws were run, (C, N) bool.
        sign: 1 for losses, -1 for metrics of which more is better: `sign * test` is the metric.
    """

    task: str
    labels: tuple[str, ...]
    keys: tuple[object, ...] = field(repr=False)
    valid: np.ndarray = field(repr=False)
    test: np.ndarray = field(repr=False)
    lost: np.ndarray = field(repr=False)
    present: np.ndarray = field(repr=False)
    sign: float = 1.0

    def place(self, label: str) -> int:
        """Gives the row of a cell.

        Raises:
            ConfigError: There is no such cell on the task.
        """
        if label not in self.labels:
            raise ConfigError(suggest(label, self.labels, what=f"cell with results on {self.task}"))
        return self.labels.index(label)


def task_draws(
    results: pd.DataFrame, *, valid: str = "valid_bpc", test: str = "test_bpc"
) -> list[Draws]:
    """Arranges results as arrays, one `Draws` a task, in the order of the study.

    Args:
        results: One row a member, as `RESULT_COLUMNS`. Columns `label` and `run` are used where
            they are there.
        valid: Column that chooses among draws.
        test: Column that is reported. Both are losses, or both accuracies (names that end so).

    Raises:
        ConfigError: A cell has two rows for one draw, or one draw has two seeds.
    """
    results = results if "label" in results else with_labels(results)
    if statistics.lower_is_better(valid) != statistics.lower_is_better(test):
        raise ConfigError(f"{valid} chooses, {test} is reported: only one of them is a loss")
    sign = 1.0 if statistics.lower_is_better(test) else -1.0
    names = ["run", "member"] if "run" in results else ["member"]
    return [
        _draws(str(task), part, names=names, columns=(valid, test), sign=sign)
        for task, part in results.groupby("task", sort=False)
    ]


def first_cell(tasks: Sequence[Draws]) -> str:
    """Names the baseline that is meant when none is named: the first cell of the study."""
    if not tasks:
        raise ConfigError("there are no results to compare; wait for the first trial to finish")
    return tasks[0].labels[0]


def _draws(
    task: str, part: pd.DataFrame, *, names: list[str], columns: tuple[str, str], sign: float
) -> Draws:
    valid, test = columns
    repeated = part.duplicated(["label", *names])
    if repeated.any():
        row = part[repeated].iloc[0]
        raise ConfigError(
            f"{row['label']} has draw {row['member']} twice on {task};"
            " compare one run, or runs that a `run` column tells apart"
        )
    if "seed" in part and (part.groupby(names)["seed"].nunique() > 1).any():
        raise ConfigError(f"a draw on {task} has two seeds: the results are not of one study")
    labels = list(dict.fromkeys(part["label"].astype(str)))
    order = pd.MultiIndex.from_frame(part[names].drop_duplicates()).sortlevel()[0]
    shape = (len(labels), len(order))
    rows = pd.Categorical(part["label"].astype(str), labels).codes
    cols = order.get_indexer(pd.MultiIndex.from_frame(part[names]))
    usable = (statistics.valid_rows(part, valid) & statistics.valid_rows(part, test)).to_numpy()
    by_valid, by_test = np.full(shape, np.inf), np.full(shape, np.nan)
    present, lost = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    present[rows, cols] = True
    lost[rows, cols] = ~usable
    by_valid[rows[usable], cols[usable]] = sign * part.loc[usable, valid].to_numpy(dtype=float)
    by_test[rows[usable], cols[usable]] = sign * part.loc[usable, test].to_numpy(dtype=float)
    if usable.any():
        by_test[lost] = np.nanmax(by_test)
    return Draws(
        task, tuple(labels), tuple(order.to_flat_index()), by_valid, by_test, lost, present, sign
    )


def top_count(draws: int, fraction: float = 0.1, *, least: int = 5) -> int:
    """Gives how many draws count as the best `fraction` of them: at least `least`.

    The mean of one or two best draws is a matter of luck that no test can see through: with fewer
    than 50 draws the best five are taken, with five or fewer all of them.
    """
    return min(draws, max(least, int(np.floor(fraction * draws + 0.5))))


def top_scores(valid: np.ndarray, test: np.ndarray, top: int) -> np.ndarray:
    """Gives the test scores of the `top` draws that are best by validation.

    Args:
        valid: Order by validation, lower is better, (..., N).
        test: Test scores, (..., N).
        top: How many.

    Returns:
        Shape (..., top), in no particular order.
    """
    if top >= valid.shape[-1]:
        return test
    chosen = np.argpartition(valid, top - 1, axis=-1)[..., :top]
    return np.take_along_axis(test, chosen, axis=-1)
