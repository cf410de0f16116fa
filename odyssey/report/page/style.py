"""The look of all figures: one palette, one style, and how a figure becomes files."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from odyssey.names import printable
from odyssey.wording import shorten

# Rising lightness, so that the order survives a grey printer; line styles tell them apart as well.
PALETTE = ("#0b2545", "#8c2f39", "#2e7d6b", "#c9772b", "#8fb0dc", "#d9c86a")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
ACCENT, INK, FAINT = "#0b5394", "#222222", "#c4c7cc"
MOST_LINES = len(PALETTE)
MOST_BANDS = 3
DPI = 160  # dots per inch of a PNG
PIXELS = 96  # an inch of a page

FONT = "DejaVu Sans"
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
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
_LONGEST_NAME = 60  # characters, beside which a figure still has room
# Places in an SVG, in points: two decimals are enough, and a fifth of the bytes less.
_PLACES = re.compile(rb' (?:d|x|y)="[^"]*"')
_DIGITS = re.compile(rb"(\.\d\d)\d+")

_P = ParamSpec("_P")
_T = TypeVar("_T")


def styled(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Applies the house style while a function runs that draws frames, and only then.

    Names in the frames, such as those of cells and tasks, reach it as `drawable` gives them.
    """

    @wraps(function)
    def inner(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        given = (*args, *kwargs.values())
        names = _drawable_names([g for g in given if isinstance(g, pd.DataFrame)])
        with mpl.rc_context(cast(Any, STYLE)):
            if not names:
                return function(*args, **kwargs)
            few = [_with_names(arg, names) for arg in args]
            return function(*few, **{n: _with_names(v, names) for n, v in kwargs.items()})

    return inner


def drawable(name: str) -> str:
    r"""Writes a name so that a figure shows it as it is; of what is drawable, the same again.

    Matplotlib reads formulas between dollars, hides labels that begin with an underscore, and warns
    of characters that its font lacks: these become their escapes, as in `\u4e2d`.
    """
    glyphs = _glyphs()
    line = "".join(
        c if ord(c) in glyphs else c.encode("unicode_escape").decode()
        for c in printable(name).replace(r"\$", "$")
    )
    if len(line) > _LONGEST_NAME:
        line = f"{line[:22]}...{line[-22:]}"
    line = line.replace("$", r"\$")
    return f" {line}" if not line or line.startswith("_") else line


@cache
def _glyphs() -> frozenset[int]:
    """Gives the characters that the font of all figures has, in both weights."""
    faces = [
        font_manager.get_font(
            font_manager.findfont(font_manager.FontProperties(family=FONT, weight=weight))
        )
        for weight in ("normal", "bold")
    ]
    return frozenset.intersection(*(frozenset(face.get_charmap()) for face in faces))


def _drawable_names(frames: Sequence[pd.DataFrame]) -> dict[str, str]:
    """Gives, for every text of the frames that cannot be drawn as it is, what is drawn."""
    texts = dict.fromkeys(
        value
        for frame in frames
        for name in frame.columns
        if not pd.api.types.is_numeric_dtype(frame[name])
        for value in frame[name].array  # may hold lists, which have no `unique`
        if isinstance(value, str)
    )
    shown = {text: drawable(text) for text in texts}
    taken = Counter(shown.values())
    for place, (text, line) in enumerate(shown.items(), start=1):
        if taken[line] > 1 and line != text:  # nothing that differs may look the same
            shown[text] = f"{line} ({place})"
    return {text: line for text, line in shown.items() if line != text}


def _with_names(value: Any, names: Mapping[str, str]) -> Any:
    """Puts drawable names in place of others in a frame, or for one of them."""
    if isinstance(value, str):
        return names.get(value, value)
    if not isinstance(value, pd.DataFrame):
        return value
    changed = {}
    for column in value.columns:
        old = value[column]
        if pd.api.types.is_numeric_dtype(old):
            continue
        new = old.map(lambda v: names.get(v, v) if isinstance(v, str) else v)
        changed[column] = (
            new if isinstance(old.dtype, pd.CategoricalDtype) else new.astype(old.dtype)
        )
    return value.assign(**changed)


def in_style(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Applies the house style while a function runs that makes files of a figure."""

    @wraps(function)
    def inner(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with mpl.rc_context(cast(Any, STYLE)):
            return function(*args, **kwargs)

    return inner


def panel_title(label: str, *, width: int = 26, most: int = 3) -> str:
    """Breaks the name of a cell for the top of a panel: behind the base of a spec, and before a
    change of it that finds no room.

    Args:
        label: The name.
        width: Characters of a line.
        most: Lines; what finds no room in these is left out, and `...` says so.
    """
    base, colon, changes = label.partition(":")
    lines = [base + colon]
    if changes:
        lines.append("")
    for part in re.split(r"(?<=[+,])", changes):
        if lines[-1] and len(lines) > 1 and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    if len(lines) > most:
        lines[most - 1 :] = ["".join(lines[most - 1 :])]
    return "\n".join(shorten(line, width) for line in lines)


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


@in_style
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


@in_style
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
    """Lays a figure out once, instead of twice anew for every format that it is saved in."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def label_on_the_right(
    ax: Axes, names: Sequence[str], ends: np.ndarray, *, colors: Sequence[str]
) -> None:
    """Names points in the right margin, moved apart, each joined to its point by a thin line."""
    low, high = ax.get_ylim()
    height = (high - low) or 1.0
    inches = ax.get_position().height * ax.figure.get_figheight()  # type: ignore[union-attr]
    step = 0.145 * height / inches
    order = np.argsort(ends[:, 1], kind="stable")
    upward = ends[order, 1].copy()
    downward = upward.copy()
    for i in range(1, len(order)):
        upward[i] = max(upward[i], upward[i - 1] + step)
        downward[-i - 1] = min(downward[-i - 1], downward[-i] - step)
    # Both keep the labels a step apart, so their mean does too, and stays near the points.
    places = (upward + downward) / 2
    places += max(low - places[0], 0.0)
    for i, place in zip(order, places, strict=True):
        ax.annotate(
            names[i],
            xy=(ends[i, 0], ends[i, 1]),
            xytext=(1.03, (place - low) / height),
            textcoords="axes fraction",
            va="center",
            fontsize=7.5,
            color=colors[i],
            arrowprops={
                "arrowstyle": "-",
                "color": "#b5b9bf",
                "linewidth": 0.5,
                "relpos": (0.0, 0.5),
                "shrinkB": 2,
            },
        )
    ax.set_ylim(low, high)
