"""How much one step, and many in a row, stretch a gradient: frames of spectra into a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from odyssey.report.inside.gradient_plots import palette_of
from odyssey.report.page.style import INK, LINES, MOST_LINES, styled
from odyssey.statistics.gradients import bands

SMALLEST = 1e-4  # singular values below are drawn at the left border


@styled
def plot_singular_values(spectra: pd.DataFrame, exponents: pd.DataFrame) -> Figure:
    """Draws the distribution of one-step singular values, and the growth rates of the product.

    Left, the share of a Jacobian's singular values below a size, of all members together. Right,
    the Lyapunov exponents: every member and row a dot, their median a bar.

    Args:
        spectra: Of `jacobian_spectra`, with a column label.
        exponents: Of `lyapunov_exponents`, with the same labels; exponents of -inf, of
            directions that died, are left out.
    """
    labels = list(dict.fromkeys(spectra["label"]))
    colors = palette_of(len(labels))
    figure = Figure(figsize=(8.4, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (label, color) in enumerate(zip(labels, colors, strict=True)):
        values = np.sort(spectra.loc[spectra["label"] == label, "singular_value"].to_numpy(float))
        line: Any = LINES[place % MOST_LINES]
        share = np.arange(1, len(values) + 1) / len(values)
        shown = np.maximum(values, SMALLEST)
        left.step(shown, share, where="post", color=color, linestyle=line, label=label)
        part = exponents[exponents["label"] == label]
        _exponents(right, part, color=color, offset=_offset(place, len(labels)))
    left.axvline(1.0, color=INK, linewidth=0.6)
    left.set_xscale("log")
    left.set_ylim(0, 1)
    left.yaxis.set_major_formatter(PercentFormatter(1.0))
    left.set_xlabel("singular value of the one-step Jacobian")
    left.set_ylabel("share below")
    right.axhline(0.0, color=INK, linewidth=0.6)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.grid(visible=False, axis="x")
    right.set_xlabel("Lyapunov exponent, largest first")
    right.set_ylabel("growth of the product, nats a step")
    figure.legend(loc="outside lower center", ncols=min(len(labels), 4), fontsize=8)
    return figure


def _offset(place: int, count: int) -> float:
    return 0.7 * ((place + 0.5) / count - 0.5)


def _exponents(ax: Axes, frame: pd.DataFrame, *, color: Any, offset: float) -> None:
    finite = frame[np.isfinite(frame["exponent"])]
    ax.plot(
        finite["index"] + offset,
        finite["exponent"],
        "o",
        color=color,
        markersize=2.5,
        alpha=0.35,
        markeredgewidth=0,
    )
    middle = bands(finite, "exponent", ["index"])
    ax.plot(
        middle["index"] + offset,
        middle["median"],
        "_",
        color=color,
        markersize=9,
        markeredgewidth=1.8,
    )
