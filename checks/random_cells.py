"""Judges random cells with the wide forms of the language by the oracle; prints what was compared.

    python checks/random_cells.py [--cells 500] [--seed 1] [--size 16] [--jacobians 200]
                                  [--out FILE]

A cell has about 3 to --size operations, among them declared sizes, reductions, transposed maps,
weights with properties, delays, constants, starting values and matrix states. Wanted: values, final
states and gradients of the oracle (`tests/support/oracle.py`, which reads the text with NumPy and
differentiates numerically) on every backend that says it runs the cell, at one layer or two; and
the symbolic Jacobian of the first --jacobians cells that have one. A cell that fails is printed,
and its number and seed draw it again.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch
from support.jacobians import agrees
from support.judge import check, refused
from support.random_cells import random_wide_cell
from support.wide_forms import wide_forms

from odyssey.compiler.backends import BACKENDS
from odyssey.errors import CellError
from odyssey.expr import Cell
from odyssey.expr.jacobian import format_jacobian

LONGEST_JACOBIAN = 20_000  # characters: products of sums grow fast


def judge(cell: Cell, number: int, found: Counter[str]) -> None:
    """Compares one cell on every backend that runs it; raises AssertionError."""
    for backend in BACKENDS:
        if refused(cell, backend):
            continue
        with np.errstate(all="ignore"):
            found["gradients"] += check(
                cell,
                backend,
                seed=number,
                layers=1 + number % 2,
                sizes=(4, 2, 3, 4 if number % 3 else 18),
                wild=True,
            )
        found[f"on {backend}"] += 1


def jacobian(cell: Cell, number: int, found: Counter[str]) -> None:
    """Compares the Jacobian of a cell, where it has one that is not too long."""
    try:
        if len(format_jacobian(cell)) > LONGEST_JACOBIAN:
            return
    except CellError:  # of matrix states there is none
        return
    agrees(cell, number)
    found["Jacobians"] += 1


def main() -> int:
    """Makes the comparisons; gives 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=16, help="operations of the largest, about")
    parser.add_argument("--jacobians", type=int, default=200)
    parser.add_argument("--out", type=Path, help="keep the report in this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began, found = time.process_time(), Counter[str]()
    forms, failed = Counter[str](), Counter[str]()
    for number in range(options.cells):
        rng = np.random.default_rng([options.seed, number])
        size = int(rng.integers(3, options.size + 1))
        cell = random_wide_cell(rng, size=size, matrices=True, properties=number % 2 == 1)
        forms.update(wide_forms(cell))
        try:
            judge(cell, number, found)
            if found["Jacobians"] < options.jacobians:
                jacobian(cell, number, found)
        except Exception as error:  # each is a finding, and the next cell may have another
            failed[type(error).__name__] += 1
            print(f"cell {number} of seed {options.seed}:\n{cell.text}", file=sys.stderr)
            traceback.print_exc()
        if (number + 1) % 50 == 0:
            print(f"{number + 1} cells, failed: {failed.total()}", file=sys.stderr, flush=True)
    lines = [
        f"# {options.cells} random cells beside the oracle",
        "",
        f"Seed {options.seed}, about 3 to {options.size} operations, one or two layers of 4 or 18"
        f" units. {platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores;"
        f" {time.process_time() - began:.0f} s of processor time.",
        "",
        f"* {failed.total()} differ from the oracle.",
        f"* Compared: values, states and {found['gradients']:,} gradients, "
        + ", ".join(f"{found[f'on {b}']} cells on {b}" for b in BACKENDS)
        + f", and {found['Jacobians']} symbolic Jacobians.",
        "",
        "| with | cells |",
        "|---|---:|",
        *(f"| {name} | {count} |" for name, count in forms.most_common()),
        "",
    ]
    print("\n".join(lines))
    if options.out:
        options.out.write_text("\n".join(lines))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
