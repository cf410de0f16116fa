"""Frames of errors into figures: their categories, and the loss of closing brackets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from odyssey.errors import StoreError
from odyssey.report.inside.gradient_plots import palette_of
from odyssey.report.page.style import FAINT, INK, LINES, MOST_LINES, new_axes, save_figure, styled

COLORS = {
    "n-gram": "#0b2545",
    "memory": "#8fb0dc",
    "rare word": "#2e7d6b",
    "word model": "#c9772b",
    "punctuation": "#8c2f39",
    "boost": "#d9c86a",
}
RIGHT = "right"


@styled
def plot_error_categories(frame: pd.DataFrame) -> Figure:
    """Draws the errors of every model by category: how many, and what they cost.

    Args:
        frame: Of `diagnostics.mistakes.count_errors`, with columns label (a bar each) and
            characters (how many were predicted). Levels are lighter the later they take an error.
    """
    labels = list(dict.fromkeys(frame["label"]))
    figure = Figure(figsize=(8.2, 1.7 + 0.34 * len(labels)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    handles: dict[str, Any] = {}
    for place, label in enumerate(labels):
        part = frame[frame["label"] == label]
        at = {id(left): 0.0, id(right): 0.0}
        for (category, size, nats), color in zip(
            zip(
                part["category"],
                100 * part["errors"] / part["characters"],
                part["nats"],
                strict=True,
            ),
            _shades(part),
            strict=True,
        ):
            for ax, value in ((left, size), (right, nats)):
                bar = ax.barh(place, value, left=at[id(ax)], color=color, height=0.72, linewidth=0)
                at[id(ax)] += value
                handles.setdefault(category, bar)
    for ax in (left, right):
        ax.set_yticks(range(len(labels)), labels)
        ax.grid(visible=False, axis="y")
        ax.set_xlim(left=0)
    left.invert_yaxis()
    left.set_xlabel("errors, % of all characters")
    right.set_xlabel("loss, nats a character")
    names = [n for n in (*COLORS, RIGHT) if n in handles]
    figure.legend(
        [handles[n] for n in names],
        ["where the model is right" if n == RIGHT else n for n in names],
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        handlelength=0.9,
    )
    return figure


def _shades(part: pd.DataFrame) -> list[Any]:
    """Gives a row's colour: that of its category, lighter with every level."""
    colors = []
    for category, rows in part.groupby("category", sort=False):
        base = np.array(to_rgb(COLORS.get(str(category), FAINT)))
        paler = np.linspace(0.0, 0.6, max(len(rows), 1))
        colors += [tuple(base + (1 - base) * p) for p in paler]
    return colors


@styled
def plot_bracket_loss(frame: pd.DataFrame, *, ax: Axes | None = None, baseline: str = "") -> Axes:
    """Draws the loss of closing brackets against the distance to the opening ones.

    Args:
        frame: Of `diagnostics.mistakes.loss_by_distance`, with a column label; the band is one
            standard error to either side.
        ax: Where to draw.
        baseline: The label of a model without memory, drawn in grey.
    """
    ax = ax or new_axes(6.0, 3.8)
    labels = [x for x in dict.fromkeys(frame["label"]) if x != baseline]
    lines = list(zip(labels, palette_of(len(labels)), strict=True))
    for place, (label, color) in enumerate([*lines, *([(baseline, "#8a8f98")] * bool(baseline))]):
        part = frame[frame["label"] == label].sort_values("distance")
        x, y = part["distance"].to_numpy(float), part["nats"].to_numpy(float)
        error = np.nan_to_num(part["error"].to_numpy(float))
        line: Any = "-" if label == baseline else LINES[place % MOST_LINES]
        ax.fill_between(x, y - error, y + error, color=color, alpha=0.15, linewidth=0)
        ax.plot(x, y, color=color, linestyle=line, marker="o", markersize=2.5, label=label)
    ax.axhline(np.log(2.0), color=INK, linewidth=0.6, dashes=(4, 3))
    ax.annotate(
        "probability one half",
        (0.995, np.log(2.0)),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="right",
        fontsize=7,
        color=INK,
    )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("characters since the opening bracket")
    ax.set_ylabel("loss of the closing bracket, nats")
    ax.legend(loc="best")
    return ax


def write_errors(
    categories: pd.DataFrame, brackets: pd.DataFrame, directory: str | Path, *, baseline: str
) -> dict[str, Path]:
    """Writes both frames as CSV and draws them.

    Args:
        categories: As for `plot_error_categories`.
        brackets: As for `plot_bracket_loss`; empty for a text without brackets: no figure then.
        directory: Where; files of the same names are replaced.
        baseline: The label of the model without memory.

    Returns:
        Paths by what they show.

    Raises:
        StoreError: The directory cannot be written.
    """
    directory = Path(directory)
    frames = {"errors": categories, "brackets": brackets}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        paths = {}
        figures = {"errors": plot_error_categories(categories)}
        if len(brackets):
            ax = plot_bracket_loss(brackets, baseline=baseline)
            whole = ax.get_figure(root=True)
            assert whole is not None
            figures["brackets"] = whole
        for name, figure in figures.items():
            saved = save_figure(figure, directory / "figures" / name, data=frames[name])
            paths[name] = saved["png"]
            paths[f"{name}_csv"] = saved["csv"]
    except OSError as error:
        raise StoreError(f"cannot write to {directory}: {error.strerror or error}") from error
    return paths
