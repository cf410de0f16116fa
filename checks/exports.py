"""Exports the library and mutants to torch alone and to ONNX, and compares with the eager backend.

    python checks/exports.py [--mutants 50] [--seed 1] [--out FILE]

Each cell has two layers with drawn weights. Modules run in one process that cannot import odyssey,
in float32 and float64; ONNX graphs in onnxruntime, from the start and from a state; both at two
lengths and batches. An error of 1 is what is allowed: see `tests/support/departing.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import onnx
import onnxruntime
import torch
from support.departing import by_reference, error_of_onnx, errors_of_modules, in_onnxruntime
from support.mutant_chains import distinct

from odyssey.cells import LIBRARY, library_cell
from odyssey.speed.machine import describe_machine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    cells = [library_cell(name) for name in LIBRARY]
    cells += distinct(args.mutants, seed=args.seed)
    torch.set_num_threads(1)
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        modules = errors_of_modules(cells, Path(folder))
    rows = [("torch alone", modules, time.process_time() - begun)]
    for name, session_of in (("onnxruntime", in_onnxruntime), ("onnx.reference", by_reference)):
        begun = time.process_time()
        graphs = {f"cell{k} {c.name}": error_of_onnx(c, session_of) for k, c in enumerate(cells)}
        rows.append((name, graphs, time.process_time() - begun))
    machine = ", ".join(f"{name} {value}" for name, value in describe_machine().items())
    lines = [
        "# Cells that left Odyssey, beside Odyssey",
        "",
        f"`python checks/exports.py --mutants {args.mutants} --seed {args.seed}`; {machine},"
        f" onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}.",
        "",
        "An error of 1 is what is allowed: 1e-6 of the largest number (1e-12 in float64), or four"
        " times what float32 costs torch itself. ONNX graphs run twice: in onnxruntime, and in the"
        " implementation in NumPy that defines ONNX. A graph is wrong if both are. onnxruntime's"
        " sigmoid goes in steps of 6e-8 and is 0 from -18 down, and a cell that divides by a number"
        " near zero makes much of that; the other one has no stable softplus.",
        "",
        "| run by | cells | median error | largest error | of | beyond 1 | processor seconds |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    right = {cell for _, errors, _ in rows[1:] for cell, error in errors.items() if error < 1}
    wrong = len(rows[1][1].keys() - right) + sum(not error < 1 for error in modules.values())
    for name, errors, seconds in rows:
        worst = max(errors, key=lambda cell, errors=errors: errors[cell])
        beyond = [cell.split(" ", 1)[1] for cell, error in errors.items() if not error < 1]
        median = sorted(errors.values())[len(errors) // 2]
        lines.append(
            f"| {name} | {len(errors)} | {median:.2f} | {errors[worst]:.2f} |"
            f" {worst.split(' ', 1)[1]} | {', '.join(beyond) or 0} | {seconds:.0f} |"
        )
    text = "\n".join([*lines, ""])
    print(text)
    if args.out:
        args.out.write_text(text)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
