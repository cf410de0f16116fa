"""Figures of comparisons: pixels only, no statistics.

Every `plot_x(frame, *, ax=None)` draws what `comparison`, `boxes` or `aggregate` give, of one task
unless it says otherwise, cells from top to bottom or left to right in the order of the frame.
A verdict has a colour and a shape of its own, so that it survives a grey printer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

from odyssey.report.style import ACCENT, FAINT, INK, LINES, MOST_LINES, PALETTE, new_axes, styled

# Verdict -> (colour of its marks, colour of its box, marker).
VERDICTS: Mapping[str, tuple[str, str, str]] = {
    "baseline": (INK, "#ffffff", "D"),
    "better": (ACCENT, "#9cc3e6", "^"),
    "worse": ("#8c2f39", "#c9838b", "v"),
    "n.s.": ("#6b7280", "#ececee", "o"),
    "no test": ("#9aa0a8", "#ffffff", "x"),
}
LEAST_RANGE = 2.0  # per cent that the colours of a heat map span on each side, at least
_WORDS = {"n.s.": "not significant"}


@styled
def plot_boxes(
    boxes: pd.DataFrame, verdicts: Mapping[str, str], *, unit: str, ax: Axes | None = None
) -> Axes:
    """Draws the box plot of Greff et al. 2015 (figure 3): one box a cell, bars of parameters.

    Boxes span the quartiles, whiskers the whole range, a line marks the median, a diamond the mean.
    A box that reaches lost draws leaves the picture at its bad end; the number of lost draws stands
    there. Grey bars behind the boxes, on the right axis, are mean parameters.

    Args:
        boxes: One task and one `which` of `boxes.box_summary`.
        verdicts: Verdict by label, see `VERDICTS`.
        unit: What the scores are, as in "test bits per character".
        ax: Where to draw.
    """
    ax = ax or new_axes(max(4.0, 1.2 + 0.62 * len(boxes)), 3.6)
    places = np.arange(len(boxes))
    bars = ax.twinx()
    bars.bar(places, boxes["parameters"].fillna(0.0), width=0.8, color="#dcdfe3", zorder=0)
    bars.set_ylabel("mean parameters", color="#80868f")
    bars.tick_params(axis="y", colors="#80868f", length=0)
    bars.yaxis.set_major_formatter(EngFormatter(sep=""))
    bars.yaxis.set_major_locator(MaxNLocator(4))
    bars.set_ylim(0, 1.9 * max(float(boxes["parameters"].max()), 1.0))
    bars.grid(visible=False)
    bars.spines[["left", "bottom", "right"]].set_visible(False)
    # The bars belong behind the boxes.
    ax.set_zorder(bars.get_zorder() + 1)
    ax.patch.set_visible(False)
    values = boxes[["low", "q1", "median", "q3", "high"]].to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    least, most = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    room = 0.06 * ((most - least) or 1.0)
    floor, roof = least - room, most + 2.5 * room
    for place, label, row, mean in zip(places, boxes["label"], values, boxes["mean"], strict=True):
        dark, light, _ = VERDICTS[verdicts.get(str(label), "no test")]
        low, q1, median, q3, high = np.nan_to_num(row, posinf=roof + room, neginf=floor - room)
        thick = 1.8 if verdicts.get(str(label)) in ("better", "worse") else 0.9
        line: dict[str, Any] = {"color": dark, "linewidth": thick, "zorder": 3}
        ax.plot([place, place], [low, q1], **line)
        ax.plot([place, place], [q3, high], **line)
        for end in (low, high):
            ax.plot([place - 0.14, place + 0.14], [end, end], **line)
        ax.bar(
            place,
            q3 - q1,
            bottom=q1,
            width=0.5,
            facecolor=light,
            edgecolor=dark,
            linewidth=thick,
            zorder=4,
        )
        ax.plot([place - 0.25, place + 0.25], [median, median], **(line | {"zorder": 5}))
        ax.plot(place, mean, "D", color=dark, markersize=3.4, markeredgecolor="white", zorder=6)
    for place, lost in zip(places, boxes["lost"], strict=True):
        if lost:
            ax.annotate(
                f"{lost} lost",
                xy=(place, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7,
                color="#8c2f39",
            )
    ax.set_ylim(floor, roof)
    ax.set_xlim(-0.6, len(boxes) - 0.4)
    ax.set_xticks(places, short_labels(boxes["label"]), rotation=38, ha="right")
    ax.set_ylabel(unit)
    ax.grid(axis="x", visible=False)
    return ax


@styled
def plot_effects(comparison: pd.DataFrame, *, unit: str, ax: Axes | None = None) -> Axes:
    """Draws a forest plot: the difference of every cell to the baseline, with its interval.

    Args:
        comparison: One task of `comparison.compare`; the baseline is the line at nought.
        unit: What the scores are, as in "test bits per character".
        ax: Where to draw.
    """
    shown = comparison[~comparison["baseline"]]
    ax = ax or new_axes(6.6, 1.0 + 0.3 * len(shown))
    estimates = shown["difference"].to_numpy(dtype=float)
    ends = shown[["low", "high"]].to_numpy(dtype=float)
    finite = np.concatenate([[0.0], estimates, ends.ravel()])
    finite = finite[np.isfinite(finite)]
    room = 0.06 * (float(np.ptp(finite)) or 1.0)
    left, right = finite.min() - room, finite.max() + room
    ax.axvline(0, color=INK, linewidth=0.9, zorder=2)
    for place, (estimate, (low, high), row) in enumerate(
        zip(estimates, ends, shown.itertuples(), strict=True)
    ):
        dark, _, marker = VERDICTS[str(row.verdict)]
        inside = [end if np.isfinite(end) else edge for end, edge in ((low, left), (high, right))]
        ax.plot(inside, [place, place], color=dark, linewidth=1.6, zorder=3)
        for end, edge, arrow in ((low, left, "<"), (high, right, ">")):
            if not np.isfinite(end) and np.isfinite(estimate):
                ax.plot(edge, place, arrow, color=dark, markersize=5, clip_on=False, zorder=4)
        ax.plot(estimate, place, marker, color=dark, markersize=6, zorder=5)
    ax.set_yticks(np.arange(len(shown)), short_labels(shown["label"]))
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlim(left, right)
    ax.grid(axis="y", visible=False)
    baseline = ", ".join(short_labels(comparison.loc[comparison["baseline"], "label"]))
    ax.set_xlabel(f"difference to {baseline or 'the baseline'}, {unit}")
    _verdict_legend(ax, shown["verdict"])
    return ax


@styled
def plot_heat_map(comparison: pd.DataFrame, *, unit: str, ax: Axes | None = None) -> Axes:
    """Draws cells against tasks: the relative difference to the baseline as colour and number.

    Args:
        comparison: All tasks of `comparison.compare`. A number is in bold where its verdict is
            better or worse.
        unit: What the scores are, as in "test bits per character".
        ax: Where to draw.
    """
    shown = comparison[~comparison["baseline"]]
    labels, tasks = (list(dict.fromkeys(shown[name])) for name in ("label", "task"))
    ax = ax or new_axes(3.2 + 1.0 * len(tasks), 1.1 + 0.3 * len(labels))
    table = shown.pivot(index="label", columns="task", values="relative").loc[labels, tasks]
    verdicts = shown.pivot(index="label", columns="task", values="verdict").loc[labels, tasks]
    values = 100 * table.to_numpy(dtype=float)
    finite = np.abs(values[np.isfinite(values)])
    # One broken cell must not wash out the others, and noise must not look like an effect.
    most = max(float(np.quantile(finite, 0.9)) if finite.size else 0.0, LEAST_RANGE)
    image = ax.imshow(
        values, cmap="RdBu_r", norm=TwoSlopeNorm(0, -most, most), aspect="auto", alpha=0.9
    )
    for row, column in np.ndindex(values.shape):
        value, verdict = float(values[row, column]), str(verdicts.iloc[row, column])
        strong = verdict in ("better", "worse")
        ax.text(
            column,
            row,
            f"{round(value, 1) + 0.0:+.1f}" if np.isfinite(value) else "-",
            ha="center",
            va="center",
            fontsize=8,
            fontweight="bold" if strong else "normal",
            color="white" if abs(value) > 0.6 * most else INK,
        )
    ax.set_xticks(np.arange(len(tasks)), tasks)
    ax.set_yticks(np.arange(len(labels)), short_labels(labels))
    ax.tick_params(length=0)
    ax.xaxis.tick_top()
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, extend="both", fraction=0.06, pad=0.03)
    ax.set_xlabel(f"difference in {unit}, %")
    bar.outline.set_visible(False)
    return ax


@styled
def plot_profiles(
    profiles: pd.DataFrame, *, highlight: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draws performance profiles: the share of draws that reach a score, over all tasks.

    Args:
        profiles: As `aggregate.performance_profiles` gives them; at most `MOST_LINES` cells in
            colour, further ones in grey.
        highlight: The cell to show with its band, the first one dashed and the others in grey.
        ax: Where to draw.
    """
    ax = ax or new_axes(6.4, 3.8)
    handles = []
    for place, (label, part) in enumerate(profiles.groupby("label", sort=False)):
        known = place < MOST_LINES if highlight is None else label == highlight
        color = FAINT
        line: Any = "-"
        if highlight is not None:
            color, line = (ACCENT, "-") if known else (INK, "--") if place == 0 else (FAINT, "-")
        elif known:
            color, line = PALETTE[place], LINES[place]
        width = 1.6 if known else 1.0 if color == INK else 0.7
        (drawn,) = ax.plot(
            part["score"], part["share"], color=color, linestyle=line, linewidth=width,
            zorder=4 if known else 3 if color == INK else 2,
        )  # fmt: skip
        drawn.set_label(*short_labels([str(label)]))
        handles += [drawn] if known else []
        if known:
            ax.fill_between(
                part["score"], part["low"], part["high"], color=color, alpha=0.15, linewidth=0
            )
    for at, words in ((0.0, "untuned baseline"), (1.0, "tuned baseline")):
        ax.axvline(at, color="#9aa0a8", linewidth=0.8, zorder=1)
        if highlight is None:
            place_of: dict[str, Any] = {"xy": (at, 1.01), "xycoords": ("data", "axes fraction")}
            ax.annotate(words, **place_of, ha="center", size=7.5)
    ax.set_xlabel("score")
    ax.set_ylabel("share of draws that reach it")
    ax.set_ylim(0, 1)
    ax.set_xlim(float(profiles["score"].min()), float(profiles["score"].max()))
    if highlight is None:
        ax.legend(handles=handles, loc="upper right")
    return ax


