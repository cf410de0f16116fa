"""Forest plots of changes over several runs: every estimate, and below them their mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from odyssey.names import file_name
from odyssey.report.page import style
from odyssey.report.page.pictures import Picture
from odyssey.report.page.style import ACCENT, FAINT, INK, new_axes, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@styled
def plot_forest(
    effects: pd.DataFrame, *, mean: pd.DataFrame, unit: str, ax: Axes | None = None
) -> Axes:
    """Draws the estimates of one change with 95 % intervals, and their mean.

    Args:
        effects: The rows of one change of `ChangesOverRuns.effects`.
        mean: Its row of `statistics.forest.forest`.
        unit: What the scores are.
        ax: Where to draw.
    """
    ax = ax or new_axes(6.8, 1.3 + 0.26 * (len(effects) + 1))
    half = float(stats.norm.ppf(0.975))
    names = []
    for place, row in enumerate(effects.to_dict("records")):
        ends = [row["difference"] - half * row["error"], row["difference"] + half * row["error"]]
        ax.plot(ends, [place, place], color=ACCENT, lw=1.3)
        ax.plot(row["difference"], place, "o", color=ACCENT, markersize=4.5)
        names.append(f"{row['run']}, {row['task']} ({row['optimizer']})")
    whole, place = mean.iloc[0], len(effects)
    ax.plot([whole["next_low"], whole["next_high"]], [place] * 2, color=FAINT, lw=5, zorder=1)
    ax.plot([whole["low"], whole["high"]], [place] * 2, color=INK, lw=2.2)
    ax.plot(whole["mean"], place, "D", color=INK, markersize=6)
    ax.axvline(0, color=INK, linewidth=0.9, zorder=0)
    ax.set_yticks(np.arange(place + 1), [*names, "mean (grey: the next study)"])
    ax.set_ylim(place + 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"difference to the baseline, {unit}")
    return ax


def forest_pictures(effects: pd.DataFrame, forest: pd.DataFrame) -> Iterator[Picture]:
    """Draws a forest for every change."""
    for change in forest["change"]:
        here = effects[effects["change"] == change]
        mean = forest[forest["change"] == change]
        yield Picture(
            f"forest_{file_name(str(change))}",
            "",
            f"{change} over {len(here)} estimates",
            "",
            style.figure_of(plot_forest(here, mean=mean, unit="test bits per character")),
            here,
        )
