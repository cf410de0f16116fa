"""The figures of a report: which there are, of which data, and what their captions say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from odyssey.names import file_name, short_names
from odyssey.report.page import style
from odyssey.report.page.pictures import Picture
from odyssey.report.study import plots
from odyssey.statistics import estimates, ranking
from odyssey.statistics.pareto import COSTS, pareto
from odyssey.storage.schema import VALID_BPC

FRONTS = "pareto"
"""How the name of the figure of loss against cost ends."""


def pictures(
    results: pd.DataFrame,
    curves: pd.DataFrame,
    *,
    seed: int,
    models: pd.DataFrame | None = None,
) -> Iterator[Picture]:
    """Draws all figures of a run, task by task; those without data are left out.

    Args:
        results: As `RESULT_COLUMNS`.
        curves: As `CURVE_COLUMNS`.
        seed: Of the bootstrap, so that the same records make the same figures.
        models: Results whose loss stands against cost; `results` if None.
    """
    results, curves = ranking.with_labels(results), ranking.with_labels(curves)
    board = ranking.leaderboard(results)
    names = short_names(board["task"].unique())
    bands = estimates.curve_bands(curves, results)
    efficient = pareto(results if models is None else ranking.with_labels(models))
    best = estimates.best_of_n_frame(results, rng=np.random.default_rng(seed))
    # A value of a member that diverged is no result, whatever it reached before.
    results = results.assign(valid_bpc=results[VALID_BPC].where(estimates.valid_rows(results)))
    for place, (task, ranked) in enumerate(board.groupby("task", sort=False), start=1):
        order = list(ranked["label"])
        here = _of_task(results, task, order)
        stem, name = f"{place}_{file_name(names[str(task)])}", names[str(task)]
        n = _members(ranked)
        if here[VALID_BPC].notna().any():
            yield _members_picture(here, task=name, stem=stem, n=n)
        for data, kind in ((bands, "curves"), (best, "best_of_n")):
            rows = _of_task(data, task, order)
            column = "median" if kind == "curves" else "expected"
            # Where no member has a result there is nothing but guessing to draw.
            if rows[column].notna().any() and here[VALID_BPC].notna().any():
                yield _lines_picture(rows, kind=kind, task=name, stem=stem, n=n)
        models = efficient[efficient["task"] == task]
        if models["num_parameters"].notna().any():
            yield _pareto_picture(models, task=name, stem=stem, n=n)


def _members_picture(here: pd.DataFrame, *, task: str, stem: str, n: str) -> Picture:
    ax = plots.plot_members(here)
    return Picture(
        name=f"{stem}_members",
        task=task,
        title=f"All members on {task}",
        caption=f"Best validation loss of every member ({n} a cell), ordered by the median. Boxes "
        "span the quartiles with the median as a line, whiskers reach to the last point within 1.5 "
        "box lengths. Members that diverged (a loss or gradient that is not finite, or a loss "
        "beyond the study's diverged_factor times ln of the number of symbols) or failed have no "
        "point; their number stands on the right.",
        figure=style.figure_of(ax),
        data=here[["task", "label", "member", "status", VALID_BPC]],
    )


def _lines_picture(rows: pd.DataFrame, *, kind: str, task: str, stem: str, n: str) -> Picture:
    plot = plots.plot_learning_curves if kind == "curves" else plots.plot_best_of_n
    if rows["label"].nunique() <= style.MOST_BANDS:
        figure, reading = style.figure_of(plot(rows)), ""
    else:
        figure = plots.small_multiples(rows, plot)
        reading = " One panel a cell, best first, with the other cells in grey."
    if kind == "curves":
        title = f"Learning curves on {task}"
        caption = (
            f"Validation loss along training: median over the members ({n} a cell) and, as a band, "
            "the quartiles. A member that diverged or failed counts as guessing from then on, as "
            "does any value that is worse. One that stopped early keeps its last value. The steep "
            f"beginning leaves the picture.{reading}"
        )
    else:
        title = f"Expected best of n draws on {task}"
        caption = (
            "Best validation loss to be expected from tuning with n random draws of "
            "hyperparameters (Dodge et al. 2019, unbiased form without replacement; "
            f"{n} a cell). Bands: 95 % percentile bootstrap over draws, pointwise, 1000 resamples; "
            "with few draws they understate the uncertainty, and they may leave the picture. A "
            "draw that diverged or failed, or is worse than guessing, counts "
            f"as guessing.{reading}"
        )
    return Picture(f"{stem}_{kind}", task, title, caption, figure, rows)


def _pareto_picture(models: pd.DataFrame, *, task: str, stem: str, n: str) -> Picture:
    costs = [cost for cost in COSTS if models[cost].notna().any()]
    what = " and ".join(COSTS[cost] for cost in costs)
    return Picture(
        name=f"{stem}_{FRONTS}",
        task=task,
        title=f"Loss against {what} on {task}",
        caption=f"Every member that has a result ({n} a cell) in grey. In blue those that are not "
        "dominated: no other member has as low a loss at as low a cost, and one of them lower. "
        "Parameters are all that is trained, embedding and readout included; operations are those "
        "of one character, forward: two a weight of a product, one a number that is added, "
        "multiplied or put through a function. What is worse than guessing counts as "
        "guessing. A front is one of these draws and tests nothing.",
        figure=plots.plot_fronts(models, costs),
        data=models,
    )


def _of_task(frame: pd.DataFrame, task: object, order: list[str]) -> pd.DataFrame:
    """Gives the rows of a task, cells in the order given."""
    rows = frame[frame["task"] == task]
    places = {label: place for place, label in enumerate(order)}
    return rows.iloc[np.argsort(rows["label"].map(places).to_numpy(dtype=float), kind="stable")]


def _members(ranked: pd.DataFrame) -> str:
    low, high = ranked["members"].min(), ranked["members"].max()
    return f"n = {low}" if low == high else f"n = {low} to {high}"
