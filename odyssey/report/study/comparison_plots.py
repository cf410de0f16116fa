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
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from odyssey.report.page.style import (
    ACCENT,
    FAINT,
    INK,
    LINES,
    MOST_LINES,
    PALETTE,
    main_range,
    new_axes,
    styled,
)
from odyssey.report.page.tables import guessing_words, without_base
from odyssey.statistics.verdicts import (
    BASELINE,
    BETTER,
    DECIDED,
    NO_TEST,
    UNCLEAR,
    UNDECIDED,
    WORSE,
)

# Verdict -> (colour of its marks, colour of its box, marker).
VERDICT_LOOKS: Mapping[str, tuple[str, str, str]] = {
    BASELINE: (INK, "#ffffff", "D"),
    BETTER: (ACCENT, "#9cc3e6", "^"),
    WORSE: ("#8c2f39", "#c9838b", "v"),
    UNCLEAR: ("#6b7280", "#ececee", "o"),
    UNDECIDED: ("#6b7280", "#f6f6f7", "s"),
    NO_TEST: ("#9aa0a8", "#ffffff", "x"),
}
LEAST_RANGE = 2.0  # per cent that the colours of a heat map span on each side, at least
MOST_RANGE = 100.0  # and at most: more is said of a baseline that has all but solved its task
_WORDS = {UNCLEAR: "not significant"}


@styled
def plot_effects(comparison: pd.DataFrame, *, unit: str, ax: Axes | None = None) -> Axes:
    """Draws a forest plot: the difference of every cell to the baseline, with its interval.

    An arrow is an end that is open or off the scale; a cell off the scale has its number there. A
    mean that holds draws counted as guessing says how many of them; it does not make the scale.

    Args:
        comparison: One task of `comparison.compare`; the baseline is the line at nought.
        unit: What the scores are, as in "test bits per character".
        ax: Where to draw.
    """
    shown = comparison[~comparison["baseline"]]
    ax = ax or new_axes(6.6, 1.0 + 0.3 * len(shown))
    estimates = shown["difference"].to_numpy(dtype=float)
    ends = shown[["low", "high"]].to_numpy(dtype=float)
    marks = guessing_words(shown).to_numpy(dtype=str)
    measured = marks == ""
    known = np.concatenate([estimates[measured], ends[measured].ravel()])
    least, most = main_range(known)
    least, most = min(least, 0.0), max(most, 0.0)
    room = 0.06 * ((most - least) or 1.0)
    left, right = least - room, most + room
    ax.axvline(0, color=INK, linewidth=0.9, zorder=2)
    for place, (estimate, (low, high), row) in enumerate(
        zip(estimates, ends, shown.itertuples(), strict=True)
    ):
        dark, _, marker = VERDICT_LOOKS[str(row.verdict)]
        if not np.isfinite(estimate):
            continue
        beyond = not left <= estimate <= right
        if not beyond:
            ax.plot(np.clip([low, high], left, right), [place, place], color=dark, lw=1.6, zorder=3)
            ax.plot(estimate, place, marker, color=dark, markersize=6, zorder=5)
        arrows = [(left, "<")] if low < left and estimate <= right else []
        arrows += [(right, ">")] if high > right and estimate >= left else []
        for edge, arrow in arrows:
            ax.plot(edge, place, arrow, color=dark, markersize=5, clip_on=False, zorder=4)
        words = [f"{estimate:+.3g}"] if beyond else []
        words += [f"at guessing: {marks[place]}"] if marks[place] else []
        if words:
            at_left = estimate < left
            ax.annotate(
                "; ".join(words),
                xy=(left if at_left else right, place),
                xytext=(7 if at_left else -7, 0),
                textcoords="offset points",
                ha="left" if at_left else "right",
                va="center",
                fontsize=8,
                color=dark,
            )
    ax.set_yticks(np.arange(len(shown)), short_labels(shown["label"]))
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlim(left, right)
    ax.grid(axis="y", visible=False)
    baseline = ", ".join(short_labels(comparison.loc[comparison["baseline"], "label"]))
    ax.set_xlabel(f"difference to {baseline or 'the baseline'}, {unit}")
    verdict_legend(ax, shown["verdict"])
    return ax


