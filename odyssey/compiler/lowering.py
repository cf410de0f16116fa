"""Lowering: Cell -> Program, as an ordered list of named passes."""

from __future__ import annotations

from collections.abc import Callable

from odyssey.compiler.passes import fold_constants, hoist, order_sums, stack_maps
from odyssey.errors import OdysseyError, suggest
from odyssey.expr.cell import Cell
from odyssey.expr.invariants import verify_program
from odyssey.expr.program import Program, drop_dead

PASSES: tuple[tuple[str, Callable[[Program], Program]], ...] = (
    ("fold_constants", fold_constants),
    ("drop_dead", drop_dead),
    ("order_sums", order_sums),
    ("hoist", hoist),
    ("stack_maps", stack_maps),
)
STAGES = ("translate", *(name for name, _ in PASSES))


def lower(cell: Cell, *, after: str | None = None) -> Program:
    """Lowers a cell.

    Args:
        cell: The cell.
        after: Stop after this pass (one of `STAGES`) and give the program as it is there.

    Raises:
        OdysseyError: There is no such pass.
    """
    if after is not None and after not in STAGES:
        raise OdysseyError(suggest(after, STAGES, what="pass"))
    program = cell.program
    verify_program(program, final=False)
    for name, apply in PASSES if after != "translate" else ():
        program = apply(program)
        verify_program(program, final=False)
        if name == after:
            return program
    if after is None:
        verify_program(program, final=True)
    return program
