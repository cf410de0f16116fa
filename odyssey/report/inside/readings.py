"""What a model wrote of pictures: a picture each, and where it looked at every step.

Shapes: H and W height and width of a picture, T steps, h and w of the grid of places.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from odyssey.report.page.style import ACCENT, FAINT, INK, PALETTE, drawable, styled
from odyssey.wording import shorten

HEAT = (255, 122, 0)
STRONGEST = 0.8  # how much of the picture the strongest look covers
END_NAME = "end"
LONGEST_TITLE = 36  # characters above a picture
WIDEST_TITLE = 2.1  # inches


@dataclass(frozen=True)
class PictureReading:
    """What a model made of one picture.

    Attributes:
        name: What the picture is called.
        picture_HW: Grey levels, 0 to 1.
        steps: What it wrote at every step, T texts, that of the end included.
        written: All of it.
        truth: What there was to be read; None where nobody knows.
        nats: Negative log-probability of what it wrote.
        looks_Thw: How much it looked at each place at every step; None without attention.
    """

    name: str
    picture_HW: NDArray[np.float32] = field(repr=False)
    steps: tuple[str, ...]
    written: str
    truth: str | None
    nats: float
    looks_Thw: NDArray[np.float32] | None = field(repr=False, default=None)

    @property
    def right(self) -> bool | None:
        """Whether it wrote what there was; None where nobody knows."""
        return None if self.truth is None else self.written == self.truth

    @property
    def verdict(self) -> str:
        """Says so in a word."""
        return {None: "", True: "right", False: "wrong"}[self.right]

    def heat(self, step: int) -> NDArray[np.uint8]:
        """Gives the picture in colours (H, W, 3), with the places looked at in orange."""
        height, width = self.picture_HW.shape
        grey = np.repeat(self.picture_HW[..., None], 3, -1) * 255
        if self.looks_Thw is None:
            return grey.round().astype(np.uint8)
        look = self.looks_Thw[step]
        down = np.minimum(np.arange(height) * look.shape[0] // height, look.shape[0] - 1)
        right = np.minimum(np.arange(width) * look.shape[1] // width, look.shape[1] - 1)
        share = (look / max(float(look.max()), 1e-9))[np.ix_(down, right)][..., None] * STRONGEST
        mixed = grey * (1 - share) + np.array(HEAT) * share
        heated: NDArray[np.uint8] = mixed.round().astype(np.uint8)
        return heated

    @property
    def source(self) -> str:
        """The picture as an address that holds it."""
        return _address((self.picture_HW * 255).round().astype(np.uint8))

    @property
    def heats(self) -> list[tuple[str, str]]:
        """What it wrote and where it looked, a pair a step; none without attention."""
        if self.looks_Thw is None:
            return []
        return [(text, _address(self.heat(t))) for t, text in enumerate(self.steps)]


def _title(text: str) -> str:
    return drawable(shorten(text, LONGEST_TITLE))


def _address(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@styled
def plot_readings(readings: Sequence[PictureReading], *, steps: int = 8) -> Figure:
    """Draws pictures below each other; with attention, to the right of each where it looked.

    Args:
        readings: What is drawn, at least one.
        steps: How many steps of each, at most.
    """
    looked = readings[0].looks_Thw is not None
    columns = 1 + (min(steps, max(len(r.steps) for r in readings)) if looked else 0)
    height, width = readings[0].picture_HW.shape
    wide = 1.25 if width > height else 0.75
    tall = wide * height / width + (0.24 if looked else 0.4)
    if not looked:
        columns = min(4, len(readings))
    rows = len(readings) if looked else -(-len(readings) // columns)
    size = (0.3 + columns * (wide if looked else max(wide, WIDEST_TITLE)), 0.1 + rows * tall)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for ax in panels.flat:
        ax.set_axis_off()
    for k, reading in enumerate(readings):
        ax = panels[k, 0] if looked else panels[k // columns, k % columns]
        ax.imshow(reading.picture_HW, cmap="gray", vmin=0, vmax=1)
        color = {None: INK, True: PALETTE[2], False: PALETTE[1]}[reading.right]
        title = _title(reading.written)
        if reading.right is False:
            title += ("\n" * (not looked) or ", ") + f"is {_title(reading.truth or '')}"
        ax.set_title(title, color=color, fontsize=7.5, loc="left" if looked else "center")
        for t in range(min(columns - 1, len(reading.steps)) if looked else 0):
            panels[k, t + 1].imshow(reading.heat(t))
            panels[k, t + 1].set_title(drawable(reading.steps[t]), fontsize=7.5)
    return figure


@styled
def plot_looks(frame: pd.DataFrame) -> Figure:
    """Draws where a model looked beside where that was which it read, and the way it went.

    Args:
        frame: Columns sequence, length, step, look and target (columns of pixels).
    """
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    end = float(max(frame["look"].max(), frame["target"].max()))
    left.plot([0, end], [0, end], color=FAINT, lw=0.8)
    steps = sorted(frame["step"].unique())
    colours = {step: PALETTE[k % len(PALETTE)] for k, step in enumerate(steps)}
    for step in steps:
        few = frame[frame["step"] == step].iloc[:300]
        left.scatter(
            few["target"], few["look"], s=7, alpha=0.55, linewidths=0, color=colours[step],
            label=f"digit {int(step) + 1}" if len(steps) <= len(PALETTE) else None,
        )  # fmt: skip
    left.set_xlabel("column of the digit, pixels")
    left.set_ylabel("mean column of the attention, pixels")
    if len(steps) <= len(PALETTE):
        left.legend(markerscale=2, handletextpad=0.1)
    longest = frame[frame["length"] == frame["length"].max()]
    for place, (name, column) in enumerate((("attention", "look"), ("digit", "target"))):
        kind = longest.groupby("step")[column].quantile([0.1, 0.5, 0.9]).unstack()
        at = kind.index + 1
        color = (ACCENT, PALETTE[3])[place]
        right.plot(at, kind[0.5], "-o", color=color, ms=3, label=name)
        right.fill_between(at, kind[0.1], kind[0.9], color=color, alpha=0.18, lw=0)
    right.set_xlabel("step")
    right.set_ylabel("column, pixels (middle 80 %)")
    right.set_xticks(sorted(longest["step"].unique() + 1))
    right.set_title(f"numbers of {int(longest['length'].iloc[0])}")
    right.legend(loc="upper left")
    return figure
