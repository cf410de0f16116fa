"""`odyssey units`: what the units and gates of a trained model do while it reads."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.cli.printing import print_json, print_rows
from odyssey.errors import ConfigError, StoreError, TaskError
from odyssey.tasks.reading import AUTO, read_symbols
from odyssey.tasks.text import MissingText, TextTask, read_file
from odyssey.wording import plural

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from odyssey.diagnostics.recording import Recording
    from odyssey.studies.trained import TrainedModel
    from odyssey.tasks.base import Task

_CHUNK = 1000  # steps of a batch of held-out text


def run(args: argparse.Namespace) -> None:
    """Records, scores, draws, and prints the best unit of each probe."""
    for flag in ("characters", "page_characters", "shifts"):
        least = 0 if flag == "page_characters" else 1
        if getattr(args, flag) < least:
            shown = flag.replace("_", "-")
            raise ConfigError(f"--{shown} must be at least {least}, got {getattr(args, flag)}")
    if args.seed < 0:
        raise ConfigError(f"--seed must not be negative, got {args.seed}")

    from odyssey.diagnostics.recording import saturation
    from odyssey.diagnostics.unit_scores import best_units

    trained, text = _trained(args)
    read = read_units(
        trained,
        text=text,
        characters=args.characters,
        probes=args.probes,
        shifts=args.shifts,
        seed=args.seed,
    )
    recording, codes = read.recording, read.codes
    best = best_units(read.scores)
    gates = saturation(recording)
    out = Path(args.out) if args.out else Path(args.directory) / "units"
    files = _write(args, out, trained.task, read, gates)
    absent = [name for name in read.probes if name not in set(best["probe"])]
    if args.json:
        best_rows = best.to_dict("records")
        print_json({"best": best_rows, "absent": absent, "files": files})
        return
    print(
        f"{recording.name} read {len(codes):,} symbols:"
        f" {plural(recording.num_units, 'unit')} in {plural(len(recording.tracks), 'value')}"
    )
    print_rows([_row(row) for row in best.to_dict("records")])
    if absent:
        print(f"not scored, for this text does not vary in them: {', '.join(absent)}")
    print(
        "the unit chosen on the first half of the text, judged on the second; p corrected for all"
        " units; found: p <= 0.05\nand better than the current symbol alone; what it means:"
        " docs/diagnostics.md"
    )
    for kind, path in files.items():
        print(f"{kind}: {path}")


def _trained(args: argparse.Namespace) -> tuple[TrainedModel, str | None]:
    """Gives the model, and the file that it is to read; none for the test data of its task."""
    from odyssey.studies.trained import load_trained

    which = {"cell": args.cell, "task": args.task, "member": args.member}
    trained = load_trained(args.directory, **which)
    if args.text is None:
        return trained, None
    found = hashlib.sha256(read_file(Path(args.text))).hexdigest()
    if found != trained.task.describe().get("sha256"):
        return trained, args.text
    return load_trained(args.directory, **which, text=args.text), None


@dataclass(frozen=True)
class Reading:
    """What a model did with a text.

    Attributes:
        codes: What it read, class indices (T,).
        text: The characters, T strings; empty for all bytes of a character but its first.
        recording: All its values.
        probes: Name -> what holds after each symbol, (T,).
        scores: Of `score_units`.
    """

    codes: NDArray[np.int64]
    text: list[str]
    recording: Recording
    probes: dict[str, NDArray[np.generic]]
    scores: pd.DataFrame


def read_units(
    trained: TrainedModel,
    *,
    text: str | None = None,
    characters: int = 50_000,
    probes: str | None = None,
    shifts: int = 999,
    seed: int = 1,
) -> Reading:
    """Lets a trained model read, and scores its units.

    Args:
        trained: The model and its task.
        text: A file; None for the test split of the task.
        characters: How many symbols at most.
        probes: A Python file with more probes.
        shifts: Shifts of the null.
        seed: Their seed.

    Raises:
        TaskError: The file cannot be read, or holds a symbol that the task lacks.
        CellError: The cell has no recurrence.
        ConfigError: The text is too short, or a probe makes no sense.
    """
    from odyssey.diagnostics.probes import PROBES, load_probes, probe_values
    from odyssey.diagnostics.recording import record_model
    from odyssey.diagnostics.unit_scores import score_units
    from odyssey.training.seeds import stream

    chosen = PROBES | (load_probes(probes) if probes else {})
    codes = _symbols(trained.task, text, characters)
    pieces = _pieces(trained.task, codes)
    sizes = [size for _, size in pieces]
    values = _by_symbol(probe_values("".join(c for c, _ in pieces), chosen), sizes)
    recording = record_model(trained.model, codes)
    scores = score_units(recording, codes, values, shifts=shifts, rng=stream(seed, "units"))
    text_T = [s for c, size in pieces for s in (c, *[""] * (size - 1))]
    return Reading(codes, text_T, recording, values, scores)


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    auc = row["auc"]
    return {
        "probe": row["probe"],
        "unit": f"{row['track']}[{row['unit']}] of layer {row['layer']}",
        "rho": f"{row['rho']:.3f}",
        "auc": f"{auc:.3f}" if auc == auc else "",
        "p": f"{row['p']:.3g}",
        "95 % of chance": f"{row['null_95']:.3f}",
        "symbol alone": f"{row['symbol_rho']:.3f}",
        "found": int(row["units"]),
    }


def _symbols(task: Task, path: str | None, most: int) -> NDArray[np.int64]:
    """Gives the text as class indices: that of a file, or the task's test split."""
    import numpy as np

    if path is None:
        batches = task.held_out("test", batch_size=1, unroll=_CHUNK, characters=most)
        return np.concatenate([b.inputs_TB[b.weights_TB[:, 0], 0] for b in batches])[:most]
    data = read_file(Path(path))
    if not isinstance(task, TextTask | MissingText):
        return task.encode(data.decode("utf-8", "backslashreplace")[:most])[:most]
    try:
        found = read_symbols(path, data, unit=task.unit)
    except TaskError:  # it is not UTF-8, and may be as the model's own text was
        own = str(task.describe().get("encoding") or AUTO)
        found = read_symbols(path, data, unit=task.unit, encoding=own)
    return task.vocabulary.classes(found.codes_N[:most].tolist())


