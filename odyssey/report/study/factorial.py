"""Changes in all combinations: the effects of a study as a table and as figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from odyssey.names import file_name, short_names
from odyssey.report.page import style, tables
from odyssey.report.page.pictures import Picture
from odyssey.report.page.units import per
from odyssey.report.study.factorial_plots import plot_effects_of_changes
from odyssey.statistics.factorial import factorial_effects

FACTORIAL_CAPTION = (
    "Every change was made in all combinations with the others. Effect of a change: mean test "
    "score of the best draws with it less without it, over everything else; of a pair: by how much "
    "the effect of one is larger where the other is made, too. Interval: 95 %, percentile "
    "bootstrap over draws. p: permutation test that swaps the cells with and without a change draw "
    "by draw and chooses the best anew, other effects of the change taken out as estimated, "
    "corrected by Holm over all effects of the table."
)


@dataclass(frozen=True)
class Factorial:
    """The effects of a study's changes.

    Attributes:
        effects: As `statistics.factorial.factorial_effects`.
        pictures: Their figures, task by task.
    """

    effects: pd.DataFrame = field(repr=False)
    pictures: tuple[Picture, ...] = field(repr=False)


def factorial_of(results: pd.DataFrame, run: Mapping[str, Any], *, seed: int) -> Factorial | None:
    """Estimates the effects of a study's changes; None where it has none, or too few results.

    Args:
        results: As `RESULT_COLUMNS`, with `label`.
        run: The facts of `run.json`.
        seed: Of all resamples.
    """
    cells = run.get("factorial")
    if not isinstance(cells, Mapping) or not cells:
        return None
    labels = dict(zip(results["spec"].astype(str), results["label"].astype(str), strict=True))
    if not set(cells) <= set(labels):
        return None
    found = factorial_effects(results, {labels[s]: of for s, of in cells.items()}, seed=seed)
    return Factorial(found, tuple(_pictures(found))) if len(found) else None


def effects_table(effects: pd.DataFrame) -> pd.DataFrame:
    """Makes what `factorial_effects` gives fit to print."""
    return effects.assign(interval=tables.intervals(effects["low"], effects["high"]))


def _pictures(effects: pd.DataFrame) -> Iterator[Picture]:
    """Draws the effects, task by task."""
    names = short_names(effects["task"].unique())
    for place, (task, here) in enumerate(effects.groupby("task", sort=False), start=1):
        name = names[str(task)]
        yield Picture(
            f"{place}_{file_name(name)}_factorial",
            name,
            f"Effects of changes on {name}",
            "Changes above, pairs of them below, with 95 % intervals (bootstrap over draws); left "
            "of nought is better.",
            style.figure_of(plot_effects_of_changes(here, unit=f"test {per()}")),
            here,
        )
