"""The one-step Jacobian of a cell, in symbols.

Every block ds[t] / ds'[t-1] is a sum of terms, each a product of diagonal matrices D(v) and weight
matrices: `D(f)` for the c of an LSTM, `D(tanh(c[t]) * o * (1 - o)) U_o` for one of the ways from h.
Where one number meets many it is multiplied by `ones`, a column of H, or `ones(R)`; a sum over
units is `ones.T`.
Derivatives of functions come from the table of primitives, those of named forms from their
formulas; named equations keep their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.arithmetic import read_formula
from odyssey.expr.equations import Equations
from odyssey.expr.forms import NAMED_FORMS
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.reductions import REDUCTIONS, UNIT_FORMS
from odyssey.expr.shapes import Shapes, infer_shapes
from odyssey.expr.sizes import ONE, UNITS, format_size, is_matrix
from odyssey.expr.terms import (
    Current,
    Named,
    add,
    apply,
    constant,
    div,
    fold,
    is_constant,
    is_negation,
    mul,
    neg,
    sub,
    term,
)
from odyssey.expr.text import format_expression

MAX_JACOBIAN_TERMS = 500


@dataclass(frozen=True)
class JacobianTerm:
    """A product D(v_0) M_1 D(v_1) M_2 ... D(v_k).

    Attributes:
        diagonals: v_0 to v_k; 1 stands for the identity matrix.
        matrices: M_1 to M_k.
    """

    diagonals: tuple[sp.Expr, ...]
    matrices: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = []
        for place, v in enumerate(self.diagonals):
            if v != 1:
                parts.append(f"D({format_expression(v)})")
            if place < len(self.matrices):
                parts.append(self.matrices[place])
        return " ".join(parts) or "I"


Row = dict[str, tuple[JacobianTerm, ...]]  # state -> terms of the derivative with respect to it


def symbolic_jacobian(cell: Equations) -> dict[tuple[str, str], tuple[JacobianTerm, ...]]:
    """Differentiates one step of a cell with respect to the state before it.

    Args:
        cell: The cell.

    Returns:
        (new, old) -> the terms of d new / d old[t-1], for every state as new, as `h[t]`, and for
        the output where it is no state; every state as old, as `h`. No terms: the block is zero.

    Raises:
        CellError: The cell has no recurrence, or its Jacobian has more than 500 terms.
    """
    if not cell.states or not cell.recurrent:
        raise CellError(f"{cell.name} has no recurrence: it reads no previous state")
    rows: dict[str, Row] = {}
    shapes = infer_shapes(cell)
    if any(map(is_matrix, shapes.states.values())):
        raise CellError(f"{cell.name} has a state that is a matrix: it has no Jacobian to print")
    for equation in cell.equations:
        kind = Current if equation.updates_state else Named
        own = kind(equation.label)
        rows[equation.label] = _derivative(equation.value, rows, own, shapes)
        if sum(map(len, rows[equation.label].values())) > MAX_JACOBIAN_TERMS:
            raise CellError(f"{cell.name}: the Jacobian has more than {MAX_JACOBIAN_TERMS} terms")
    wanted = [f"{s}[t]" for s in cell.states]
    wanted += [] if cell.output in cell.states else [cell.output]
    return {(new, old): rows[new].get(old, ()) for new in wanted for old in cell.states}


def format_jacobian(cell: Equations) -> str:
    """Prints the Jacobian, a block a paragraph and a term a line; raises as above."""
    lines = [f"jacobian of {cell.name}: D(v) is the diagonal matrix of v"]
    for (new, old), terms in symbolic_jacobian(cell).items():
        head = f"d {new} / d {old}[t-1] ="
        indent = " " * (len(head) - 1)
        lines.append("")
        lines.append(f"{head} {terms[0] if terms else 0}")
        lines += [f"{indent}+ {term}" for term in terms[1:]]
    return "\n".join(lines) + "\n"


def _derivative(expr: sp.Expr, rows: Mapping[str, Row], own: sp.Expr, shapes: Shapes) -> Row:
    """Differentiates an expression; `own` is the name of its value."""
    op, args, name = term(expr)
    if op == "previous":
        return {name: (JacobianTerm((sp.Integer(1),)),)}
    if op == "value":
        return rows[name]
    if op in UNIT_FORMS:
        formula = UNIT_FORMS[op].expand(*args, number=constant, apply=apply)
        return _derivative(formula, rows, own, shapes)
    if op in REDUCTIONS:
        name = REDUCTIONS[op].matrix or f"arg{op}({format_expression(args[0])}).T"
    if op in ("matmul", "transposed") or op in REDUCTIONS:
        name += ".T" if op == "transposed" else ""
        inner = _derivative(args[0], rows, args[0], shapes)
        return {s: tuple(_mapped(name, t) for t in terms) for s, terms in inner.items()}
    total: Row = {}
    size = shapes.of(expr)
    for arg, slope in zip(args, _slopes(op, args, own), strict=True):
        if slope == 0 or is_constant(arg):
            continue
        spread = size != ONE and shapes.of(arg) == ONE  # one number meets many
        ones = "ones" if size == UNITS else f"ones({format_size(size)})"
        for s, terms in _derivative(arg, rows, arg, shapes).items():
            spread_terms = (_mapped(ones, t) for t in terms) if spread else terms
            scaled = (
                JacobianTerm((_product(slope, t.diagonals[0]), *t.diagonals[1:]), t.matrices)
                for t in spread_terms
            )
            total[s] = _sum(total.get(s, ()), tuple(scaled))
    return total


def _mapped(matrix: str, term: JacobianTerm) -> JacobianTerm:
    """Multiplies by a matrix from the left."""
    return JacobianTerm((sp.Integer(1), *term.diagonals), (matrix, *term.matrices))


def _slopes(op: str, args: tuple[sp.Expr, ...], own: sp.Expr) -> list[sp.Expr]:
    """Gives the derivative of an operation with respect to each argument, elementwise."""
    one, minus_one = sp.Integer(1), sp.Integer(-1)
    match op:
        case "add":
            return [one, one]
        case "sub":
            return [one, minus_one]
        case "neg":
            return [minus_one]
        case "mul":
            return [args[1], args[0]]
        case "div":
            above, below = args
            return [div(one, below), fold(neg(div(above, mul(below, below))))]
    if op in NAMED_FORMS:
        return _form_slopes(op, args)
    names = {"y": own, **dict(zip("ab", args, strict=False))}
    return [
        fold(read_formula(text, names=names, number=constant, apply=_applied))
        for text in (PRIMITIVES[op].derivative if args else ())
    ]


class _Dual(NamedTuple):
    """A value in the formula of a form, and its derivatives with respect to the arguments."""

    value: sp.Expr
    slopes: tuple[sp.Expr, ...]


def _form_slopes(form: str, args: tuple[sp.Expr, ...]) -> list[sp.Expr]:
    """Differentiates the formula of a form, operation by operation."""
    zero, one = sp.Integer(0), sp.Integer(1)
    places = range(len(args))

    def number(value: Fraction) -> _Dual:
        return _Dual(constant(value), tuple(zero for _ in places))

    def apply_dual(op: str, *duals: _Dual) -> _Dual:
        values = tuple(d.value for d in duals)
        value = _applied(op, *values)
        outer = _slopes(op, values, value)
        slopes = [zero for _ in places]
        for slope, dual in zip(outer, duals, strict=True):
            for k in places:
                if slope != 0 and dual.slopes[k] != 0:
                    slopes[k] = _plus(slopes[k], _product(slope, dual.slopes[k]))
        return _Dual(value, tuple(slopes))

    duals = [
        _Dual(arg, tuple(one if k == j else zero for j in places)) for k, arg in enumerate(args)
    ]
    return list(NAMED_FORMS[form].expand(*duals, number=number, apply=apply_dual).slopes)


def _applied(op: str, *args: sp.Expr) -> sp.Expr:
    if op == "mul" and args[0] == args[1] and args[0].args:
        op, args = "square", args[:1]  # (y + 1) * (y + 1) is read more easily so
    return apply(op, *args)


def _product(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """Multiplies from left to right, the sign in front, so that few parentheses are needed."""
    if is_negation(a):
        return fold(neg(_product(a.args[1], b)))
    op, args, _ = term(b)
    match op:
        case "neg":
            return fold(neg(_product(a, args[0])))
        case "div":
            return div(_product(a, args[0]), args[1])
        case "mul":
            return _product(_product(a, args[0]), args[1])
    return fold(mul(a, b))


def _plus(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    if is_negation(a) and not is_negation(b):
        a, b = b, a
    return fold(sub(a, b.args[1]) if is_negation(b) else add(a, b))


def _sum(old: tuple[JacobianTerm, ...], new: tuple[JacobianTerm, ...]) -> tuple[JacobianTerm, ...]:
    """Joins terms; those with the same matrices that differ in the first diagonal become one."""
    joined = list(old)
    for addend in new:
        for number, other in enumerate(joined):
            alike = other.matrices == addend.matrices
            if alike and other.diagonals[1:] == addend.diagonals[1:]:
                first = _plus(other.diagonals[0], addend.diagonals[0])
                joined[number] = JacobianTerm((first, *addend.diagonals[1:]), addend.matrices)
                break
        else:
            joined.append(addend)
    return tuple(joined)