@styled
def plot_heat_map(comparison: pd.DataFrame, *, unit: str, ax: Axes | None = None) -> Axes:
    """Draws cells against tasks: the relative difference to the baseline as colour and number.

    Args:
        comparison: All tasks of `comparison.compare`. A number is in bold where its verdict claims
            a difference, and has a star where some of the best draws count as guessing.
        unit: What the scores are, as in "test bits per character".
        ax: Where to draw.
    """
    shown = comparison[~comparison["baseline"]]
    labels, tasks = (list(dict.fromkeys(shown[name])) for name in ("label", "task"))
    ax = ax or new_axes(3.2 + 1.0 * len(tasks), 1.1 + 0.3 * len(labels))
    table = shown.pivot(index="label", columns="task", values="relative").loc[labels, tasks]
    verdicts = shown.pivot(index="label", columns="task", values="verdict").loc[labels, tasks]
    values = 100 * table.to_numpy(dtype=float)
    shown = shown.assign(words=guessing_words(shown))
    words = shown.pivot(index="label", columns="task", values="words").loc[labels, tasks]
    starred = words.fillna("").to_numpy(dtype=str) != ""
    finite = np.abs(values[np.isfinite(values) & ~starred])
    # One broken cell or solved task must not wash out the others, nor noise look like an effect.
    wide = float(np.quantile(finite, 0.9)) if finite.size else 0.0
    most = min(max(wide, LEAST_RANGE), MOST_RANGE)
    image = ax.imshow(
        values,
        cmap="RdBu_r",
        norm=TwoSlopeNorm(0, -most, most),
        aspect="auto",
        alpha=0.9,
    )
    for row, column in np.ndindex(values.shape):
        value, verdict = float(values[row, column]), str(verdicts.iloc[row, column])
        strong = verdict in DECIDED
        digits = 1 if abs(value) < MOST_RANGE else 0
        number = f"{round(value, digits) + 0.0:+.{digits}f}" if np.isfinite(value) else "-"
        ax.text(
            column,
            row,
            number + ("*" if starred[row, column] else ""),
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
    ax.axvline(0.0, color="#9aa0a8", linewidth=0.8, zorder=1)
    if highlight is None:
        place_of: dict[str, Any] = {"xy": (0.0, 1.01), "xycoords": ("data", "axes fraction")}
        ax.annotate("tuned baseline", **place_of, ha="center", size=7.5)
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
    ax.axvline(0.0, color=INK, linewidth=0.8, zorder=1)
    ax.set_yticks(places, short_labels(shown["label"]))
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("interquartile mean score over tasks (0: the baseline, tuned)")
    return ax


def short_labels(labels: Sequence[str] | pd.Series[str]) -> list[str]:
    """Leaves out the base of specs (`lstm:no_gate`) where all that have one share it."""
    given = pd.Series([str(label) for label in labels], dtype="string")
    short = without_base(given)
    return [s if s == g else s.replace("_", " ") for s, g in zip(short, given, strict=True)]


def verdict_legend(ax: Axes, verdicts: pd.Series[str], *, boxes: bool = False) -> None:
    """Puts the verdicts that occur below a figure, as boxes or as marks."""
    there = [verdict for verdict in VERDICT_LOOKS if (verdicts == verdict).any()]
    handles: list[Patch | Line2D] = []
    for verdict in there:
        dark, light, marker = VERDICT_LOOKS[verdict]
        name = _WORDS.get(verdict, verdict)
        if boxes:
            handles.append(Patch(facecolor=light, edgecolor=dark, label=name))
        else:
            handles.append(Line2D([], [], color=dark, marker=marker, label=name))
    if handles:
        ax.figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.6
        )
