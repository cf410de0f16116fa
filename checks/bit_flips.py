"""Flips single bits in every kind of file that a run keeps, and looks what its readers make of it.

    python checks/bit_flips.py [--flips 1000] [--seed 1] [--folder DIR]

A study and a search are run, one training is kept. Then, one at a time, a bit of one of their files
is flipped (shards of results, curves and candidates, single and merged; run.json, progress.json,
study.toml; weights; each kind as often), all that a run says is read through the public readers,
and the bit is put back. A flip may end in one of three ways: every value is the same; a reader says
in one line what is wrong; the damaged file is left out, with a warning that names it. Anything else
is counted as a fault: a changed value that nobody mentions, another exception, a message of several
lines.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.fake_search import search

from odyssey.cli.main import main as command
from odyssey.errors import OdysseyError
from odyssey.storage import RunStore, load_curves, load_results
from odyssey.storage.candidates import load_candidates
from odyssey.storage.files import read_json
from odyssey.studies.engine import execute, prepare, reopen
from odyssey.studies.source import Unwatched
from odyssey.studies.study import parse_study
from odyssey.studies.trained import load_all_trained

STUDY = """
name = "flips"
cells = ["elman", "gru"]
tasks = ["xml"]
members = 2
population = 1
runner = "local"
keep_weights = "all"

[training]
epochs = 1
updates_per_epoch = 2
batch_size = 4
unroll = 10
valid_characters = 100
test_characters = 100

[space]
hidden_size = 4
learning_rate = { log_uniform = [1e-3, 1e-1] }
"""


class _Heard(logging.Handler):
    """Keeps warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def make_runs(folder: Path) -> list[Path]:
    """Makes a study with merged and single shards, a search, and a kept training."""
    study, sought, trained = folder / "study", folder / "search", folder / "train"
    run = prepare(parse_study(STUDY), study)
    execute(replace(run, trials=run.trials[:2]), Unwatched())
    run.store.compact(at_least=2)
    execute(run, Unwatched())
    search(sought, candidates=2)
    RunStore.open(sought).compact(at_least=2)
    arguments = ["train", "elman", "--task", "xml", "--hidden-size", "4", "--epochs", "1"]
    arguments += ["--updates-per-epoch", "2", "--set", "valid_characters=100"]
    assert command([*arguments, "--set", "test_characters=100", "--out", str(trained)]) == 0
    return [study, sought, trained]


def readings(run: Path) -> Iterator[Callable[[], Any]]:
    """Gives the readers of a run, each of which gives plain values."""

    def frame(read: Callable[[Path], pd.DataFrame]) -> Callable[[], Any]:
        return lambda: read(run).to_json(double_precision=15, orient="split")

    yield frame(load_results)
    yield frame(load_curves)
    yield frame(load_candidates)
    yield lambda: json.dumps(RunStore.open(run).run)
    yield lambda: RunStore.open(run).study_text
    if run.name == "search":
        yield lambda: reopen(run).study.to_toml()
        yield lambda: read_json(run / "progress.json", required=True)
        return
    yield lambda: [t.id for t in reopen(run).trials]
    yield lambda: [
        (str(m.row["trial"]), int(m.row["member"]), n, p.detach().numpy().tobytes())
        for m in load_all_trained(run)
        for n, p in m.model.named_parameters()
    ]


def outcome(run: Path, expected: list[Any], heard: _Heard, path: Path) -> str:
    """Reads a run of which a file is damaged, and says how it ended."""
    heard.lines.clear()
    ends = set()
    for read, value in zip(readings(run), expected, strict=True):
        heard.lines.clear()
        try:
            same = read() == value
        except OdysseyError as error:
            line = str(error)
            ends.add("refused in one line" if "\n" not in line else "FAULT: several lines")
        except Exception as error:
            ends.add(f"FAULT: {type(error).__name__}")
        else:
            said = any(str(path) in line for line in heard.lines)
            if said:
                ends.add("left out, with a warning")
            elif not same:
                ends.add("FAULT: a value has changed")
    faults = sorted(end for end in ends if end.startswith("FAULT"))
    return (faults or sorted(ends, reverse=True) or ["every value is the same"])[0]


def kind_of(path: Path) -> str:
    """Names the kind of a file."""
    if path.suffix == ".npz":
        return "weights"
    merged = "merged " if path.name.startswith("merged") else ""
    return f"{merged}{path.parent.name}" if path.suffix == ".parquet" else path.name


def main() -> int:
    """Runs it and prints a table; the exit status is 1 when there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--flips", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    heard = _Heard()
    logging.getLogger("odyssey").addHandler(heard)
    logging.getLogger("odyssey").propagate = False
    with tempfile.TemporaryDirectory() as name:
        runs = make_runs(options.folder or Path(name))
        expected = {run: [read() for read in readings(run)] for run in runs}
        targets: dict[str, list[tuple[Path, Path]]] = {}
        for run in runs:
            for path in sorted(run.rglob("*")):
                if path.is_file() and path.suffix in _KINDS:
                    targets.setdefault(kind_of(path), []).append((run, path))
        kinds = sorted(targets)
        rng = np.random.default_rng(options.seed)
        table: Counter[tuple[str, str]] = Counter()
        for number in range(options.flips):
            files = targets[kinds[number % len(kinds)]]
            run, path = files[int(rng.integers(len(files)))]
            whole = path.read_bytes()
            data = bytearray(whole)
            bit = int(rng.integers(8 * len(data)))
            data[bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
            end = outcome(run, expected[run], heard, path)
            path.write_bytes(whole)
            table[kind_of(path), end] += 1
            if end.startswith("FAULT"):
                print(f"{path.relative_to(run.parent)}, bit {bit}: {end}", file=sys.stderr)
        assert expected == {run: [read() for read in readings(run)] for run in runs}
    for (kind, end), count in sorted(table.items()):
        print(f"{kind:<16} {end:<28} {count:>5}")
    faults = sum(count for (_, end), count in table.items() if end.startswith("FAULT"))
    print(f"{options.flips} flips in {len(kinds)} kinds of files, faults: {faults}")
    return 1 if faults else 0


_KINDS = (".parquet", ".json", ".toml", ".npz")

if __name__ == "__main__":
    sys.exit(main())
