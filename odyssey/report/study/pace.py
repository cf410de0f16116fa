"""How long the figures of a report take: told from how many panels there are, by recorded rates.

A panel of many has the line of every cell, its own and the others in grey: it takes the longer the
more cells there are. Rates are seconds on one core of an Intel Xeon, of runs of 4, 12 and 30 cells;
`slower` compares a machine with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from odyssey.pace import Part, moment
from odyssey.report.page.pictures import Picture
from odyssey.report.page.style import to_svg
from odyssey.report.study.plots import MOST_PANELS, plot_best_of_n, small_multiples

Heard = Callable[[Picture], None]
"""Hears of a figure that was drawn, or written."""

_MULTIPLES = {False: 2, True: 5}  # figures with a panel a cell, without and with a baseline
_LEAST = 4  # panels that a figure of one stands for
_OTHERS = {False: 2 * _LEAST, True: 6 * _LEAST}  # panels of the other figures
_DRAWN, _WRITTEN, _ON_PAGE = (0.01, 0.0023), (0.08, 0.0009), (0.012, 0.0002)  # a panel, and a cell
_SAMPLE = 0.24  # seconds of the figure that a machine is compared by


def ignore(picture: Picture) -> None:
    """Hears nothing."""


def drawn_and_heard(drawn: Iterable[Picture], heard: Heard) -> tuple[Picture, ...]:
    """Draws figures, each of which is heard of."""
    found = []
    for picture in drawn:
        heard(picture)
        found.append(picture)
    return tuple(found)


def panels(picture: Picture) -> int:
    """Counts the panels of a figure; one that is not of many is as much work as some of these."""
    return max(len(picture.figure.axes), _LEAST)


def figure_parts(run: Mapping[str, Any]) -> dict[str, Part]:
    """Gives the drawing of figures, their writing and the page, with panels and seconds.

    Args:
        run: The facts of `run.json`.
    """
    cells, tasks = len(run.get("cells") or ()), len(run.get("tasks") or ())
    compared = bool(run.get("baseline")) and cells > 1
    cells = min(cells, MOST_PANELS)
    count = tasks * (_MULTIPLES[compared] * cells + _OTHERS[compared])
    return {
        name: Part(count, count * (panel + cell * cells))
        for name, (panel, cell) in (("draw", _DRAWN), ("write", _WRITTEN), ("page", _ON_PAGE))
    }


def slower() -> float:
    """Gives by which factor this machine draws slower than that of the rates, now."""
    frame = pd.DataFrame(
        [
            (f"cell {cell}", n, 2.0 - 0.1 * n, 1.9 - 0.1 * n, 2.1 - 0.1 * n)
            for cell in range(4)
            for n in range(1, 9)
        ],
        columns=["label", "n", "expected", "low", "high"],
    ).assign(task="")
    return moment(lambda: to_svg(small_multiples(frame, plot_best_of_n))) / _SAMPLE
