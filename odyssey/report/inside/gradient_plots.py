"""Frames of gradient measurements into Axes; drawn in the style of `plots.py`, pixels only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from odyssey.report.page.style import (
    ACCENT,
    FAINT,
    INK,
    LINES,
    MOST_LINES,
    PALETTE,
    label_on_the_right,
    new_axes,
    panel_title,
    styled,
)

FLOOR = -300.0  # decades: below, a gradient counts as zero and leaves the picture
MIXED_COLOR = "#d9dce1"


def decade(value: float, _: object = None) -> str:
    """Names a power of ten by its exponent, as axes show it."""
    if value == 0:
        return "1"
    whole = round(value, 6)
    return rf"$10^{{{whole:g}}}$"


def log_axis(ax: Axes, which: str = "y") -> None:
    """Labels an axis of powers of ten; drawn linear, since 1e-400 is no float."""
    axis = ax.yaxis if which == "y" else ax.xaxis
    axis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(decade))


def palette_of(count: int) -> list[Any]:
    """Gives as many colours as there are lines."""
    if count <= MOST_LINES:
        return list(PALETTE[:count])
    return [colormaps["viridis"](p) for p in np.linspace(0.0, 0.92, count)]


def _drawable(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Takes out zeros (-inf decades) and what lies below the floor."""
    shown = frame.copy()
    for column in columns:
        shown[column] = shown[column].where(np.isfinite(shown[column]) & (shown[column] > FLOOR))
    return shown


@styled
def plot_gradient_norms(
    frame: pd.DataFrame, *, ax: Axes | None = None, reference: pd.DataFrame | None = None
) -> Axes:
    """Draws the norm of dL/ds_t against steps back, one line a label with its band.

    Args:
        frame: `gradients.bands` of log10_norm by label and steps_back, one state; in the order in
            which labels should be named.
        reference: The same columns: predictions, drawn as thin black dashes over the lines.
        ax: Where to draw.
    """
    ax = ax or new_axes(6.4, 4.0)
    frame = _drawable(frame, ("median", "low", "high"))
    labels = list(dict.fromkeys(frame["label"]))
    ends, names, colors = [], [], []
    for place, (label, color) in enumerate(zip(labels, palette_of(len(labels)), strict=True)):
        part = frame[(frame["label"] == label) & frame["median"].notna()]
        if not len(part):
            continue
        x, y = part["steps_back"].to_numpy(dtype=float), part["median"].to_numpy(dtype=float)
        line: Any = LINES[place % MOST_LINES] if len(labels) <= MOST_LINES else "-"
        low = part["low"].fillna(part["median"]).to_numpy(dtype=float)
        ax.fill_between(x, low, part["high"].to_numpy(float), color=color, alpha=0.18, linewidth=0)
        ax.plot(x, y, color=color, linestyle="-" if reference is not None else line, zorder=3)
        ends.append((x[-1], y[-1]))
        names.append(str(label))
        colors.append(color)
    if reference is not None:
        shown = _drawable(reference, ("median",))
        for place, (_, part) in enumerate(shown.groupby("label", sort=False)):
            name = "predicted" if place == 0 else None
            at, value = part["steps_back"].to_numpy(float), part["median"].to_numpy(float)
            ax.plot(at, value, color="black", linewidth=0.9, dashes=(4, 3), zorder=4, label=name)
        ax.legend(loc="lower left")
    ax.set_xlabel("steps back from the loss")
    ax.set_ylabel("norm of the gradient")
    ax.set_xlim(0, float(frame["steps_back"].max()) or 1.0)
    log_axis(ax)
    if ends:
        # the label routine keeps the limits of the axis
        low_limit = float(min(np.nanmin(frame["low"]), np.nanmin(frame["median"])))
        high_limit = float(np.nanmax(frame["high"]))
        room = 0.04 * (high_limit - low_limit) or 1.0
        ax.set_ylim(low_limit - room, high_limit + room)
        label_on_the_right(ax, names, np.array(ends), colors=colors)
    return ax


