"""Measures what a cell's identity is worth: canonical texts, rewrites, pairs that differ, a search.

    python checks/duplicates.py [--cells 3000] [--deep 300] [--rewrites 1000] [--pairs 1000]
                                    [--candidates 2000] [--folder CELLS] [--out FILE]

0. The canonical text of mutants, of random cells, of deep cells with 40 to 200 nodes and of the
   cell files in --folder is read back. Wanted: it is a legal cell and its own canonical text, with
   the key and the fingerprint of the cell.
1. Library cells, the papers' variants and mutants are rewritten (`tests/support/rewrites.py`:
   renaming, reordering, distribution, sigmoid(-x), dead code, swapped equations, and more), up
   to seven rewrites at a time, every fourth with tanh spelled by sigmoid on top; and so are deep
   cells, a tenth of all. Wanted: the same fingerprint, and most often the same key.
2. Parents and mutants, mutants of one cell, and cells with a matrix untied, as far as the oracle
   shows that the two are different functions. Wanted: neither the same key nor fingerprint.
3. A search whose trials train nothing lists every trial that was run. Wanted: no trial twice, and
   in no arm one function twice.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from search_scale import STUDY, Nothing
from support.deep_cells import DEEP, chains
from support.fake_search import Silent
from support.lookalikes import differ, mutants, pairs, pool, rewritten
from support.random_cells import random_cell
from support.rewrites import tanh_as_sigmoid

from odyssey.errors import CellError
from odyssey.expr import Cell, parse_cell
from odyssey.storage.candidates import load_candidates
from odyssey.studies.engine import execute, prepare
from odyssey.studies.study import parse_study


def legal_cells(count: int, deep: int) -> Iterator[tuple[str, Cell]]:
    """Gives mutants and random cells, half and half, and deep cells."""
    for cell in mutants((count - deep) // 2, seed=21):
        yield "mutants", parse_cell(cell.text)  # afresh, to time its key
    for k in range(count - deep - (count - deep) // 2):
        yield "random", random_cell(np.random.default_rng([22, k]), size=3 + k % 58)
    for cell in [*DEEP.values(), *chains(deep - len(DEEP), seed=23)]:
        yield "deep", cell


def canonical(cells: Iterable[tuple[str, Cell]]) -> list[str]:
    found: Counter[tuple[str, str]] = Counter()
    seconds: dict[str, list[float]] = defaultdict(list)
    for kind, cell in cells:
        found[kind, "cells"] += 1
        began = time.process_time()
        text, key = cell.canonical_text, cell.key
        seconds[kind].append(time.process_time() - began)
        try:
            again = parse_cell(text)
        except CellError as error:
            print(f"illegal, {error}:\n{cell.text}", file=sys.stderr)
            continue
        found[kind, "legal"] += 1
        same = {
            "own form": again.canonical_text == text,
            "same key": again.key == key,
            "same fingerprint": again.fingerprint == cell.fingerprint,
        }
        found.update((kind, what) for what, holds in same.items() if holds)
        if not all(same.values()):
            print(f"{same}:\n{cell.text}", file=sys.stderr)
    columns = ["cells", "legal", "own form", "same key", "same fingerprint"]
    lines = [
        f"| | {' | '.join(columns)} | ms of a key: median | 99 % | largest |",
        "|---|" + "---:|" * (len(columns) + 3),
    ]
    for kind, spent in seconds.items():
        ms = 1e3 * np.array(spent)
        times = [f"{v:.1f}" for v in (np.median(ms), np.percentile(ms, 99), ms.max())]
        numbers = [f"{found[kind, column]:,}" for column in columns]
        lines.append(f"| {kind} | {' | '.join([*numbers, *times])} |")
    return lines


def files(folder: Path) -> Iterator[tuple[str, Cell]]:
    for path in sorted(folder.glob("*.cell")):
        yield f"{len(list(folder.glob('*.cell')))} files", parse_cell(path.read_text())


def rewrites(count: int) -> list[str]:
    cells = pool(400, seed=11)
    deep = [*DEEP.values(), *chains(max(1, count // 10 - len(DEEP)), seed=24)]
    found: Counter[str] = Counter()
    changed = 0
    for trial in range(count):
        one, kind = cells[trial % len(cells)], "algebra alone"
        if trial % 10 == 5:
            one, kind = deep[trial // 10 % len(deep)], "of deep cells"
        rng = np.random.default_rng([12, trial])
        other = rewritten(one, rng, steps=7)
        if trial % 4 == 0:
            kind = "with tanh as sigmoid"
            other = tanh_as_sigmoid(other, rng)
        changed += one.text != other.text
        key, fingerprint = (a == b for a, b in zip(one.identity, other.identity, strict=True))
        found[kind, "all"] += 1
        found[kind, "key"] += key
        found[kind, "fingerprint"] += fingerprint
        found[kind, "missed"] += not key and not fingerprint
        if not fingerprint:
            print(f"missed:\n{one.text}\n{other.text}", file=sys.stderr)
    lines = [
        f"{changed:,} of {count:,} texts were changed by their rewrites.",
        "",
        "| rewrites | cells | same key | same fingerprint | missed by both |",
        "|---|---:|---:|---:|---:|",
    ]
    for kind in ("algebra alone", "with tanh as sigmoid", "of deep cells"):
        numbers = [f"{found[kind, c]:,}" for c in ("all", "key", "fingerprint", "missed")]
        lines.append(f"| {kind} | " + " | ".join(numbers) + " |")
    return lines


def different(count: int) -> list[str]:
    shown = equal = tried = 0
    for one, other in pairs(seed=13, count=10 * count):
        if shown == count:
            break
        tried += 1
        if not differ(one, other):
            continue
        shown += 1
        a, b = one.identity, other.identity
        if set(a) & set(b) or one.fingerprint == other.fingerprint:
            equal += 1
            print(f"taken for equal:\n{one.text}\n{other.text}", file=sys.stderr)
    return [
        f"{shown:,} of {tried:,} pairs were shown to be different functions;"
        f" {equal} of them were taken for equal."
    ]


@dataclass(frozen=True)
class Listed(Nothing):
    """Trains nothing, and lists the trials that were run."""

    def __call__(self, trial):
        with (self.directory / "calls").open("a") as file:
            file.write(trial.id + "\n")
        return super().__call__(trial)


def searched(count: int) -> list[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        study = parse_study(STUDY.format(candidates=count))
        summary = execute(prepare(study, folder), Silent(), work=Listed(folder.absolute()))
        calls = Counter((folder / "calls").read_text().split())
        rows = load_candidates(folder)
    again = sum(calls.values()) - len(calls)
    lines = [
        f"{summary.total:,} candidates, {sum(calls.values()):,} trials run,"
        f" {again} of them for the second time.",
        "",
        "| arm | candidates, with seeds | functions measured twice | taken from the other arm |",
        "|---|---:|---:|---:|",
    ]
    own = rows[rows["again"].eq(0) & rows["cell_key"].ne("")]
    for arm in sorted(set(own["arm"]) - {"seed"}):
        mine = own[own["arm"].isin([arm, "seed"])]
        twice = max(
            len(mine) - mine["cell_key"].nunique(), len(mine) - mine["fingerprint"].nunique()
        )
        twins = int(mine["twin"].notna().sum())
        lines.append(f"| {arm} | {len(mine):,} | {twice} | {twins:,} |")
    first = own[own["twin"].isna()]
    repeats = len(first) - first["fingerprint"].nunique()
    lines += [
        "",
        f"Of the {len(first):,} functions trained in both arms together, {repeats} came twice;"
        " where the second arm proposes what the first has trained, it takes over the trials.",
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=3000)
    parser.add_argument("--deep", type=int, default=300, help="of these cells")
    parser.add_argument("--folder", type=Path, help="cell files to look at as well")
    parser.add_argument("--rewrites", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="keep the report in this file")
    options = parser.parse_args()
    began = time.process_time()
    lines = ["# Duplicates", "", "## Canonical texts", ""]
    given = files(options.folder) if options.folder else ()
    lines += canonical(itertools.chain(legal_cells(options.cells, options.deep), given))
    print(f"canonical texts: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    lines += ["", "## The same function in other words", ""]
    lines += rewrites(options.rewrites)
    print(f"rewrites: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    lines += ["", "## Other functions that look alike", "", *different(options.pairs)]
    print(f"pairs: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    lines += ["", "## A search trains no function twice", "", *searched(options.candidates)]
    lines += [
        "",
        f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores;"
        f" {time.process_time() - began:.0f} s of processor time.",
        "",
    ]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
