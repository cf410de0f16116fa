"""Tidy frames into Axes: pixels only, no statistics.

Every `plot_x(frame, *, ax=None)` draws the rows it is given, of one task, and gives the Axes back.
Figures are made without pyplot: no window, no global state, nothing to close. With more cells than
a reader can tell apart, `small_multiples` gives every cell a panel of its own, with the
others in grey behind it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Concatenate

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import MatplotlibDeprecationWarning
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from odyssey.report.page.style import (
    ACCENT,
    FAINT,
    INK,
    LINES,
    MOST_BANDS,
    MOST_LINES,
    PALETTE,
    label_on_the_right,
    main_range,
    new_axes,
    panel_title,
    styled,
)
from odyssey.report.page.units import per, slash, symbols
from odyssey.statistics.pareto import COSTS, FRONT
from odyssey.storage.schema import DIVERGED, FAILED, OK, VALID_BPC

MOST_PANELS = 40
"""Panels of a figure that has one a cell."""

_LONG_BUDGET = 30  # draws beyond which their axis is logarithmic
_EARLY = 0.15  # part of the characters that the learning curves leave out of the picture at the top


@styled
def plot_learning_curves(
    frame: pd.DataFrame, *, highlight: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws validation bits per character against characters read, one line a cell.

    Args:
        frame: One task of `statistics.estimates.curve_bands`.
        highlight: The cell to show with its band, the others in grey; without it, all in colour.
        ax: Where to draw.
    """
    ax = ax or new_axes(6.4, 4.0)
    # The steep start of training says little and would take most of the picture.
    late = frame["characters"] >= _EARLY * frame["characters"].max()
    _lines(ax, frame, x="characters", y="median", highlight=highlight, top=frame["median"][late])
    ax.set_ylabel(f"validation {per()}")
    return _over_characters(ax)


