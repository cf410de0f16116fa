"""A sheet of pictures that a model has painted, each under what it was told to paint."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from odyssey.report.page.style import in_style

_SIDE = 0.7  # inches


@in_style
def draw_sheet(
    pictures: Sequence[NDArray[np.uint8]], labels: Sequence[str], *, levels: int, columns: int
) -> Figure:
    """Draws pictures in rows, dark where their levels are high.

    Args:
        pictures: Of one shape, levels from 0.
        labels: What stands above each.
        levels: How many levels there are.
        columns: Pictures in a row.
    """
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(_SIDE * columns, (_SIDE + 0.2) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, picture, label in zip(axes, pictures, labels, strict=False):
        ax.imshow(picture, cmap="gray_r", vmin=0, vmax=levels - 1, interpolation="nearest")
        ax.set_title(label, fontsize=9, pad=2)
    return figure
