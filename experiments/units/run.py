"""Units that follow something in a text: lstm, gru and elman, trained on three corpora.

    python experiments/units/run.py MODELS [OUT]

MODELS is a folder with what `odyssey train --out MODELS/CORPUS-CELL` has kept (see the README);
models that are not there are left out. OUT is results/units by default.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from odyssey.cli.units import read_units
from odyssey.diagnostics.recording import saturation
from odyssey.diagnostics.unit_scores import best_units
from odyssey.evaluation.trained import load_trained
from odyssey.report.style import figure_of, save_figure
from odyssey.report.unit_plots import plot_probes, plot_saturation

CORPORA = ("shakespeare", "warpeace", "linux")
CELLS = ("lstm", "gru", "elman")
CHARACTERS = 50_000
SHIFTS = 999
ROOT = Path(__file__).parents[2]


def measure(models: Path) -> dict[str, pd.DataFrame]:
    """Gives the frames best, scores, saturation and losses of all models that are there."""
    frames: dict[str, list[pd.DataFrame]] = {n: [] for n in ("best", "scores", "gates", "losses")}
    for corpus in CORPORA:
        for cell in CELLS:
            path = models / f"{corpus}-{cell}"
            if not (path / "weights.npz").is_file():
                print(f"{corpus} {cell}: no model", flush=True)
                continue
            trained = load_trained(path)
            read = read_units(trained, characters=CHARACTERS, shifts=SHIFTS, seed=1)
            best = best_units(read.scores)
            row = trained.row[["num_parameters", "characters", "seconds", "valid_bpc", "test_bpc"]]
            labels = {"corpus": corpus, "cell": cell}
            frames["losses"].append(pd.DataFrame([{**labels, **row.to_dict()}]))
            for name, frame in (
                ("best", best),
                ("scores", read.scores),
                ("gates", saturation(read.recording)),
            ):
                frames[name].append(frame.assign(**labels))
            print(f"{corpus} {cell}\n{best.to_string(index=False)}", flush=True)
    return {n: pd.concat(parts, ignore_index=True) for n, parts in frames.items() if parts}


def write(frames: dict[str, pd.DataFrame], out: Path) -> None:
    """Writes the tables and the figures."""
    out.mkdir(parents=True, exist_ok=True)
    lead = ["corpus", "cell"]
    for name in ("best", "losses"):
        frame = frames[name].drop(columns="name", errors="ignore")
        ordered = frame[lead + [c for c in frame if c not in lead]]
        ordered.to_csv(out / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
    scores = frames["scores"].drop(columns="name")
    scores.to_parquet(out / "scores.parquet", index=False)
    for corpus, part in frames["best"].groupby("corpus", sort=False):
        ax = plot_probes(part.assign(label=part["cell"]))
        save_figure(figure_of(ax), out / f"probes_{corpus}", data=part)
    gates = frames["gates"]
    for (corpus, cell), part in gates.groupby(["corpus", "cell"], sort=False):
        if corpus == "linux" and len(part):
            save_figure(plot_saturation(part), out / f"saturation_{corpus}_{cell}", data=part)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else ROOT / "results/units"
    write(measure(Path(sys.argv[1])), target)
