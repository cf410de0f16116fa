"""What ablations call by name: equations, and gates, which the literature knows by letters.

i input, f forget, o output, r reset, z update; g and n are candidates.
"""

from __future__ import annotations

import sympy as sp

from odyssey.errors import CellError, suggest
from odyssey.expr.cell import Cell
from odyssey.expr.equations import Equation
from odyssey.expr.forms import BY_FUNCTION
from odyssey.expr.primitives import sigmoid
from odyssey.expr.terms import Current, Named, leaves, sub, subexpressions
from odyssey.wording import quoted

GATE_LETTERS = ("i", "f", "o", "r", "z")


def gates(cell: Cell) -> tuple[str, ...]:
    """Lists the gates of a cell: squashed equations that multiply something.

    A gate is an equation whose value is a sigmoid, or any function where it carries a gate's
    letter (the tanh output gate of Jozefowicz et al.), and which is a factor in another equation.
    """
    return tuple(
        e.target
        for e in cell.equations
        if type(e.value) in BY_FUNCTION
        and len(e.value.args) == 1
        and (isinstance(e.value, sigmoid) or e.target in GATE_LETTERS)
        and multiplies(cell, e)
    )


def multiplies(cell: Cell, gate: Equation) -> bool:
    """Says whether the value of an equation, or one minus it, is a factor in the cell."""
    leaf = Current(gate.label) if gate.updates_state else Named(gate.target)
    one_minus = sub(sp.Integer(1), leaf)
    return any(
        isinstance(node, sp.Mul) and (leaf in node.args or one_minus in node.args)
        for e in cell.equations
        for node in subexpressions(e.value)
    )


def find_equation(cell: Cell, name: str, *, what: str = "equation") -> Equation:
    """Finds an equation by its name, or a gate where `what` says so.

    Raises:
        CellError: There is none; the message lists what there is.
    """
    equation = cell.equation(name)
    if equation is None:
        known = gates(cell) if what == "gate" else [e.target for e in cell.equations]
        if not known:
            raise CellError(f"{cell.name}: there are no gates, so no {quoted(name)}")
        raise CellError(f"{cell.name}: " + suggest(name, known, what=what))
    return equation


def with_equations(cell: Cell, changed: dict[str, Equation | None], **more: object) -> Cell:
    """Replaces equations by target; None removes one."""
    equations = tuple(new for e in cell.equations if (new := changed.get(e.target, e)) is not None)
    return cell.replace(equations=equations, **more)


def reads_past(cell: Cell, value: sp.Expr) -> bool:
    """Says whether a value depends on a state after the previous step."""
    names = (leaf.name for leaf in leaves(value))
    return any(name.endswith("[t-1]") or name in cell.after_past for name in names)