@styled
def plot_best_of_n(
    frame: pd.DataFrame, *, highlight: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws the expected best validation bits per character after n draws, one line a cell.

    Args:
        frame: One task of `statistics.estimates.best_of_n_frame`.
        highlight: As in `plot_learning_curves`.
        ax: Where to draw.
    """
    ax = _by_budget(frame, highlight=highlight, ax=ax)
    ax.set_ylabel(f"expected best {per()}")
    return ax


@styled
def plot_budget(
    frame: pd.DataFrame, *, highlight: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws the expected difference to a baseline after n draws, one line a cell.

    Args:
        frame: One task of `comparison.difference_by_budget`, its difference named expected.
        highlight: As in `plot_learning_curves`.
        ax: Where to draw.
    """
    ax = _by_budget(frame, highlight=highlight, ax=ax)
    ax.axhline(0, color=INK, linewidth=0.8, zorder=1)
    ax.set_ylabel(f"difference, {slash()}")
    return ax


@styled
def plot_progress(
    frame: pd.DataFrame, *, highlight: str | None = None, ax: Axes | None = None, marker: str = ""
) -> Axes:
    """Draws the difference to a baseline along training, one line a cell.

    Args:
        frame: One task of `statistics.progress.Progress.curve`.
        highlight: As in `plot_learning_curves`.
        ax: Where to draw.
        marker: On every point; none if empty.
    """
    ax = ax or new_axes(6.4, 4.0)
    _lines(ax, frame, x="characters", y="difference", highlight=highlight, marker=marker)
    if highlight is not None:  # every panel has a scale of its own: what a change is would be lost
        front = frame[frame["label"] == highlight]
        ends = [0.0, *front["low"], *front["high"], *front["difference"]]
        low, high = min(ends), max(ends)
        room = 0.06 * (high - low) or 0.1
        ax.set_ylim(low - room, high + room)
    ax.axhline(0, color=INK, linewidth=0.8, zorder=1)
    ax.set_ylabel(f"difference, {slash()}")
    return _over_characters(ax)


@styled
def plot_rungs(
    frame: pd.DataFrame, *, highlight: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws the difference to a baseline at every rung of a ladder, one line a cell.

    Args:
        frame: One task of the curve of `by_rung.difference_by_rung`.
        highlight: As in `plot_learning_curves`.
        ax: Where to draw.
    """
    ax = plot_progress(frame, highlight=highlight, ax=ax, marker="o")
    ax.set_xlim(0, 1.05 * float(frame["characters"].max()))
    return ax


def _over_characters(ax: Axes) -> Axes:
    ax.set_xlabel(f"{symbols()} read")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.set_xlim(left=0)
    return ax


def _by_budget(frame: pd.DataFrame, *, highlight: str | None, ax: Axes | None) -> Axes:
    ax = ax or new_axes(6.4, 4.0)
    _lines(ax, frame, x="n", y="expected", highlight=highlight, marker="o")
    ax.set_xlabel("draws of hyperparameters")
    budget = max(float(frame["n"].max()), 1)
    if budget > _LONG_BUDGET:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_major_formatter("{x:.0f}")
        ax.set_xlim(0.95, 1.05 * budget)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_xlim(0.8, budget + 0.2)
    return ax


@styled
def plot_members(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draws the members of every cell as points over a box, best median on top.

    Args:
        frame: Columns label, status, valid_bpc (NaN where there is no result), of one task.
        ax: Where to draw.
    """
    medians = frame.groupby("label")[VALID_BPC].median()
    labels = list(medians.sort_values(na_position="last", kind="stable").index)
    ax = ax or new_axes(7.2, 0.9 + 0.3 * len(labels))
    groups = [frame[frame["label"] == label] for label in labels]
    values = [group[VALID_BPC].dropna().to_numpy(dtype=float) for group in groups]
    places = np.arange(len(labels))  # seaborn counts categories from the top
    line = {"color": "#8397b0", "linewidth": 0.8}
    with warnings.catch_warnings():
        # seaborn 0.13.2 draws boxes through arguments that matplotlib 3.11 deprecates
        warnings.simplefilter("ignore", MatplotlibDeprecationWarning)
        sns.boxplot(
            data=frame,
            x=VALID_BPC,
            y="label",
            order=labels,
            ax=ax,
            width=0.62,
            showfliers=False,
            boxprops={"facecolor": "#dfe8f3", "edgecolor": "#8397b0", "linewidth": 0.8},
            whiskerprops=line,
            capprops=line,
            medianprops={"color": ACCENT, "linewidth": 2.0},
        )
    for place, group, points in zip(places, groups, values, strict=True):
        # A fixed fan instead of random jitter: the same data make the same picture.
        reach = 0.14 if len(points) > 1 else 0.0
        fan = place + np.linspace(-reach, reach, len(points))
        ax.plot(points, fan, "o", color=INK, markersize=3.4, alpha=0.75, markeredgewidth=0)
        if note := _losses(group):
            ax.annotate(
                note,
                xy=(1, place),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color="#a63d40",
            )
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"validation {per()}")
    ax.set_ylabel("")
    return ax


@styled
def plot_pareto(
    frame: pd.DataFrame, *, cost: str = "num_parameters", ax: Axes | None = None
) -> Axes:
    """Draws loss against a cost: members in grey, and as steps those that are not dominated.

    The cells of those on the front are named at the best of their points on it.

    Args:
        frame: As `statistics.pareto.pareto`, of one task.
        cost: Which cost, of `COSTS`.
        ax: Where to draw.
    """
    ax = ax or new_axes(7.2, 4.4)
    shown = frame.dropna(subset=[VALID_BPC, cost])
    x = shown[cost].to_numpy(dtype=float)
    y = shown[VALID_BPC].to_numpy(dtype=float)
    ax.plot(x, y, "o", color=FAINT, markersize=4, markeredgewidth=0)
    ax.set_xlabel(COSTS[cost])
    ax.set_ylabel(f"validation {per()}")
    if len(shown):
        ax.set_xscale("log")
        ax.set_xlim(x.min() / 1.25, x.max() * 1.25)
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        low, high = main_range(y)
        room = 0.04 * (high - low) or 0.1
        ax.set_ylim(min(low, y.min()) - room, high + room)
        front = shown[shown[FRONT[cost]].astype(bool)].sort_values([cost, VALID_BPC])
        points = front[[cost, VALID_BPC]].to_numpy(dtype=float)
        ax.step(*points.T, where="post", color=ACCENT, linewidth=1.2)
        ax.plot(*points.T, "o", color=ACCENT, markersize=5.5, markeredgewidth=0)
        named = front.drop_duplicates("label", keep="last")
        ends = named[[cost, VALID_BPC]].to_numpy(dtype=float)
        label_on_the_right(ax, list(named["label"]), ends, colors=[INK] * len(named))
    return ax


@styled
def plot_fronts(frame: pd.DataFrame, costs: Sequence[str]) -> Figure:
    """Draws loss against several costs, a panel each; see `plot_pareto`."""
    figure = Figure(figsize=(7.2, 3.6 * len(costs)), layout="constrained")
    for ax, cost in zip(figure.subplots(len(costs), squeeze=False)[:, 0], costs, strict=True):
        plot_pareto(frame, cost=cost, ax=ax)
    return figure


@styled
def small_multiples(
    frame: pd.DataFrame,
    plot: Callable[Concatenate[pd.DataFrame, ...], Axes],
    *,
    title: str = "",
    shared: bool = True,
) -> Figure:
    """Draws a panel for every label of a frame, in the order given, on shared axes.

    Every panel has the lines of all, so that the work grows with their square: of more labels than
    `MOST_PANELS` the first are drawn, and the figure says so.

    Args:
        frame: The frame.
        plot: Draws it with the label of a panel as `highlight`.
        title: Of the figure.
        shared: Whether panels have one vertical axis, too.
    """
    every = list(dict.fromkeys(frame["label"]))
    labels = every[:MOST_PANELS]
    if len(labels) < len(every):
        frame = frame[frame["label"].isin(labels)]
        title = f"{title}{' ' if title else ''}(the first {len(labels)} of {len(every)} cells)"
    columns = min(4 if len(labels) > 6 else 3, max(len(labels), 1))
    rows = max(-(-len(labels) // columns), 1)
    figure = Figure(figsize=(2.45 * columns, 0.5 + 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=shared, squeeze=False)
    for place, ax in enumerate(grid.flat):
        if place >= len(labels):
            ax.set_visible(False)
            continue
        plot(frame, highlight=labels[place], ax=ax)
        figure.supxlabel(ax.get_xlabel(), fontsize=9)
        figure.supylabel(ax.get_ylabel(), fontsize=9)
        ax.set(xlabel="", ylabel="")
        ax.set_title(panel_title(labels[place]), fontsize=8, fontweight="bold")
        # The last panel of a column carries the tick labels, also when the row below is short.
        ax.tick_params(labelbottom=place + columns >= len(labels))
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _lines(
    ax: Axes,
    frame: pd.DataFrame,
    *,
    x: str,
    y: str,
    highlight: str | None,
    top: pd.Series[float] | None = None,
    marker: str = "",
) -> None:
    """Draws one line a label; names them at their right ends when none is highlighted."""
    groups = [(str(label), part) for label, part in frame.groupby("label", sort=False)]
    ends, names, colors = [], [], []
    few = len(groups) <= MOST_LINES
    for place, (label, part) in enumerate(groups):
        front = label == highlight
        if highlight is None:
            color = PALETTE[place % MOST_LINES] if few else ACCENT
            line: Any = LINES[place % MOST_LINES] if few else "-"
            style: dict[str, Any] = {"color": color, "linestyle": line, "zorder": 3}
            style["linewidth"] = 1.6 if few else 1.0
        elif front:
            style = {"color": ACCENT, "zorder": 4}
        else:
            style = {"color": FAINT, "linewidth": 0.7, "zorder": 2}
        # Grey company needs no markers.
        dots = marker if len(part) <= 12 and (front or highlight is None) else ""
        # A line of one point is invisible without one.
        dots = dots or ("o" if len(part.dropna(subset=[y])) == 1 else "")
        ax.plot(part[x], part[y], marker=dots, markersize=3.2, **style)
        if front or (highlight is None and len(groups) <= MOST_BANDS):
            _band(ax, part, x=x, y=y, color=str(style["color"]), alpha=0.2 if front else 0.12)
        finite = part.dropna(subset=[y])
        if highlight is None and len(finite):
            ends.append(finite[[x, y]].to_numpy(dtype=float)[-1])
            names.append(label)
            colors.append(str(style["color"]))
    if frame[y].notna().any():
        # Bands may leave the picture; lines only where they would flatten all others, and where
        # `top` leaves out a start.
        low, high = main_range(frame[y])
        high = high if top is None else min(high, main_range(top)[1])
        room = 0.06 * (high - low) or 0.1
        ax.set_ylim(low - room, high + room)
        front_values = frame.loc[frame["label"] == highlight, y]
        if front_values.min() > high + room:
            words = f"from {front_values.min():.3g} up: off the scale"
            ax.annotate(words, xy=(0.5, 0.5), xycoords="axes fraction", ha="center", size=7.5)
    if ends:
        label_on_the_right(ax, names, np.array(ends), colors=colors)


def _band(ax: Axes, part: pd.DataFrame, *, x: str, y: str, color: str, alpha: float) -> None:
    drawn = part.dropna(subset=[y])
    at = drawn[x].to_numpy(dtype=float)
    low = drawn["low"].fillna(drawn[y]).to_numpy(dtype=float)
    high = drawn["high"].to_numpy(dtype=float)
    ax.fill_between(at, low, high, color=color, alpha=alpha, linewidth=0, zorder=1)
    # A bound worse than anything measured is drawn, fainter, as reaching out of the picture.
    opened = ~np.isfinite(high)
    top = np.full(len(at), 1e6)
    ax.fill_between(at, low, top, where=opened, color=color, alpha=alpha / 3, linewidth=0, zorder=1)


def _losses(group: pd.DataFrame) -> str:
    diverged = int((group["status"] == DIVERGED).sum())
    failed = int((group["status"] != OK).sum()) - diverged
    counts = ((diverged, DIVERGED), (failed, FAILED))
    return ", ".join(f"{count} {what}" for count, what in counts if count)
