"""A path between two cells as a table: what each step brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from odyssey.report.page import tables
from odyssey.statistics.steps import path_steps

STEPS_CAPTION = (
    "Every cell against the one before it, on the same draws: difference of the mean test scores "
    "of the best draws by validation, with the interval of one comparison, as a share of the whole "
    "way from the first cell to the last, and the permutation test corrected by Holm over all rows "
    "of the table. Where changes depend on each other, another order of the steps would share the "
    "gap otherwise."
)


def steps_of(results: pd.DataFrame, run: Mapping[str, Any], *, seed: int) -> pd.DataFrame | None:
    """Compares the cells of a study's path; None where it has none, or too few results.

    Args:
        results: As `RESULT_COLUMNS`, with `label`.
        run: The facts of `run.json`.
        seed: Of all resamples.
    """
    path = run.get("path")
    if not isinstance(path, list) or len(path) < 2:
        return None
    labels = dict(zip(results["spec"].astype(str), results["label"].astype(str), strict=True))
    if not set(path) <= set(labels):
        return None
    found = path_steps(results, [labels[spec] for spec in path], seed=seed)
    return found if len(found) else None


def steps_table(steps: pd.DataFrame) -> pd.DataFrame:
    """Makes what `path_steps` gives fit to print."""
    words = [
        f"{row['label']} (from {row['before']})" if row["step"] else f"whole way to {row['label']}"
        for row in steps.to_dict("records")
    ]
    ends = tables.intervals(steps["low"], steps["high"])
    shown = steps.assign(effect=words, interval=ends)
    return shown.drop(columns=["label", "before"])
