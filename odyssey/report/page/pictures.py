"""A figure with what is needed to print it: title, caption, and the data behind it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from odyssey.report.page import style


@dataclass(frozen=True)
class Picture:
    """A figure with what is needed to print it.

    Attributes:
        name: File name without a suffix.
        task: The task it is about, as people see it.
        title: What it shows.
        caption: How to read it: n, intervals, and what counts as divergence.
        figure: The figure.
        data: The rows behind it.
    """

    name: str
    task: str
    title: str
    caption: str
    figure: Figure = field(repr=False)
    data: pd.DataFrame = field(repr=False)

    @property
    def source(self) -> str:
        """The figure as an address that holds the figure itself."""
        return figure_source(self.figure)

    @property
    def width(self) -> int:
        """How wide it is on a page, in pixels."""
        return figure_width(self.figure)

    def save(self, folder: Path) -> dict[str, Path]:
        """Writes it into a folder as PNG, PDF and CSV, and gives the paths by suffix."""
        return style.save_figure(self.figure, folder / self.name, data=self.data)


def figure_source(figure: Figure) -> str:
    """Gives an address that holds the figure itself."""
    # As an image, its ids cannot clash with those of the next figure.
    return "data:image/svg+xml;base64," + base64.b64encode(style.to_svg(figure)).decode()


def figure_width(figure: Figure) -> int:
    """Gives how wide a figure is on a page, in pixels."""
    return int(figure.get_figwidth() * style.PIXELS)
