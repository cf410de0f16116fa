"""`odyssey cells`: the library, the variants of the papers, the ablations."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from odyssey.cli.printing import print_json, print_rows
from odyssey.expr import Cell
from odyssey.expr.shapes import infer_shapes
from odyssey.specs import CELL_SETS, VARIANTS, get_cell, list_cells
from odyssey.transforms.ablations import ABLATIONS


def run(args: argparse.Namespace) -> None:
    """Prints the chosen list."""
    if args.ablations:
        rows = [
            {
                "ablation": name + ("=" + ":".join(row.arguments) if row.arguments else ""),
                "short": row.short,
                "what it does": row.says,
            }
            for name, row in ABLATIONS.items()
        ]
    elif args.variants:
        rows = [{"name": n, "spec": s} for n, s in VARIANTS.items()]
        rows += [{"name": n, "spec": ", ".join(s)} for n, s in CELL_SETS.items()]
    else:
        rows = [_row(get_cell(name)) for name in list_cells()]
    if args.json:
        print_json(rows)
    else:
        print_rows(rows)


def _row(cell: Cell) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "states": ", ".join(cell.states),
        "parameters": parameter_formula(cell),
        "key": cell.key[:8],
        "source": cell.citation,
    }


def parameter_formula(cell: Cell) -> str:
    """Counts the parameters of a layer by shape, such as `4HI + 4HH + 4H`."""
    shapes = infer_shapes(cell)
    counts = Counter("".join(s) for s in shapes.matrices.values())
    counts.update(shapes.vectors.values())
    order = sorted(counts, key=lambda s: (-len(s), s[::-1] != "IH", s))
    return " + ".join(f"{counts[s] if counts[s] > 1 else ''}{s}" for s in order)
