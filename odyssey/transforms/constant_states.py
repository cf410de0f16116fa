"""States behind a cell's own: what every row of a batch may have for itself.

One that stays as it begins, `m[t] = m[t-1]`, is a mask, or any vector that holds for all steps of a
call. So masks need nothing that the language lacks, and run on every backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.equations import Declaration, Equation
from odyssey.expr.sizes import UNITS, axes
from odyssey.expr.terms import Previous


def with_constant_states(
    cell: Cell, equations: Sequence[Equation], sizes: Mapping[str, str]
) -> Cell:
    """Gives a cell with more states behind its own, which stay as they begin.

    Args:
        cell: The cell.
        equations: What its equations are to be, which may read the new states.
        sizes: The new states, with their sizes.
    """
    return with_states(cell, equations, sizes, {s: Previous(f"{s}[t-1]") for s in sizes})


def with_states(
    cell: Cell,
    equations: Sequence[Equation],
    sizes: Mapping[str, str],
    updates: Mapping[str, sp.Expr],
) -> Cell:
    """Gives a cell with more states behind its own, updated after all else.

    Args:
        cell: The cell.
        equations: What its equations are to be, which may read the new states.
        sizes: The new states, with their sizes.
        updates: Their updates.
    """
    more = (Equation(s, updates[s], updates_state=True) for s in sizes)
    sized = (Declaration(s, axes(size)) for s, size in sizes.items() if size != UNITS)
    return cell.replace(
        states=(*cell.states, *sizes),
        equations=(*equations, *more),
        state_sizes=(*cell.state_sizes, *sized),
    )
