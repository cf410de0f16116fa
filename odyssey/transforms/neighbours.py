"""The cells one change away from a cell: what a table of ablations is about."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.transforms.ablations import ABLATIONS, SHORT, ablate, gates

FORGET_BIASES = (-1, 0, 1, 2, 5)


def _operators(cell: Cell) -> Iterator[str]:
    """Lists what might apply: the named changes of the literature first, so that they give names.

    Each gate dropped, each activation dropped, gates coupled, peepholes taken or given, full gate
    recurrence, each recurrent input dropped, biases dropped, initial forget biases; then those of
    plug-ins.
    """
    yield from SHORT.values()
    yield from ("no_reset_gate", "no_update_gate")
    names = gates(cell)
    equations = [e.target for e in cell.equations]
    yield from (f"drop_gate={name}" for name in names)
    yield from (f"drop_activation={name}" for name in equations)
    yield from (f"couple={second}:{first}" for first, second in combinations(names, 2))
    yield "peepholes"
    yield from (f"no_recurrent={name}" for name in equations)
    yield "no_bias"
    yield from (f"no_bias={name}" for name in equations)
    yield from (f"forget_bias={value}" for value in FORGET_BIASES)
    for name in ABLATIONS.added:
        yield from (f"{name}={e}" if e else name for e in ABLATIONS[name].examples)


def single_changes(cell: Cell) -> dict[str, Cell]:
    """Makes every cell one change away that the cell admits.

    Returns:
        Cells by operator, such as `no_forget_gate` or `forget_bias=2`; what does not apply is left
        out, and of operators that make the same cell (by content key) the first stands for all.
    """
    found: dict[str, Cell] = {}
    seen = {cell.key}
    for operator in _operators(cell):
        try:
            changed = ablate(cell, operator)
        except CellError:
            continue
        if changed.key not in seen:
            seen.add(changed.key)
            found[operator] = changed
    return found