@styled
def plot_aggregate(aggregate: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draws the interquartile mean score of every cell with its interval, best on top.

    Args:
        aggregate: As `aggregate.aggregate_scores` gives it.
        ax: Where to draw.
    """
    shown = aggregate.sort_values("iqm", ascending=False, kind="stable")
    ax = ax or new_axes(6.4, 1.0 + 0.28 * len(shown))
    places = np.arange(len(shown))
    ax.hlines(places, shown["low"], shown["high"], color=ACCENT, linewidth=1.8)
    ax.plot(shown["iqm"], places, "o", color=ACCENT, markersize=5)
    ax.axvline(1.0, color=INK, linewidth=0.8, zorder=1)
    ax.set_yticks(places, short_labels(shown["label"]))
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("interquartile mean score over tasks (1: the baseline, tuned)")
    return ax


@styled
def boxes_figure(
    boxes: pd.DataFrame, comparison: pd.DataFrame, *, unit: str, verdict: str = "verdict"
) -> Figure:
    """Draws all draws above, the best below, as in figure 3 of Greff et al. 2015.

    Args:
        boxes: One task of `boxes.box_summary`.
        comparison: The same task of `comparison.compare`.
        unit: What the scores are, as in "test bits per character".
        verdict: Column of the verdicts that colour the boxes: verdict or odyssey_verdict.
    """
    verdicts = dict(zip(comparison["label"].astype(str), comparison[verdict], strict=True))
    cells = boxes["label"].nunique()
    figure = Figure(figsize=(max(4.8, 1.6 + 0.62 * cells), 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for ax, which, words in ((upper, "all", "all"), (lower, "best", "best by validation:")):
        part = boxes[boxes["which"] == which]
        plot_boxes(part, verdicts, unit=unit, ax=ax)
        count = int(part["draws"].max())
        ax.set_title(f"{words} {count} draws", fontweight="bold", pad=14)
    upper.tick_params(axis="x", labelbottom=False)
    _verdict_legend(lower, comparison[verdict], boxes=True)
    return figure


def short_labels(labels: Sequence[str] | pd.Series[str]) -> list[str]:
    """Leaves out the base of specs (`lstm:no_gate`) where all that have one share it."""
    given = [str(label) for label in labels]
    bases = {label.partition(":")[0] for label in given if ":" in label}
    if len(bases) != 1:
        return given
    return [label.partition(":")[2].replace("_", " ") if ":" in label else label for label in given]


def _verdict_legend(ax: Axes, verdicts: pd.Series[str], *, boxes: bool = False) -> None:
    there = [verdict for verdict in VERDICTS if (verdicts == verdict).any()]
    handles: list[Patch | Line2D] = []
    for verdict in there:
        dark, light, marker = VERDICTS[verdict]
        name = _WORDS.get(verdict, verdict)
        if boxes:
            handles.append(Patch(facecolor=light, edgecolor=dark, label=name))
        else:
            handles.append(Line2D([], [], color=dark, marker=marker, label=name))
    if handles:
        ax.figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.6
        )
