"""The animation of gradients running backwards in time, as in Stanford's CS231n, lecture 10."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from odyssey.report.inside.gradient_plots import decade, log_axis, palette_of
from odyssey.report.page.style import panel_title, styled

LOWEST = -8.0  # decades: black in the slices
MOST_FRAMES = 96
FRAMES_PER_SECOND = 12
HOLD = 30  # frames for which the last picture stands
MOST_ANIMATED = 5

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@styled
def animate_gradients(frame: pd.DataFrame, path: str | Path) -> list[Path]:
    """Draws the gradient of every unit at one step after the other, from the loss backwards.

    Above, a picture a label: every unit a square, bright where its gradient is large, on a log
    scale from 1 down to 1e-8. Below, the norm over the steps that have been passed.

    Args:
        frame: Columns label, steps_back, unit, gradient, of one state; two to five labels.
        path: Where, without or with a suffix that is replaced.

    Returns:
        The files: a GIF, and an MP4 where an `ffmpeg` that works is on the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = _draw(frame)
    gif = path.with_suffix(".gif")
    # one palette for all frames, from a few of them: colours that flicker would look like gradients
    sample = np.concatenate(pictures[:: max(1, len(pictures) // 12)])
    palette = Image.fromarray(sample).quantize(128, dither=Image.Dither.NONE)
    still = [
        Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures
    ]
    milliseconds = round(1000 / FRAMES_PER_SECOND)
    still[0].save(
        gif,
        save_all=True,
        append_images=still[1:],
        duration=[milliseconds] * (len(still) - 1) + [milliseconds * HOLD],
        loop=0,
        optimize=False,
    )
    movie = path.with_suffix(".mp4")
    return [gif, *([movie] if _write_movie(pictures, movie) else [])]


def _draw(frame: pd.DataFrame) -> list[Pixels]:
    labels = list(dict.fromkeys(frame["label"]))[:MOST_ANIMATED]
    tables = [
        frame[frame["label"] == label]
        .pivot_table(index="steps_back", columns="unit", values="gradient")
        .sort_index()
        .to_numpy(dtype=float)
        for label in labels
    ]
    steps = min(len(t) for t in tables)
    # the first two dozen steps one by one, since a plain network has died by then
    early = min(24, steps)
    stride = max(1, -(-(steps - early) // (MOST_FRAMES - early)))
    moments = [*range(early), *range(early, steps, stride)]
    if moments[-1] != steps - 1:
        moments.append(steps - 1)
    with np.errstate(divide="ignore"):
        norms = [np.log10(np.linalg.norm(t, axis=1)) for t in tables]
    figure = Figure(figsize=(max(2.3 * len(labels), 5.2), 4.4), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)  # typed in part
    grid = figure.add_gridspec(2, len(labels), height_ratios=[1.0, 1.15])
    colors = palette_of(len(labels))
    images, titles = [], []
    for place, (label, table) in enumerate(zip(labels, tables, strict=True)):
        ax = figure.add_subplot(grid[0, place])
        image = ax.imshow(_slice(table[0]), cmap="magma", vmin=LOWEST, vmax=0.0)
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        ax.spines[:].set_visible(True)
        ax.set_title(
            panel_title(label, width=21), fontweight="bold", fontsize=9, color=colors[place]
        )
        titles.append(
            ax.text(
                0.5, -0.06, "0 steps", transform=ax.transAxes, ha="center", va="top", fontsize=8
            )
        )
        images.append(image)
    bar = figure.colorbar(images[-1], ax=figure.axes[: len(labels)], pad=0.02, aspect=16)
    bar.set_label("gradient of a unit", fontsize=8)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    bar.ax.yaxis.set_major_formatter(decade)
    below = figure.add_subplot(grid[1, :])
    lines = [below.plot([], [], color=c, linewidth=2.0)[0] for c in colors]
    dots = [below.plot([], [], "o", color=c, markersize=5)[0] for c in colors]
    cursor = below.axvline(steps - 1, color="#999999", linewidth=0.8)
    finite = np.concatenate([n[np.isfinite(n)] for n in norms])
    below.set_xlim(0, steps)
    below.set_ylim(max(float(finite.min()), -45.0) - 1, max(float(finite.max()), 0.0) + 1)
    log_axis(below)
    below.set_xlabel("time step (the loss is at the right; the gradient runs to the left)")
    below.set_ylabel("norm of the gradient")
    time = steps - 1 - np.arange(steps)
    moving = [*images, *titles, cursor, *lines, *dots]
    for artist in moving:
        artist.set_animated(True)  # left out of the background, which is drawn once
    canvas.draw()
    figure.set_layout_engine("none")
    background = canvas.copy_from_bbox(figure.bbox)
    pictures = []
    for k in moments:
        for place, table in enumerate(tables):
            images[place].set_data(_slice(table[k]))
            size = norms[place][k]
            text = "0" if not np.isfinite(size) else f"{10**size:.2g}"
            titles[place].set_text(f"{k} steps back: {text}")
            lines[place].set_data(time[: k + 1], norms[place][: k + 1])
            dots[place].set_data([time[k]], [size])
        cursor.set_xdata([time[k], time[k]])
        canvas.restore_region(background)
        for artist in moving:
            figure.draw_artist(artist)
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2  # H.264 wants even
        pictures.append(pixels[:height, :width].copy())
    return pictures


def _slice(gradient: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Lays the units out as a rectangle, as nearly twice as wide as high as it goes."""
    units = len(gradient)
    rows = next(r for r in range(max(1, int(np.sqrt(units / 2))), 0, -1) if units % r == 0)
    if units / rows > 8 * rows:  # a prime number of units: fill the last row up
        rows = max(1, int(np.sqrt(units / 2)))
        gradient = np.concatenate([gradient, np.full(-units % rows, np.nan)])
    with np.errstate(divide="ignore"):
        decades = np.log10(np.abs(gradient))
    return np.where(np.isnan(gradient), np.nan, np.maximum(decades, LOWEST)).reshape(rows, -1)


def _write_movie(pictures: list[Pixels], path: Path) -> bool:
    """Pipes the frames through ffmpeg; says whether a movie came out."""
    program = shutil.which("ffmpeg")
    if program is None:
        return False
    height, width = pictures[0].shape[:2]
    frames = [*pictures, *[pictures[-1]] * HOLD]
    command = [
        *(program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"),
        *("-s", f"{width}x{height}", "-r", str(FRAMES_PER_SECOND), "-i", "-"),
        *("-an", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)),
    ]
    try:
        done = subprocess.run(
            command, input=b"".join(f.tobytes() for f in frames), capture_output=True, check=False
        )
    except OSError:
        return False
    if done.returncode != 0:
        path.unlink(missing_ok=True)
    return done.returncode == 0
