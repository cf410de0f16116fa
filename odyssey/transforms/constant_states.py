"""States that stay as they begin, `m[t] = m[t-1]`: what every row of a batch may have of its own.

So a mask, or any vector that holds for all steps of a call, needs nothing that the language lacks,
and runs on every backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    constant = (Equation(s, Previous(f"{s}[t-1]"), updates_state=True) for s in sizes)
    sized = (Declaration(s, axes(size)) for s, size in sizes.items() if size != UNITS)
    return cell.replace(
        states=(*cell.states, *sizes),
        equations=(*equations, *constant),
        state_sizes=(*cell.state_sizes, *sized),
    )
