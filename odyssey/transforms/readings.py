"""Readings: every place where a cell reads a previous state, made a state of its own.

The split cell computes what the cell computes when all copies of a state hold the same value, and
the derivative with respect to one copy is the part of the gradient that went through that place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.expr.equations import Equation
from odyssey.expr.limits import MAX_NAME
from odyssey.expr.terms import Current, Previous, is_constant, is_negation, neg, rebuild
from odyssey.expr.text import format_expression


@dataclass(frozen=True)
class Reading:
    """One place where a previous state is read.

    Attributes:
        state: The state that is read.
        copy: The state of the split cell that stands there.
        route: The term that carries the gradient: the product in a state's sum, such as
            `f * c[t-1]`, where the state passes through neither matrix nor function, else the
            name of the equation that reads it, such as `f` or `h[t]`.
        direct: Whether it is the former: the gradient is only multiplied unit by unit.
    """

    state: str
    copy: str
    route: str
    direct: bool


@dataclass(frozen=True)
class SplitCell:
    """A cell with one state a reading; its states begin with those of the original."""

    cell: Cell
    readings: tuple[Reading, ...]


def split_readings(cell: Cell) -> SplitCell:
    """Gives every reading of a previous state a state of its own.

    Raises:
        CellError: The cell has no recurrence, or its names leave no room for copies.
    """
    if not cell.states or not cell.recurrent:
        raise CellError(f"{cell.name} has no recurrence: it reads no previous state")
    splitter = _Splitter(cell)
    equations = [e.with_value(splitter.visit(e, e.value, None, sign=1)) for e in cell.equations]
    copies = [r for r in splitter.readings if r.copy not in cell.states]
    equations += [Equation(r.copy, Current(f"{r.state}[t]"), updates_state=True) for r in copies]
    of = {r.copy: r.state for r in copies}
    sizes = {d.name: d for d in cell.state_sizes}
    starts = {s.state: s for s in cell.starts}
    split = cell.replace(
        name=f"{cell.name}:readings",
        states=(*cell.states, *of),
        equations=tuple(equations),
        state_sizes=(
            *cell.state_sizes,
            *(replace(sizes[s], name=c) for c, s in of.items() if s in sizes),
        ),
        starts=(
            *cell.starts,
            *(replace(starts[s], state=c) for c, s in of.items() if s in starts),
        ),
    )
    return SplitCell(split, tuple(splitter.readings))


class _Splitter:
    """Walks through the equations from the top and replaces readings, in order."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.readings: list[Reading] = []
        self.taken = set(cell.names)

    def visit(
        self, equation: Equation, expr: sp.Expr, term: sp.Expr | None, *, sign: int
    ) -> sp.Expr:
        """Rewrites an expression; `term` is the product it belongs to while the way is direct."""
        if isinstance(expr, Previous):
            return self._copy(equation, expr, term if term is not None else expr, sign=sign)
        if not expr.args:
            return expr
        if isinstance(expr, sp.Add) and term is None:
            return rebuild(expr, tuple(self.visit(equation, a, None, sign=sign) for a in expr.args))
        if is_negation(expr) and term is None:
            inner = self.visit(equation, expr.args[1], None, sign=-sign)
            return rebuild(expr, (expr.args[0], inner))
        below = term if term is not None else expr
        if not isinstance(expr, sp.Add | sp.Mul):
            below = sp.S.NaN  # through a function, a matrix or a quotient: no direct way
        args = tuple(
            a if is_constant(a) else self.visit(equation, a, below, sign=sign) for a in expr.args
        )
        return rebuild(expr, args)

    def _copy(self, equation: Equation, leaf: Previous, term: sp.Expr, *, sign: int) -> sp.Expr:
        state = leaf.name.removesuffix("[t-1]")
        direct = equation.updates_state and term is not sp.S.NaN
        route = equation.label
        if direct:
            route = format_expression(neg(term) if sign < 0 else term)
        first = all(r.state != state for r in self.readings)
        copy = state if first else self._free(state)
        self.readings.append(Reading(state, copy, route, direct))
        return Previous(f"{copy}[t-1]")

    def _free(self, state: str) -> str:
        number = 2
        while (name := f"{state[: MAX_NAME - 5]}_{number}") in self.taken:
            number += 1
        self.taken.add(name)
        return name
