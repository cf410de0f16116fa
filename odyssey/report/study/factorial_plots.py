"""The figure of a factorial: main effects and interactions with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from odyssey.report.page.style import INK, new_axes, styled
from odyssey.report.study.comparison_plots import VERDICT_LOOKS, verdict_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@styled
def plot_effects_of_changes(effects: pd.DataFrame, *, unit: str, ax: Axes | None = None) -> Axes:
    """Draws the effects of changes and of pairs of them, with 95 % intervals.

    Args:
        effects: One task of `factorial.factorial_effects`.
        unit: What the scores are, as in "test bits per character".
        ax: Where to draw.
    """
    ax = ax or new_axes(6.6, 1.0 + 0.3 * len(effects))
    ax.axvline(0, color=INK, linewidth=0.9, zorder=2)
    for place, row in enumerate(effects.to_dict("records")):
        dark, _, marker = VERDICT_LOOKS[str(row["verdict"])]
        ax.plot([row["low"], row["high"]], [place, place], color=dark, lw=1.6, zorder=3)
        ax.plot(row["estimate"], place, marker, color=dark, markersize=6, zorder=5)
    mains = int((effects["order"] == 1).sum())
    if 0 < mains < len(effects):
        ax.axhline(mains - 0.5, color="#9aa0a8", linewidth=0.6, zorder=1)
    ax.set_yticks(np.arange(len(effects)), [str(e).replace("_", " ") for e in effects["effect"]])
    ax.set_ylim(len(effects) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"effect, {unit}")
    verdict_legend(ax, effects["verdict"])
    return ax