def _pieces(task: Task, codes: NDArray[np.int64]) -> list[tuple[str, int]]:
    """Cuts what was read into characters, with the number of symbols that each takes."""
    if isinstance(task, TextTask | MissingText):
        return task.vocabulary.pieces(codes)
    return [(task.symbols[k], 1) for k in codes.tolist()]


def _by_symbol(
    values: Mapping[str, NDArray[np.generic]], sizes: list[int]
) -> dict[str, NDArray[np.generic]]:
    """Gives the values of probes at every symbol instead of every character.

    A character has been read with its last byte; at those before, what was so still is.
    """
    import numpy as np

    size_N = np.array(sizes)
    at_T = np.repeat(np.arange(len(sizes)), size_N)
    at_T -= np.arange(len(at_T)) != np.repeat(np.cumsum(size_N) - 1, size_N)
    # before the first character nothing is known: take what it says itself
    return {name: value[np.maximum(at_T, 0)] for name, value in values.items()}


def _write(
    args: argparse.Namespace, out: Path, task: Task, read: Reading, gates: pd.DataFrame
) -> dict[str, Path]:
    from odyssey.names import short_names
    from odyssey.report.inside.lstmvis import write_lstmvis
    from odyssey.report.inside.unit_plots import plot_saturation
    from odyssey.report.inside.units_page import UnitTrack, write_units_page
    from odyssey.report.page.style import save_figure

    recording, codes = read.recording, read.codes
    files = {"scores": out / "scores.csv"}
    tracks = [UnitTrack(t.layer, t.name, t.kind, t.values_TH) for t in recording.tracks]
    source = Path(args.text).name if args.text else short_names([task.name])[task.name]
    about = f"{recording.name} reading {source}"
    if args.lstmvis:
        files["lstmvis"] = write_lstmvis(
            args.lstmvis,
            name=about,
            description=f"{len(codes):,} symbols",
            symbols=read.text,
            tracks=tracks,
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        read.scores.to_csv(files["scores"], index=False, lineterminator="\n")
        if not gates.empty:
            saved = save_figure(plot_saturation(gates), out / "saturation", data=gates)
            files["saturation"] = saved["png"]
    except OSError as error:
        raise StoreError(f"cannot write to {out}: {error.strerror or error}") from error
    shown = min(args.page_characters, len(codes))
    if shown:
        files["page"] = write_units_page(
            out / "units.html",
            title=about,
            lead=f"the first {shown:,} of {len(codes):,} symbols",
            symbols=read.text[:shown],
            tracks=[UnitTrack(t.layer, t.name, t.kind, t.values_TH[:shown]) for t in tracks],
            probes={name: v[:shown] for name, v in read.probes.items()},
            scores=read.scores,
        )
    return files
