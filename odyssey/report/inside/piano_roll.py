"""Frames of music into a piano roll: time to the right, pitch upwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odyssey.errors import StoreError
from odyssey.report.inside.midi import Note
from odyssey.report.page.style import ACCENT, FAINT, INK, PALETTE, save_figure, styled

_OCTAVE = 12
_FOURTH = 60  # the MIDI number of C4, middle C
_INCHES = 0.05  # of a frame


def tidy_notes(parts: Mapping[str, Sequence[Note]], *, begun: int) -> pd.DataFrame:
    """Makes one row a note: part, pitch, start and end in frames, and whether it was given.

    Args:
        parts: Notes by what they are.
        begun: Frames that the model was given.
    """
    rows = [
        (part, note.pitch, note.start, note.end, note.start < begun)
        for part, notes in parts.items()
        for note in notes
    ]
    return pd.DataFrame(rows, columns=["part", "pitch", "start", "end", "given"])


@styled
def plot_piano_roll(frame: pd.DataFrame, *, begun: int, frames: int, quarters: float) -> Figure:
    """Draws a panel a part, one above the other, on the same axes.

    Args:
        frame: Of `tidy_notes`.
        begun: Frames that the model was given: a line ends them.
        frames: How long the parts are, at most.
        quarters: How many quarter notes a frame lasts.
    """
    parts = list(dict.fromkeys(frame["part"])) or ["silence"]
    low = int(frame["pitch"].min()) if len(frame) else _FOURTH
    high = int(frame["pitch"].max()) if len(frame) else _FOURTH
    width = min(max(4.0, 1.2 + _INCHES * frames), 14.0)
    height = 0.5 + len(parts) * (0.5 + 0.045 * (high - low + 4))
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(len(parts), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, part in zip(panels, parts, strict=True):
        _draw(ax, frame[frame["part"] == part], quarters)
        ax.axvline(begun * quarters, color=INK, linewidth=0.8, dashes=(3, 2))
        ax.set_title(part)
        ax.set_ylabel("pitch")
    last = panels[-1]
    last.set_xlim(0, frames * quarters)
    last.set_ylim(low - 2, high + 2)
    octaves = range(-(-(low - 2) // _OCTAVE) * _OCTAVE, high + 3, _OCTAVE)
    last.set_yticks(octaves, [f"C{4 + (pitch - _FOURTH) // _OCTAVE}" for pitch in octaves])
    last.set_xlabel("quarter notes; given up to the dashed line")
    return figure


def _draw(ax: Axes, notes: pd.DataFrame, quarters: float) -> None:
    for given, color in ((True, PALETTE[4]), (False, ACCENT)):
        part = notes[notes["given"] == given]
        ax.barh(
            part["pitch"],
            (part["end"] - part["start"]) * quarters,
            left=part["start"] * quarters,
            height=0.85,
            color=color,
            edgecolor="white",
            linewidth=0.3,
        )
    ax.grid(visible=False, axis="x")
    ax.grid(color=FAINT, axis="y")


def write_piano_roll(
    path: str | Path,
    parts: Mapping[str, Sequence[Note]],
    *,
    begun: int,
    frames: int,
    quarters: float,
) -> dict[str, Path]:
    """Draws notes into files, PNG, PDF and CSV; gives their paths by suffix.

    Args:
        path: Where, without a suffix; files of this name are replaced.
        parts: Notes by what they are; with `begun` and the rest as in `plot_piano_roll`.
        begun: Frames that the model was given.
        frames: How long the parts are, at most.
        quarters: How many quarter notes a frame lasts.

    Raises:
        StoreError: The files cannot be written.
    """
    frame = tidy_notes(parts, begun=begun)
    figure = plot_piano_roll(frame, begun=begun, frames=frames, quarters=quarters)
    try:
        return save_figure(figure, path, data=frame)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