@styled
def plot_norm_heatmap(frame: pd.DataFrame, *, lowest: float = -12.0) -> Figure:
    """Draws the norm of dL/ds_t in colour over training update and steps back, a panel a label.

    Args:
        frame: `gradients.bands` of log10_norm by label, update and steps_back, one state.
        lowest: Decades below which everything has the darkest colour.
    """
    labels = list(dict.fromkeys(frame["label"]))
    figure = Figure(figsize=(1.2 + 2.6 * len(labels), 3.0), layout="constrained")
    grid = figure.subplots(1, len(labels), sharey=True, squeeze=False)[0]
    table = frame.pivot_table(
        index="steps_back", columns=["label", "update"], values="median", sort=False, dropna=False
    )
    finite = frame["median"][np.isfinite(frame["median"])]
    low = max(lowest, float(finite.min())) if len(finite) else lowest
    high = max(0.0, float(finite.max())) if len(finite) else 0.0
    mesh = None
    for ax, label in zip(grid, labels, strict=True):
        part = table[label].sort_index()
        updates = part.columns.to_numpy(dtype=float)
        values = np.clip(part.to_numpy(dtype=float), low, high)
        mesh = ax.pcolormesh(
            _edges(updates),
            _edges(part.index.to_numpy(dtype=float)),
            values,
            vmin=low,
            vmax=high,
            cmap="magma",
            rasterized=True,
        )
        ax.grid(visible=False)
        ax.set_title(panel_title(label), fontweight="bold", fontsize=8)
        ax.set_xlabel("training update")
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    grid[0].set_ylabel("steps back from the loss")
    if mesh is not None:
        bar = figure.colorbar(mesh, ax=list(grid), extend="min", pad=0.02)
        bar.set_label("norm of the gradient")
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(decade))
        bar.outline.set_visible(False)
    return figure


