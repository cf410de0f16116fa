"""The box plots of the Odyssey: pixels only, no statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator

from odyssey.report.page.style import main_range, new_axes, styled
from odyssey.report.study.comparison_plots import VERDICT_LOOKS, short_labels, verdict_legend
from odyssey.statistics.verdicts import DECIDED, NO_TEST, WORSE
from odyssey.wording import plural

MOST_UPRIGHT = 12
"""Cells that boxes stand upright for; more of them lie, one below the other."""


@styled
def plot_boxes(
    boxes: pd.DataFrame, verdicts: Mapping[str, str], *, unit: str, ax: Axes | None = None
) -> Axes:
    """Draws the box plot of Greff et al. 2015 (figure 3): one box a cell, bars of parameters.

    Boxes span the quartiles, whiskers the whole range, a line marks the median, a diamond the mean.
    Draws that are lost or worse than guessing count as guessing; their number stands at the bad
    end, and what is far off leaves the picture there. Grey bars behind the boxes, on an axis of
    their own, are mean parameters.

    Args:
        boxes: One task and one `which` of `boxes.box_summary`.
        verdicts: Verdict by label, see `VERDICT_LOOKS`.
        unit: What the scores are, as in "test bits per character".
        ax: Where to draw.
    """
    upright = len(boxes) <= MOST_UPRIGHT
    if ax is None:
        wide = max(4.0, 1.2 + 0.62 * len(boxes))
        ax = new_axes(wide, 3.6) if upright else new_axes(5.0, 1.2 + 0.27 * len(boxes))
    _parameter_bars(ax, boxes, upright=upright)
    values = boxes[["low", "q1", "median", "q3", "high"]].to_numpy(dtype=float)
    least, most = main_range(values)
    room = 0.06 * ((most - least) or 1.0)
    floor, roof = least - room, most + 2.5 * room
    for place, label, row, mean in zip(
        range(len(boxes)), boxes["label"], values, boxes["mean"], strict=True
    ):
        ends = np.nan_to_num(row, posinf=roof + room, neginf=floor - room)
        _box(ax, place, ends, mean, verdicts.get(str(label), NO_TEST), upright=upright)
    for place, guessed in enumerate(boxes["guessed"]):
        if guessed:
            ax.annotate(
                f"{guessed} guess" if guessed > 1 else "1 guesses",
                xy=(place, 1) if upright else (1, place),
                xycoords=("data", "axes fraction") if upright else ("axes fraction", "data"),
                xytext=(0, 2) if upright else (3, 0),
                textcoords="offset points",
                ha="center" if upright else "left",
                va="bottom" if upright else "center",
                fontsize=7,
                color=VERDICT_LOOKS[WORSE][0],
            )
    names = short_labels(boxes["label"])
    if upright:
        ax.set_ylim(floor, roof)
        ax.set_xlim(-0.6, len(boxes) - 0.4)
        ax.set_xticks(range(len(boxes)), names, rotation=38, ha="right")
        ax.set_ylabel(unit)
    else:
        ax.set_xlim(floor, roof)
        ax.set_ylim(len(boxes) - 0.4, -0.6)
        ax.set_yticks(range(len(boxes)), names)
        ax.set_xlabel(unit)
    ax.grid(axis="x" if upright else "y", visible=False)
    return ax


@styled
def boxes_figure(
    boxes: pd.DataFrame, comparison: pd.DataFrame, *, unit: str, verdict: str = "verdict"
) -> Figure:
    """Draws all draws and the best of them, as in figure 3 of Greff et al. 2015.

    One above the other; side by side where there are many cells.

    Args:
        boxes: One task of `boxes.box_summary`.
        comparison: The same task of `comparison.compare`.
        unit: What the scores are, as in "test bits per character".
        verdict: Column of the verdicts that colour the boxes: verdict or odyssey_verdict.
    """
    verdicts = dict(zip(comparison["label"].astype(str), comparison[verdict], strict=True))
    cells = boxes["label"].nunique()
    upright = cells <= MOST_UPRIGHT
    size = (max(4.8, 1.6 + 0.62 * cells), 6.0) if upright else (9.4, 1.6 + 0.27 * cells)
    figure = Figure(figsize=size, layout="constrained")
    if upright:
        first, second = figure.subplots(2, 1, sharex=True)
    else:
        first, second = figure.subplots(1, 2, sharey=True)
    for ax, which, words in ((first, "all", "all"), (second, "best", "best by validation:")):
        part = boxes[boxes["which"] == which]
        plot_boxes(part, verdicts, unit=unit, ax=ax)
        count = int(part["draws"].max())
        ax.set_title(f"{words} {plural(count, 'draw')}", fontweight="bold", pad=14)
    if upright:
        first.tick_params(axis="x", labelbottom=False)
    else:
        second.tick_params(axis="y", labelleft=False)
    verdict_legend(second, comparison[verdict], boxes=True)
    return figure


def _parameter_bars(ax: Axes, boxes: pd.DataFrame, *, upright: bool) -> None:
    counts, places = boxes["parameters"].fillna(0.0), np.arange(len(boxes))
    bars = ax.twinx() if upright else ax.twiny()
    if upright:
        bars.bar(places, counts, width=0.8, color="#dcdfe3", zorder=0)
    else:
        bars.barh(places, counts, height=0.8, color="#dcdfe3", zorder=0)
    axis = bars.yaxis if upright else bars.xaxis
    axis.set_label_text("mean parameters", color="#80868f")
    bars.tick_params(axis="y" if upright else "x", colors="#80868f", length=0)
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_major_locator(MaxNLocator(4))
    (bars.set_ylim if upright else bars.set_xlim)(0, 1.9 * max(float(counts.max()), 1.0))
    bars.grid(visible=False)
    bars.spines[:].set_visible(False)
    # The bars belong behind the boxes.
    ax.set_zorder(bars.get_zorder() + 1)
    ax.patch.set_visible(False)


def _box(
    ax: Axes, place: int, ends: np.ndarray, mean: float, verdict: str, *, upright: bool
) -> None:
    """Draws one box: ends are least, quartile, median, quartile, greatest."""

    def line(across: tuple[float, float], along: tuple[float, float], zorder: int) -> None:
        at = [place + across[0], place + across[1]]
        ax.plot(
            at if upright else along,
            along if upright else at,
            color=dark,
            linewidth=thick,
            zorder=zorder,
        )

    dark, light, _ = VERDICT_LOOKS[verdict]
    thick = 1.8 if verdict in DECIDED else 0.9
    low, q1, median, q3, high = (float(end) for end in ends)
    line((0, 0), (low, q1), 3)
    line((0, 0), (q3, high), 3)
    for end in (low, high):
        line((-0.14, 0.14), (end, end), 3)
    style: dict[str, Any] = {
        "facecolor": light,
        "edgecolor": dark,
        "linewidth": thick,
        "zorder": 4,
    }
    if upright:
        ax.add_patch(Rectangle((place - 0.25, q1), 0.5, q3 - q1, **style))
    else:
        ax.add_patch(Rectangle((q1, place - 0.25), q3 - q1, 0.5, **style))
    line((-0.25, 0.25), (median, median), 5)
    middle = (place, mean) if upright else (mean, place)
    ax.plot(*middle, "D", color=dark, markersize=3.4, markeredgecolor="white", zorder=6)
