"""Figures about units: gate saturation, and how well units follow probes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odyssey.report.page.style import ACCENT, FAINT, INK, PALETTE, new_axes, styled

_MARKS = "os^Dvp"


@styled
def plot_saturation(frame: pd.DataFrame) -> Figure:
    """Draws how often each unit of each gate is open and shut, a panel a gate, coloured by layer.

    As in Karpathy, Johnson, Fei-Fei 2015, figure 2: a unit on the right is nearly always open, one
    at the top nearly always shut, one at the origin works between.

    Args:
        frame: With columns layer, gate, unit, left, right (fractions of steps), one network.
    """
    gates = list(dict.fromkeys(frame["gate"]))
    figure = Figure(figsize=(0.7 + 2.5 * len(gates), 2.9), layout="constrained")
    panels = figure.subplots(1, len(gates), sharex=True, sharey=True, squeeze=False)[0]
    for ax, gate in zip(panels, gates, strict=True):
        ax.plot([0, 1], [1, 0], color=FAINT, lw=0.8)
        for place, (layer, part) in enumerate(frame[frame["gate"] == gate].groupby("layer")):
            ax.scatter(
                part["right"],
                part["left"],
                s=14,
                alpha=0.6,
                color=PALETTE[place % len(PALETTE)],
                marker=_MARKS[place % len(_MARKS)],
                linewidths=0,
                label=f"layer {layer}",
            )
        ax.set_title(f"gate {gate}")
        ax.set_xlim(-0.03, 1.03)
        ax.set_ylim(-0.03, 1.03)
    panels[0].set_ylabel("fraction of steps below 0.1")
    figure.supxlabel("fraction of steps above 0.9", fontsize=9.0, color=INK)
    if frame["layer"].nunique() > 1:
        panels[-1].legend()
    return figure


@styled
def plot_probes(best: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draws the best unit of each probe beside what chance and the current symbol reach.

    Several models of one label are the median as a bar, and a point each.

    Args:
        best: Columns probe, label (a colour each, in order), rho, null_95 and symbol_rho.
        ax: Where to draw; a new figure if None.
    """
    labels, probes = list(dict.fromkeys(best["label"])), list(dict.fromkeys(best["probe"]))
    ax = new_axes(1.5 + 0.9 * len(probes), 3.2) if ax is None else ax
    width = 0.8 / len(labels)
    for place, label in enumerate(labels):
        each = best[best["label"] == label]
        part = each.groupby("probe")[["rho", "null_95", "symbol_rho"]].median().reindex(probes)
        x = np.arange(len(probes)) + (place - (len(labels) - 1) / 2) * width
        color = PALETTE[place % len(PALETTE)]
        ax.bar(x, part["rho"], width * 0.9, color=color, label=label)
        if len(each) > each["probe"].nunique():
            at = each["probe"].map(dict(zip(probes, x, strict=True)))
            ax.scatter(
                at, each["rho"], s=10, color="white", edgecolor=INK, linewidths=0.6, zorder=4
            )
        ends = (x - width * 0.45, x + width * 0.45)
        first = place == 0
        ax.hlines(part["null_95"], *ends, color="#e0a000", lw=1.6, label="95 % of chance" * first)
        ax.hlines(
            part["symbol_rho"],
            *ends,
            color=ACCENT,
            lw=1.6,
            linestyles=":",
            label="the symbol alone" * first,
        )
    ax.set_xticks(np.arange(len(probes)), [p.replace("_", "\n") for p in probes])
    ax.set_ylabel("rank correlation, held-out text")
    ax.axhline(0, color=INK, lw=0.7)
    ax.grid(visible=False, axis="x")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax
