"""All files of a gradient study: raw frames as CSV, figures with their data, the animation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from odyssey.errors import StoreError
from odyssey.names import file_name
from odyssey.report.inside import gradient_plots as draw
from odyssey.report.inside.animation import animate_gradients
from odyssey.report.inside.growth_plots import plot_singular_values as draw_growth
from odyssey.report.page.style import figure_of, save_figure
from odyssey.statistics.gradients import bands, mean_shares

WHOLE = "all"
MOST_PANELS = 6

Frames = Mapping[str, pd.DataFrame]
Figures = dict[str, tuple[Figure, pd.DataFrame]]


def gradient_figures(frames: Frames, *, sweep: str = "") -> Figures:
    """Draws what there is to draw of what was measured, by name, with the rows behind it.

    Args:
        frames: norms, horizons, exponents, and where measured spectra, paths, slices, predicted;
            each with a column `label`; with `update` along training, or with a column named as
            `sweep`.
        sweep: The column of the setting, for a sweep.
    """
    if sweep:
        return _sweep(frames, sweep)
    return _training(frames) if "update" in frames["norms"] else _initial(frames)


def write_gradient_study(
    frames: Frames, figures: Figures, directory: str | Path, *, animate: str = ""
) -> dict[str, Path]:
    """Writes what was measured and what was drawn.

    Args:
        frames: As for `gradient_figures`.
        figures: What that gives.
        directory: Where; files of an earlier study with the same names are replaced.
        animate: The state whose gradients are animated; "" for no animation.

    Returns:
        Paths by what they show: one CSV a frame, one PNG a figure (PDF and CSV beside it), `gif`
        and, where ffmpeg is there, `mp4`.

    Raises:
        StoreError: The directory cannot be written.
    """
    directory = Path(directory)
    paths: dict[str, Path] = {}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            if name != "slices":
                paths[f"{name}_csv"] = directory / f"{name}.csv"
                frame.to_csv(paths[f"{name}_csv"], index=False, lineterminator="\n")
        for name, (figure, data) in figures.items():
            paths[name] = save_figure(figure, directory / "figures" / name, data=data)["png"]
        if animate and "slices" in frames:
            paths |= _animation(frames["slices"], directory, animate)
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(f"cannot write to {directory}: {why}") from error
    return paths


def _initial(frames: Frames) -> Figures:
    norms = bands(frames["norms"], "log10_norm", ["label", "state", "steps_back"])
    whole = norms[norms["state"] == WHOLE]
    figures = {
        "norms": (figure_of(draw.plot_gradient_norms(whole)), norms),
        "jacobians": (
            draw.plot_jacobian_spectrum(_first_labels(frames["spectra"])),
            frames["spectra"],
        ),
        "singular_values": (
            draw_growth(_first_labels(frames["spectra"]), frames["exponents"]),
            frames["exponents"],
        ),
    }
    shares = mean_shares(frames["paths"])
    figures["paths"] = (draw.plot_paths(_first_labels(shares)), shares)
    if "predicted" in frames:
        predicted = frames["predicted"]
        predicted = predicted[predicted["state"] == WHOLE].rename(columns={"log10_norm": "median"})
        shown = predicted[predicted["weights"] == "frozen"]
        figures["predicted"] = (
            figure_of(draw.plot_gradient_norms(whole, reference=shown)),
            predicted,
        )
    return figures


def _training(frames: Frames) -> Figures:
    norms = bands(frames["norms"], "log10_norm", ["label", "state", "update", "steps_back"])
    whole = norms[norms["state"] == WHOLE]
    last = whole[whole["update"] == whole.groupby("label")["update"].transform("max")]
    shares = mean_shares(_at_last(frames["paths"]))
    spectra = _first_labels(_some_updates(frames["spectra"]))
    final = _at_last(frames["exponents"])
    figures = {
        "norms": (figure_of(draw.plot_gradient_norms(last)), last),
        "norms_by_update": (draw.plot_norm_heatmap(_first_labels(whole)), norms),
        "jacobians": (draw.plot_jacobian_spectrum(spectra), spectra),
        "singular_values": (draw_growth(_at_last(spectra), final), final),
        "paths": (draw.plot_paths(_first_labels(shares)), shares),
    }
    return figures


def _sweep(frames: Frames, sweep: str) -> Figures:
    figures = {}
    norms = bands(frames["norms"], "log10_norm", ["label", sweep, "state", "steps_back"])
    for place, (label, part) in enumerate(norms.groupby("label", sort=False), start=1):
        whole = part[part["state"] == WHOLE]
        named = whole.assign(label=[f"{sweep} {value:g}" for value in whole[sweep]])
        figure = figure_of(draw.plot_gradient_norms(named))
        name = f"norms_{place}_{file_name(str(label))}"
        figures[name] = figure, part
    reach = frames["horizons"]
    reach = reach[(reach["state"] == WHOLE) & (reach["factor"] == "10x")]
    data = bands(reach, "steps", ["label", sweep])
    figure = figure_of(draw.plot_horizons(data, value=sweep))
    name = f"horizon_by_{sweep}"
    return figures | {name: (figure, data)}


def _animation(slices: pd.DataFrame, directory: Path, state: str) -> dict[str, Path]:
    if "update" in slices:
        slices = _at_last(slices)
    shown = slices[slices["state"] == state]
    if shown.empty:
        return {}
    written = animate_gradients(shown, directory / "gradients.gif")
    return {path.suffix[1:]: path for path in written}


def _at_last(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["update"] == frame.groupby("label")["update"].transform("max")]


def _some_updates(frame: pd.DataFrame, most: int = 4) -> pd.DataFrame:
    """Keeps the first and last update and some evenly between them."""
    updates = sorted(set(frame["update"]))
    if len(updates) > most:
        places = {round(k * (len(updates) - 1) / (most - 1)) for k in range(most)}
        updates = [updates[p] for p in sorted(places)]
    return frame[frame["update"].isin(updates)]


def _first_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Keeps as many labels as there is room for panels side by side."""
    kept = list(dict.fromkeys(frame["label"]))[:MOST_PANELS]
    return frame[frame["label"].isin(kept)]
