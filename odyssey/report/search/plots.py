"""Tidy frames of a search into Axes: pixels only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from odyssey.report.page.style import ACCENT, FAINT, INK, PALETTE, new_axes, styled
from odyssey.report.page.units import symbols
from odyssey.storage.schema import RANDOM_ARM, SEED_ARM


@styled
def plot_progress(
    paths: Mapping[str, pd.DataFrame], band: pd.DataFrame | None, *, ax: Axes | None = None
) -> Axes:
    """Draws the best score so far of every arm against characters trained on.

    Args:
        paths: `statistics.search.best_so_far` by name of the arm.
        band: `statistics.search.random_band`, or None without a random arm.
        ax: Where to draw.
    """
    ax = ax or new_axes(6.4, 4.0)
    if band is not None:
        x = band["characters"]
        ax.fill_between(x, band["low"], band["high"], color=FAINT, alpha=0.55, linewidth=0)
        ax.plot(x, band["median"], color="#777777", linestyle="--", label="random, median order")
    for place, (arm, path) in enumerate(paths.items()):
        ax.step(
            path["characters"],
            path["best"],
            where="post",
            color=ACCENT if place == 0 else PALETTE[1],
            linewidth=2.0 if place == 0 else 1.0,
            label=arm if place == 0 else f"{arm}, as it happened",
        )
    ax.axhline(1.0, color=INK, linewidth=0.6, linestyle=":")
    ax.set_xlabel(f"{symbols()} trained on by the arm")
    ax.set_ylabel("best score so far (baseline = 1)")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlim(left=0)
    _legend_above(ax)
    return ax


@styled
def plot_pareto(frame: pd.DataFrame, *, cost: str, value: str, ax: Axes | None = None) -> Axes:
    """Draws a value to be made small against the cost of cells, with the front as a line.

    Args:
        frame: One row a cell: name, arm, cost, value, front (bool).
        cost: What the cost is, for the axis.
        value: What the value is, for the axis.
        ax: Where to draw.
    """
    ax = ax or new_axes(6.4, 4.0)
    groups = {SEED_ARM: ("D", INK), RANDOM_ARM: ("o", "#9aa0a6")}
    for arm, part in frame.groupby("arm", sort=False):
        marker, color = groups.get(str(arm), ("o", ACCENT))
        size = 34 if arm == SEED_ARM else 16
        ax.scatter(
            part["cost"], part["value"], marker=marker, s=size, color=color, alpha=0.8, label=arm
        )
    front = frame[frame["front"]].sort_values("cost")
    ax.step(front["cost"], front["value"], where="post", color=PALETTE[1], linewidth=1.2)
    top = float(frame["value"].quantile(0.95))
    low, high = float(frame["value"].min()), max(top, float(frame["value"].median()))
    ax.set_ylim(low - 0.08 * (high - low or 1), high + 0.15 * (high - low or 1))
    for place, row in enumerate(frame[frame["arm"] == SEED_ARM].to_dict("records")):
        if row["value"] <= ax.get_ylim()[1]:
            offset = (5, 4 if place % 2 else -9)
            ax.annotate(
                row["name"],
                (row["cost"], row["value"]),
                xytext=offset,
                textcoords="offset points",
                fontsize=8,
            )
    ax.set_xlabel(cost)
    ax.set_ylabel(value)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    _legend_above(ax)
    return ax


@styled
def plot_lineage(frame: pd.DataFrame, *, best: int, ax: Axes | None = None) -> Axes:
    """Draws who descends from whom: number of the candidate against its score.

    Args:
        frame: One row a cell: number, name, arm, score, parents (list of numbers), kept (in the
            top).
        best: Number of the best, whose line is drawn strong.
        ax: Where to draw.
    """
    ax = ax or new_axes(6.4, 4.4)
    places = {int(r["number"]): (int(r["number"]), r["score"]) for r in frame.to_dict("records")}
    parents = {int(n): p for n, p in zip(frame["number"], frame["parents"], strict=True)}
    strong, todo = set[int](), [best]
    while todo:
        number = todo.pop()
        if number not in strong:
            strong.add(number)
            todo += parents.get(number, [])
    for number, found in parents.items():
        for parent in found:
            if parent in places:
                (x0, y0), (x1, y1) = places[parent], places[number]
                on = number in strong
                ax.plot(
                    [x0, x1],
                    [y0, y1],
                    color=ACCENT if on else FAINT,
                    linewidth=1.6 if on else 0.8,
                    zorder=2 if on else 1,
                )
    kept = frame["kept"].to_numpy(bool)
    xs, ys = frame["number"].to_numpy(float), frame["score"].to_numpy(float)
    ax.scatter(xs[~kept], ys[~kept], s=16, color="#777777", zorder=3)
    ax.scatter(xs[kept], ys[kept], s=28, color=ACCENT, zorder=4)
    right = 0.75 * float(np.max(xs)) if len(xs) else 0.0
    for row in frame.to_dict("records"):
        if row["number"] in strong or row["arm"] == SEED_ARM:
            end = float(row["number"]) > right
            ax.annotate(
                row["name"],
                (row["number"], row["score"]),
                xytext=(-5 if end else 5, 5),
                textcoords="offset points",
                ha="right" if end else "left",
                fontsize=7.5,
                color=INK,
            )
    ax.axhline(1.0, color=INK, linewidth=0.6, linestyle=":")
    ax.set_xlabel("candidate")
    ax.set_ylabel("score after its last stage (baseline = 1)")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return ax


def _legend_above(ax: Axes) -> None:
    """Puts the legend in a row above the Axes, where no data is."""
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.2)
