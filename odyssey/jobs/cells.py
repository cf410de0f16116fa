"""The library: its cells, the variants of the papers, and the ablations, as rows of a table."""

from __future__ import annotations

from collections import Counter
from typing import Any

from odyssey.expr import Cell
from odyssey.expr.shapes import infer_shapes
from odyssey.specs import CELL_SETS, VARIANTS, get_cell, list_cells
from odyssey.transforms.ablations import ABLATIONS


def cell_rows() -> list[dict[str, Any]]:
    """Describes every cell of the library."""
    return [
        {
            "cell": cell.name,
            "states": ", ".join(cell.states),
            "parameters": parameter_formula(cell),
            "key": cell.key[:8],
            "source": cell.citation,
        }
        for cell in map(get_cell, list_cells())
    ]


def variant_rows() -> list[dict[str, Any]]:
    """Lists the variants of the papers and the sets of cells, with their specs."""
    rows = [{"name": name, "spec": spec} for name, spec in VARIANTS.items()]
    return rows + [{"name": name, "spec": ", ".join(specs)} for name, specs in CELL_SETS.items()]


def ablation_rows() -> list[dict[str, Any]]:
    """Describes every ablation."""
    return [
        {
            "ablation": name + ("=" + ":".join(row.arguments) if row.arguments else ""),
            "short": row.short,
            "what it does": row.says,
        }
        for name, row in ABLATIONS.items()
    ]


def parameter_formula(cell: Cell) -> str:
    """Counts the parameters of a layer by shape, such as `4HI + 4HH + 4H`."""
    shapes = infer_shapes(cell)
    counts = Counter("".join(s) for s in shapes.matrices.values())
    counts.update(shapes.vectors.values())
    order = sorted(counts, key=lambda s: (-len(s), s[::-1] != "IH", s))
    return " + ".join(f"{counts[s] if counts[s] > 1 else ''}{s}" for s in order)
