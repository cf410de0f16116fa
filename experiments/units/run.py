"""Units that follow something in a text: lstm, gru and elman, three seeds each, on three corpora.

    python experiments/units/run.py MODELS [OUT]

MODELS is a folder with what `odyssey train --out MODELS/CORPUS-CELL-SEED` has kept (README). OUT
is results/units by default; it gets the Parquet that figures.py makes all else of.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa

from odyssey.diagnostics.recording import saturation
from odyssey.diagnostics.unit_scores import best_units
from odyssey.jobs.units import read_units
from odyssey.storage.files import write_atomically
from odyssey.storage.frames import encode
from odyssey.studies.trained import load_trained

CORPORA = ("shakespeare", "warpeace", "linux")
CELLS = ("lstm", "gru", "elman")
SEEDS = (1, 2, 3)
CHARACTERS = 50_000
SHIFTS = 999
ROOT = Path(__file__).parents[2]
FACTS = ("num_parameters", "characters", "seconds", "valid_bpc", "test_bpc", "test_accuracy")


def measure(models: Path) -> dict[str, pd.DataFrame]:
    """Gives the frames scores, gates and models: every unit, every gate, every model."""
    frames: dict[str, list[pd.DataFrame]] = {n: [] for n in ("scores", "gates", "models")}
    for corpus, cell, seed in itertools.product(CORPORA, CELLS, SEEDS):
        trained = load_trained(models / f"{corpus}-{cell}-{seed}")
        read = read_units(trained, characters=CHARACTERS, shifts=SHIFTS, seed=seed)
        facts = pd.DataFrame([{n: trained.row[n] for n in FACTS}])
        gates = saturation(read.recording)
        for name, frame in (("scores", read.scores), ("gates", gates), ("models", facts)):
            frame = frame.drop(columns="name", errors="ignore")
            frame.insert(0, "corpus", corpus)
            frame.insert(1, "name", cell)
            frame.insert(2, "seed", seed)
            frames[name].append(frame)
        print(f"{corpus} {seed}\n{best_units(read.scores).to_string(index=False)}", flush=True)
    return {n: pd.concat([p for p in parts if len(p)]) for n, parts in frames.items()}


def write(frame: pd.DataFrame, path: Path) -> None:
    """Writes a frame; where floats hardly repeat, their bytes are packed place by place."""
    floats = [n for n in frame.select_dtypes("float") if frame[n].nunique() > len(frame) / 4]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    write_atomically(path, encode(table, rounded=floats))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else ROOT / "results/units"
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in measure(Path(sys.argv[1])).items():
        write(frame, out / f"{name}.parquet")
