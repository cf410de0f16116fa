"""Figures of hyperparameter importance: pixels only, no statistics.

They draw what `importance.importance` gives for one cell on one task, and say so in the picture
where the fit is too poor to read anything into it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from odyssey.hyperparameters import LINEAR, LOG_ONE_MINUS, row_of
from odyssey.report.page.style import ACCENT, FAINT, INK, new_axes, styled
from odyssey.statistics.importance import CONSTANT, Importance, InputRange


@styled
def plot_importance(found: Importance, *, most: int = 12, ax: Axes | None = None) -> Axes:
    """Draws the shares of variance as bars with 95 % intervals: main effects, then pairs.

    Args:
        found: What is drawn.
        most: Effects shown at most, the largest ones.
        ax: Where to draw.
    """
    known = found.effects[found.effects["order"] < 3]
    kept = known.nlargest(most, "share").index
    shown = pd.concat([known[known.index.isin(kept)], found.effects[found.effects["order"] == 3]])
    ax = ax or new_axes(6.4, 1.1 + 0.27 * len(shown))
    places = np.arange(len(shown))
    colors = [{1: ACCENT, 2: "#8fb0dc", 3: FAINT}[order] for order in shown["order"]]
    if not found.ranked:
        colors = [FAINT] * len(shown)
    share = 100 * shown["share"].to_numpy(dtype=float)
    ends = 100 * shown[["low", "high"]].to_numpy(dtype=float)
    ax.barh(places, share, color=colors, height=0.62)
    ax.hlines(places, ends[:, 0], ends[:, 1], color=INK, linewidth=1.0)
    names = [" × ".join(_name(n) for n in text.split(" x ")) for text in shown["inputs"]]
    ax.set_yticks(places, names)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    known_ends = np.append(np.append(ends, share), 0.0)
    ax.set_xlim(0, max(5.0, 1.05 * float(np.nanmax(known_ends))))
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("share of the variance, %")
    fit = f"out-of-bag R² {found.fit:.2f}, {found.trials} draws"
    words = fit if found.ranked else f"the fit is poor ({fit}): no ranking"
    if np.isnan(found.fit):
        words = CONSTANT
    ax.text(
        0.98, 0.04, words, transform=ax.transAxes, ha="right", va="bottom", fontsize=8,
        color=INK if found.ranked else "#8c2f39",
    )  # fmt: skip
    return ax


@styled
def plot_marginal(found: Importance, name: str, *, unit: str, ax: Axes | None = None) -> Axes:
    """Draws the mean score along one hyperparameter, over all others, with a 95 % band.

    Args:
        found: What is drawn.
        name: Column of the hyperparameter.
        unit: What the scores are, as in "test bits per character".
        ax: Where to draw.
    """
    ax = ax or new_axes(3.4, 2.6)
    part = found.marginals[found.marginals["input"] == name]
    (chosen,) = (i for i in found.inputs if i.name == name)
    x = _along(part["value"].to_numpy(dtype=float), chosen)
    color = ACCENT if found.ranked else "#80868f"
    if chosen.levels:
        ax.vlines(x, part["low"], part["high"], color=color, linewidth=1.4)
        ax.plot(x, part["mean"], "o", color=color, markersize=4.5)
    else:
        ax.fill_between(x, part["low"], part["high"], color=color, alpha=0.2, linewidth=0)
        ax.plot(x, part["mean"], color=color)
    _scale(ax, chosen, axis="x")
    ax.set_xlabel(_name(name))
    ax.set_ylabel(unit)
    return ax


@styled
def pairs_figure(found: Importance, *, unit: str, most: int = 6) -> Figure:
    """Draws the maps of the pairs with the largest shares side by side, on one scale of colours.

    Args:
        found: What is drawn; at least two hyperparameters varied.
        unit: What the scores are, as in "test bits per character".
        most: Maps shown at most.
    """
    pairs = found.effects[found.effects["order"] == 2].nlargest(most, "share")
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(0.9 + 2.9 * columns, 0.2 + 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    kept = (found.pairs["first"] + " x " + found.pairs["second"]).isin(pairs["inputs"])
    shown = found.pairs.loc[kept, "mean"]
    limits = (float(shown.min()), float(shown.max()))
    for ax, row in zip(axes.flat, pairs.itertuples(), strict=False):
        image = _pair_map(ax, found, *str(row.inputs).split(" x "), limits=limits)
        ax.set_title(f"pair alone: {100 * float(row.share):.0f} % of the variance")  # type: ignore[arg-type]
    for ax in axes.flat[len(pairs) :]:
        ax.set_visible(False)
    _colour_bar(figure, image, axes.ravel().tolist(), unit)
    return figure


def _colour_bar(figure: Figure, image: QuadMesh, axes: list[Axes], unit: str) -> None:
    bar = figure.colorbar(image, ax=axes, fraction=0.05 if len(axes) > 1 else 0.15)
    bar.set_label(unit)
    bar.outline.set_visible(False)


def _pair_map(
    ax: Axes, found: Importance, first: str, second: str, *, limits: tuple[float, float]
) -> QuadMesh:
    inputs = {i.name: i for i in found.inputs}
    rows = found.pairs[(found.pairs["first"] == first) & (found.pairs["second"] == second)]
    table = rows.pivot(index="second_value", columns="first_value", values="mean")
    x = _along(table.columns.to_numpy(dtype=float), inputs[first])
    y = _along(table.index.to_numpy(dtype=float), inputs[second])
    lines = table.to_numpy(dtype=float)
    image = ax.pcolormesh(
        x, y, lines, cmap="viridis_r", rasterized=True, vmin=limits[0], vmax=limits[1]
    )
    if min(lines.shape) > 1 and np.ptp(lines) > 0:
        ax.contour(x, y, lines, levels=7, colors="white", linewidths=0.5)
    _scale(ax, inputs[first], axis="x")
    _scale(ax, inputs[second], axis="y")
    ax.set_xlabel(_name(first))
    ax.set_ylabel(_name(second))
    ax.grid(visible=False)
    return image


@styled
def marginals_figure(found: Importance, *, unit: str) -> Figure:
    """Draws the marginals of all hyperparameters side by side, on one vertical axis."""
    names = [n for n in found.effects["inputs"] if n in {i.name for i in found.inputs}]
    columns = min(len(names), 4)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(0.6 + 2.3 * columns, 0.3 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for place, ax in enumerate(grid.flat):
        if place >= len(names):
            ax.set_visible(False)
            continue
        plot_marginal(found, names[place], unit=unit if place % columns == 0 else "", ax=ax)
        share = found.effects.set_index("inputs")["share"][names[place]]
        poor = "no variation" if np.isnan(found.fit) else "fit is poor"
        ax.set_title(f"{100 * share:.0f} % of the variance" if found.ranked else poor)
    return figure


def _name(column: str) -> str:
    row = row_of(column)
    return row.label if row else column.replace("_", " ")


def _along(values: np.ndarray, of: InputRange) -> np.ndarray:
    """Puts momentum on the axis as one minus itself: its scale is that of its distance to 1."""
    return 1.0 - values if of.scale == LOG_ONE_MINUS else values


def _scale(ax: Axes, of: InputRange, *, axis: str) -> None:
    target = ax.xaxis if axis == "x" else ax.yaxis
    if of.scale == LINEAR:
        target.set_major_locator(MaxNLocator(4))
        return
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log")
    low, high = np.exp([of.low, of.high])
    if of.levels:
        target.set_major_locator(FixedLocator(np.exp(of.levels).tolist()))
    elif high / low < 100:
        target.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    turned = of.scale == LOG_ONE_MINUS
    if turned or of.levels or high / low < 100:
        show = FuncFormatter(lambda v, _: f"{1 - v if turned else v:.4g}")
        target.set_major_formatter(show)
    target.set_minor_formatter(NullFormatter())
    if turned:
        (ax.invert_xaxis if axis == "x" else ax.invert_yaxis)()
