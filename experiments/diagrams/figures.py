"""Draws the five ways to wire a recurrent network, for docs/diagrams.md.

    python experiments/diagrams/figures.py [OUT]

OUT is docs/figures by default; it gets diagrams.svg, the same bytes every time.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from odyssey.report.page.style import PALETTE, in_style, to_svg

ROOT = Path(__file__).parents[2]
INPUT, CELL, OUTPUT = PALETTE[1], PALETTE[2], PALETTE[0]
SPACE, MARGIN = 0.62, 0.6  # between two steps, and beside them, in inches
WIDTH, HEIGHT = 0.42, 0.3
LEVELS = {"input": 0.0, "cell": 0.75, "output": 1.5}


@dataclass(frozen=True)
class Diagram:
    """One way to wire a network.

    Attributes:
        title: What it is called.
        task: The task that has it.
        inputs: What is read at each step; None where nothing is.
        outputs: What is predicted at each step; None where nothing counts.
    """

    title: str
    task: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str | None, ...]


DIAGRAMS = (
    Diagram("one to one", "digits@read=picture", ("picture",), ("7",)),
    Diagram(
        "one to many",
        "house-numbers",
        ("picture", "start", "4", "0"),
        (None, "4", "0", "end"),
    ),
    Diagram("many to one", "digits, sentiment", ("pixel", "pixel", "pixel"), (None, None, "7")),
    Diagram(
        "many to many",
        "dates",
        ("M", "a", "y", ">", "0", "5"),
        (None, None, None, "0", "5", "-"),
    ),
    Diagram("many to many, in step", "frames", ("frame", "frame", "frame"), ("7", "9", "2")),
)
WORDS, LETTERS = 6.0, 9.0  # sizes of texts in boxes, points


ROWS = (DIAGRAMS[:3], DIAGRAMS[3:])  # nearly of one width


@in_style
def draw() -> Figure:
    """Draws the diagrams in two rows, each with three rows of boxes."""
    widths = [[SPACE * len(d.inputs) + MARGIN for d in row] for row in ROWS]
    figure = Figure(figsize=(max(map(sum, widths)), 2.75 * len(ROWS)), layout="constrained")
    outer = figure.add_gridspec(len(ROWS), 1)
    for r, (row, ratios) in enumerate(zip(ROWS, widths, strict=True)):
        grid = outer[r].subgridspec(1, len(row), width_ratios=ratios)
        for k, diagram in enumerate(row):
            _draw_one(figure.add_subplot(grid[k]), diagram)
    return figure


def _draw_one(ax: Axes, diagram: Diagram) -> None:
    steps = len(diagram.inputs)
    ax.set_axis_off()
    ax.set_xlim(-0.6, SPACE * (steps - 1) + 0.6)
    ax.set_ylim(-0.65, 2.25)
    middle = SPACE * (steps - 1) / 2
    ax.text(middle, 2.08, diagram.title, ha="center", va="center", fontweight="bold", fontsize=8)
    ax.text(middle, -0.48, diagram.task, ha="center", va="center", family="monospace", fontsize=6.5)
    for t, (read, predicted) in enumerate(zip(diagram.inputs, diagram.outputs, strict=True)):
        x = SPACE * t
        _box(ax, x, "cell", "", CELL)
        if read is not None:
            _box(ax, x, "input", read, INPUT)
            _arrow(ax, (x, LEVELS["input"] + HEIGHT / 2), (x, LEVELS["cell"] - HEIGHT / 2))
        if predicted is not None:
            _box(ax, x, "output", predicted, OUTPUT)
            _arrow(ax, (x, LEVELS["cell"] + HEIGHT / 2), (x, LEVELS["output"] - HEIGHT / 2))
        if t:
            y = LEVELS["cell"]
            _arrow(ax, (x - SPACE + WIDTH / 2, y), (x - WIDTH / 2, y))


def _box(ax: Axes, x: float, level: str, text: str, colour: str) -> None:
    y = LEVELS[level]
    ax.add_patch(
        FancyBboxPatch(
            (x - WIDTH / 2, y - HEIGHT / 2),
            WIDTH,
            HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=colour,
            edgecolor="none",
        )
    )
    size = WORDS if len(text) > 1 else LETTERS
    ax.text(x, y - 0.01, text, ha="center", va="center", color="white", fontsize=size)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=7, shrinkA=0, shrinkB=0, color="#555555"
        )
    )


def main() -> None:
    """Writes the figure."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "figures"
    (out / "diagrams.svg").write_bytes(to_svg(draw()))


if __name__ == "__main__":
    main()
