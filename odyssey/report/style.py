"""The look of all figures: one palette, one style, and how a figure becomes files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

# Rising lightness, so that the order survives a grey printer; line styles tell them apart as well.
PALETTE = ("#0b2545", "#8c2f39", "#2e7d6b", "#c9772b", "#8fb0dc", "#d9c86a")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
ACCENT, INK, FAINT = "#0b5394", "#222222", "#c4c7cc"
MOST_LINES = len(PALETTE)
MOST_BANDS = 3
DPI = 160  # dots per inch of a PNG

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.6,
    "svg.hashsalt": "odyssey",
    # Hinted text is wider or narrower in pixels than in PDF and SVG: one layout must fit all.
    "text.hinting": "no_hinting",
    "figure.constrained_layout.w_pad": 0.08,
    "pdf.fonttype": 42,
}

_REACH = 6.0
# Places in an SVG, in points: two decimals are enough, and a fifth of the bytes less.
_PLACES = re.compile(rb' (?:d|x|y)="[^"]*"')
_DIGITS = re.compile(rb"(\.\d\d)\d+")

P = ParamSpec("P")
T = TypeVar("T")


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Applies the house style while a function runs, and only then."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context(cast(Any, STYLE)):
            return function(*args, **kwargs)

    return inner


def main_range(values: ArrayLike) -> tuple[float, float]:
    """Gives the span that an axis shows, so that a few wild values do not flatten all others.

    What lies further off than six times the width of the middle four fifths is left out.

    Args:
        values: Any numbers; those that are not finite do not count.
    """
    finite = np.asarray(values, dtype=float).ravel()
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.quantile(finite, (0.1, 0.9))
    reach = _REACH * (high - low)
    kept = finite[(finite >= low - reach) & (finite <= high + reach)]
    return float(kept.min()), float(kept.max())


def new_axes(width: float, height: float) -> Axes:
    """Makes an Axes in a figure of its own, sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained").subplots()


@styled
def save_figure(figure: Figure, path: str | Path, *, data: pd.DataFrame) -> dict[str, Path]:
    """Writes a figure as PNG and PDF, and the data behind it as CSV, next to each other.

    Args:
        figure: What to save.
        path: Where, without or with a suffix that is replaced.
        data: What the figure shows.

    Returns:
        The paths by suffix: png, pdf, csv.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = {suffix: path.with_name(f"{path.stem}.{suffix}") for suffix in ("png", "pdf", "csv")}
    _settle(figure)
    figure.savefig(paths["png"], dpi=DPI)
    _fewer_colours(paths["png"])
    # Without the date, the same data make the same bytes.
    figure.savefig(paths["pdf"], metadata={"CreationDate": None})
    data.to_csv(paths["csv"], index=False, lineterminator="\n")
    return paths


@styled
def to_svg(figure: Figure) -> bytes:
    """Gives a figure as SVG, the same bytes for the same data."""
    _settle(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _PLACES.sub(lambda found: _DIGITS.sub(rb"\1", found[0]), buffer.getvalue())


def figure_of(ax: Axes) -> Figure:
    """Gives the figure that an Axes made here belongs to."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _fewer_colours(path: Path) -> None:
    """Gives a PNG a palette of 256 colours: a third of the bytes, and the eye sees no other."""
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def _settle(figure: Figure) -> None:
    """Lays a figure out once, instead of anew for every format that it is saved in."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