def _edges(centers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Gives the borders of cells around sorted centers."""
    if len(centers) == 1:
        return np.array([centers[0] - 0.5, centers[0] + 0.5])
    middle = (centers[1:] + centers[:-1]) / 2
    return np.concatenate([[2 * centers[0] - middle[0]], middle, [2 * centers[-1] - middle[-1]]])


@styled
def plot_jacobian_spectrum(frame: pd.DataFrame) -> Figure:
    """Draws the eigenvalues of one-step Jacobians in the complex plane, with the unit circle.

    Args:
        frame: Of `jacobian_spectra`, with a column `label` (a panel each) and, along training,
            `update` (a row of panels each).
    """
    labels = list(dict.fromkeys(frame["label"]))
    updates = sorted(set(frame["update"])) if "update" in frame else [None]
    size = (0.7 + 2.2 * len(labels), 0.5 + 2.2 * len(updates))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(updates), len(labels), sharex=True, sharey=True, squeeze=False)
    reach = float(np.hypot(frame["real"], frame["imaginary"]).max())
    reach = 1.08 * max(1.0, reach)
    for row, update in zip(grid, updates, strict=True):
        for ax, label in zip(row, labels, strict=True):
            part = frame[frame["label"] == label]
            part = part if update is None else part[part["update"] == update]
            ax.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor="#8397b0", linewidth=0.9))
            ax.plot(
                part["real"],
                part["imaginary"],
                "o",
                color=ACCENT,
                markersize=2.0,
                alpha=0.35,
                markeredgewidth=0,
                rasterized=True,
            )
            ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            ax.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
            ax.yaxis.set_major_locator(MaxNLocator(5, prune="both"))
            if ax in grid[0]:
                ax.set_title(panel_title(label), fontweight="bold", fontsize=8)
        if update is not None:
            row[0].set_ylabel(f"update {update:,}")
    figure.supxlabel("real part", fontsize=9)
    figure.supylabel("imaginary part", fontsize=9)
    return figure


@styled
def plot_paths(frame: pd.DataFrame) -> Figure:
    """Draws the shares of all routes as stacked areas over the steps back.

    Two rows of panels: the route through each step, and the routes that were never left since the
    loss. Negative shares, where routes cancel, are stacked below zero.

    Args:
        frame: Of `gradients.mean_shares`.
    """
    labels = list(dict.fromkeys(frame["label"]))
    splits = {"step": "route through this step", "unbroken": "one route all the way"}
    figure = Figure(figsize=(0.9 + 2.6 * len(labels), 4.9), layout="constrained")
    grid = figure.subplots(2, len(labels), sharex=True, sharey="row", squeeze=False)
    for row, (split, title) in zip(grid, splits.items(), strict=True):
        for ax, label in zip(row, labels, strict=True):
            here = frame[(frame["label"] == label)]
            _stack(ax, here[here["split"] == split], _route_colors(here))
            ax.grid(visible=False)
            ax.axhline(0.0, color=INK, linewidth=0.6)
        row[0].set_ylabel(f"share of the gradient:\n{title}")
    for ax, label in zip(grid[0], labels, strict=True):
        ax.set_title(panel_title(label), fontweight="bold", fontsize=8)
        colors = _route_colors(frame[frame["label"] == label])
        used = [r for r in colors if r in set(frame[frame["label"] == label]["route"])]
        handles = [Circle((0, 0), color=colors[r]) for r in used]
        ax.figure.axes[len(labels) + list(grid[0]).index(ax)].legend(
            handles,
            used,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.24),
            ncols=2,
            fontsize=7,
            handlelength=0.9,
            columnspacing=1.0,
        )
    for ax in grid[1]:
        ax.set_xlabel("steps back from the loss")
    return figure


def _route_colors(frame: pd.DataFrame) -> dict[str, Any]:
    """Direct routes in blue, the others in the rest of the palette, `mixed` in grey."""
    routes = frame.drop_duplicates("route")
    direct = [str(r) for r in routes[routes["direct"]]["route"]]
    through = [str(r) for r in routes[~routes["direct"]]["route"] if r != "mixed"]
    blues = [colormaps["Blues"](p) for p in np.linspace(0.85, 0.5, max(len(direct), 1))]
    warm = ("#c9772b", "#8c2f39", "#2e7d6b", "#d9c86a", "#7b5ea7", "#5b6b7a")
    colors: dict[str, Any] = dict(zip(direct, blues, strict=False))
    colors |= {r: warm[k % len(warm)] for k, r in enumerate(through)}
    if "mixed" in set(routes["route"]):
        colors["mixed"] = MIXED_COLOR
    return colors


def _stack(ax: Axes, part: pd.DataFrame, colors: dict[str, Any]) -> None:
    table = part.pivot_table(index="steps_back", columns="route", values="share", dropna=False)
    table = table.sort_index()
    x = table.index.to_numpy(dtype=float)
    above, below = np.zeros(len(x)), np.zeros(len(x))
    for route in [r for r in colors if r in table]:
        share = np.nan_to_num(table[route].to_numpy(dtype=float))
        top, bottom = np.maximum(share, 0), np.minimum(share, 0)
        ax.fill_between(x, above, above + top, color=colors[route], linewidth=0)
        ax.fill_between(x, below, below + bottom, color=colors[route], linewidth=0)
        above, below = above + top, below + bottom
    ax.set_xlim(float(x.min()), float(x.max()) if len(x) > 1 else float(x.min()) + 1)


@styled
def plot_horizons(frame: pd.DataFrame, *, value: str, ax: Axes | None = None) -> Axes:
    """Draws how many steps a gradient reaches against a setting, one line a label.

    Args:
        frame: `gradients.bands` of steps by label and `value`; inf where the norm never fell so
            far, drawn as an open triangle at the longest sequence.
        value: The column of the setting; also the label of the axis.
        ax: Where to draw.
    """
    ax = ax or new_axes(5.6, 3.8)
    labels = list(dict.fromkeys(frame["label"]))
    finite = frame["median"][np.isfinite(frame["median"])]
    ceiling = 1.6 * float(finite.max()) if len(finite) else 1.0
    for place, (label, color) in enumerate(zip(labels, palette_of(len(labels)), strict=True)):
        part = frame[frame["label"] == label].sort_values(value)
        x, y = part[value].to_numpy(dtype=float), part["median"].to_numpy(dtype=float)
        never = ~np.isfinite(y)
        low = np.minimum(part["low"].to_numpy(dtype=float), ceiling)
        high = np.minimum(part["high"].to_numpy(dtype=float), ceiling)
        ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        shown = np.where(never, ceiling, y)
        line: Any = LINES[place % MOST_LINES]
        ax.plot(x, shown, color=color, linestyle=line, marker="", label=label)
        ax.plot(x[~never], y[~never], "o", color=color, markersize=3.5)
        ax.plot(x[never], shown[never], "^", color=color, markersize=6, markerfacecolor="white")
    if not np.isfinite(frame["median"]).all():
        ax.axhline(ceiling, color=FAINT, linewidth=0.8, zorder=1)
        ax.annotate(
            "never within the sequence",
            (0.01, ceiling),
            xycoords=("axes fraction", "data"),
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=7.5,
            color="#666666",
        )
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(top=1.5 * ceiling)
    ax.set_xlabel(value.replace("_", " "))
    ax.set_ylabel("steps until a tenth is left")
    ax.legend(loc="best")
    return ax
