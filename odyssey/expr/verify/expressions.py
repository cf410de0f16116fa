"""What may stand right of `=`: numbers, names that are known, and operations of the language."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.equations import Equations, IllegalEquationError
from odyssey.expr.forms import BY_FUNCTION, computed
from odyssey.expr.limits import LARGEST, MAX_DEPTH, MAX_NODES, check_name
from odyssey.expr.reductions import BY_REDUCTION
from odyssey.expr.terms import (
    MAPS,
    Const,
    Current,
    Input,
    Leaf,
    Matrix,
    Named,
    Previous,
    Vector,
    constant,
    exact_value,
    is_constant,
    is_reciprocal,
)


@dataclass(frozen=True)
class _Names:
    """The names of a cell, as far as its equations have been checked.

    Attributes:
        targets: What equations define.
        defined: The labels of the equations so far.
        constants: Named numbers so far.
    """

    targets: frozenset[str]
    defined: set[str] = field(default_factory=set)
    constants: dict[str, Fraction] = field(default_factory=dict)


def check_expressions(cell: Equations) -> dict[str, Fraction]:
    """Raises `CellError` unless all right-hand sides are of the language; gives named numbers."""
    nodes = 0
    names = _Names(targets=frozenset(e.target for e in cell.equations))
    for index, equation in enumerate(cell.equations):
        nodes += _check_expression(cell, index, names)
        if nodes > MAX_NODES:
            raise IllegalEquationError(cell, index, f"more than {MAX_NODES} operations in one cell")
        names.defined.add(equation.label)
    return names.constants


def _check_expression(cell: Equations, index: int, names: _Names) -> int:
    """Raises `CellError` unless the right-hand side is of the language; counts its operations."""
    count = 0
    stack: list[tuple[sp.Expr, int, sp.Expr | None]] = [(cell.equations[index].value, 1, None)]
    while stack:
        node, depth, above = stack.pop()
        count += 1
        reason = ""
        if count > MAX_NODES:
            reason = f"more than {MAX_NODES} operations in one cell"
        elif depth > MAX_DEPTH:
            reason = f"nested deeper than {MAX_DEPTH}"
        elif isinstance(node, Leaf):
            reason = _reason_against_leaf(cell, node, above, names)
        else:
            reason = _reason_against_node(node, above)
        if reason:
            raise IllegalEquationError(cell, index, reason)
        stack.extend((arg, depth + 1, node) for arg in node.args if not _is_minus_one(node, arg))
    return count


def _reason_against_node(node: sp.Expr, above: sp.Expr | None) -> str:
    """Gives the reason why a number or an operation is not of the language; empty if it is."""
    if isinstance(node, sp.Rational):
        return reason_against_number(exact_value(node))
    if type(node) in MAPS:
        if not isinstance(node.args[0], Matrix):
            return "the left of @ must be the name of a weight matrix"
    elif is_reciprocal(node):
        if not (isinstance(above, sp.Mul) and node is above.args[1]):
            return "a reciprocal is written 1 / v"
    elif type(node) in BY_FUNCTION:
        if BY_FUNCTION[type(node)].internal:
            return f"{BY_FUNCTION[type(node)].name!r} is not a function of the language"
    elif type(node) in BY_REDUCTION:
        if is_constant(node.args[0]):
            return f"{BY_REDUCTION[type(node)].name} of a constant"
    elif not (isinstance(node, sp.Add | sp.Mul) and len(node.args) == 2):
        return f"{type(node).__name__} is not an operation of the language"
    if node.args and is_constant(node) and not math.isfinite(_constant(node)):
        return "a constant is not finite (division by zero, or too large)"
    return ""


def _is_minus_one(node: sp.Expr, arg: sp.Expr) -> bool:
    """Says whether an argument is only the exponent of a reciprocal."""
    return is_reciprocal(node) and arg is node.args[1]


def _reason_against_leaf(cell: Equations, node: Leaf, above: sp.Expr | None, names: _Names) -> str:
    """Gives the reason why a leaf may not stand where it stands; empty when it may."""
    if isinstance(node, Const):
        if names.constants.setdefault(node.stem, node.value) != node.value:
            return f"the constant {node.stem!r} has two values"
        return reason_against_number(node.value)
    mapping = above is not None and type(above) in MAPS and node is above.args[0]
    if isinstance(node, Matrix) != mapping:
        return f"{node.name!r}: a matrix, and nothing else, may stand on the left of @"
    name = node.stem
    if isinstance(node, Input):
        legal = name in cell.inputs and node.name == f"{name}[t]"
        which = " or ".join(f"{n}[t]" for n in cell.inputs)
        return "" if legal else f"{node.name}: the input is written {which}"
    if isinstance(node, Previous):
        legal = name in cell.states and node.name == f"{name}[t-1]"
        known = ", ".join(cell.states) or "none"
        return "" if legal else f"{node.name}: {name!r} is not a declared state (states: {known})"
    if isinstance(node, Current | Named):
        if node.name in names.defined:
            return ""
        hint = "move its equation up" if name in names.targets else "there is no such equation"
        return f"{node.name} is used before it is defined; {hint}"
    if not isinstance(node, Vector | Matrix):
        return f"{node.name!r} has no meaning here"
    try:
        check_name(node.name, what="a parameter")
    except CellError as error:
        return str(error)
    if name in names.targets and name not in cell.states and isinstance(node, Vector):
        return f"{name} is used before it is defined; move its equation up"
    if name in names.targets or name in cell.states or name in cell.inputs:
        return f"{name!r} is both a parameter and a variable"
    return ""


def reason_against_number(value: Fraction) -> str:
    """Gives the reason why a number is not of the language; empty if it is."""
    if abs(value) > LARGEST or (value != 0 and abs(value) * LARGEST < 1):
        return f"constant {float(value):g}: a constant lies between 1e-30 and 1e30, or is 0"
    if exact_value(constant(value)) != value:
        return f"constant {value}: it has no short decimal form; write it as a quotient"
    return ""


def _constant(expr: sp.Expr) -> float:
    """Evaluates a constant expression; NaN where it has no value."""
    if isinstance(expr, sp.Rational | Const):
        return float(exact_value(expr))
    values = [_constant(a) for a in expr.args]
    if isinstance(expr, sp.Add):
        return sum(values)
    if isinstance(expr, sp.Mul):
        return values[0] * values[1]
    if isinstance(expr, sp.Pow):
        return 1.0 / values[0] if values[0] else float("nan")
    if type(expr) in BY_REDUCTION:  # which is refused when its turn comes
        return 0.0
    with np.errstate(all="ignore"):
        return float(computed(BY_FUNCTION[type(expr)].name, *(np.asarray(v) for v in values)))
