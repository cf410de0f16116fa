"""The one-step Jacobian of a cell, in symbols.

Every block ds[t] / ds'[t-1] is a sum of terms, each a product of diagonal matrices D(v) and weight
matrices: `D(f)` for the c of an LSTM, `D(tanh(c[t]) * o * (1 - o)) U_o` for one of the ways from h.
Derivatives of functions come from the table of primitives; named equations keep their names.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.cell import Cell
from odyssey.expr.primitives import BY_FUNCTION, PRIMITIVES
from odyssey.expr.terms import (
    Current,
    Leaf,
    Named,
    Previous,
    add,
    constant,
    div,
    fold,
    is_negation,
    is_reciprocal,
    matmul,
    mul,
    neg,
    sub,
)
from odyssey.expr.text import format_expression

MAX_TERMS = 500


@dataclass(frozen=True)
class Term:
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


Row = dict[str, tuple[Term, ...]]  # state -> terms of the derivative with respect to it


def symbolic_jacobian(cell: Cell) -> dict[tuple[str, str], tuple[Term, ...]]:
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
    for equation in cell.equations:
        kind = Current if equation.updates_state else Named
        rows[equation.label] = _derivative(equation.value, rows, kind(equation.label))
        if sum(map(len, rows[equation.label].values())) > MAX_TERMS:
            raise CellError(f"{cell.name}: the Jacobian has more than {MAX_TERMS} terms")
    wanted = [f"{s}[t]" for s in cell.states]
    wanted += [] if cell.output in cell.states else [cell.output]
    return {(new, old): rows[new].get(old, ()) for new in wanted for old in cell.states}


def format_jacobian(cell: Cell) -> str:
    """Prints the Jacobian, a block a paragraph and a term a line; raises as above."""
    lines = [f"jacobian of {cell.name}: D(v) is the diagonal matrix of v"]
    for (new, old), terms in symbolic_jacobian(cell).items():
        head = f"d {new} / d {old}[t-1] ="
        indent = " " * (len(head) - 1)
        lines.append("")
        lines.append(f"{head} {terms[0] if terms else 0}")
        lines += [f"{indent}+ {term}" for term in terms[1:]]
    return "\n".join(lines) + "\n"


def _derivative(expr: sp.Expr, rows: Mapping[str, Row], own: Leaf) -> Row:
    """Differentiates an expression; `own` is the name of its value."""
    if isinstance(expr, Previous):
        return {expr.name.removesuffix("[t-1]"): (Term((sp.Integer(1),)),)}
    if isinstance(expr, Named | Current):
        return rows[expr.name]
    if not expr.args:
        return {}
    if isinstance(expr, matmul):
        inner = _derivative(expr.args[1], rows, expr.args[1])
        return {
            s: tuple(
                Term((sp.Integer(1), *t.diagonals), (expr.args[0].name, *t.matrices)) for t in terms
            )
            for s, terms in inner.items()
        }
    total: Row = {}
    args = expr.args
    if isinstance(expr, sp.Mul) and is_reciprocal(args[1]):
        args = (args[0], args[1].args[0])  # a quotient is one operation
    for arg, slope in zip(args, _slopes(expr, own), strict=True):
        if slope == 0 or isinstance(arg, sp.Rational):
            continue
        for s, terms in _derivative(arg, rows, arg).items():
            scaled = (
                Term((_product(slope, t.diagonals[0]), *t.diagonals[1:]), t.matrices) for t in terms
            )
            total[s] = _sum(total.get(s, ()), tuple(scaled))
    return total


def _slopes(expr: sp.Expr, own: sp.Expr) -> list[sp.Expr]:
    """Gives the derivative with respect to each argument, elementwise."""
    if isinstance(expr, sp.Add):
        return [sp.Integer(1), sp.Integer(1)]
    if isinstance(expr, sp.Mul) and is_reciprocal(expr.args[1]):
        above, below = expr.args[0], expr.args[1].args[0]
        return [div(sp.Integer(1), below), fold(neg(div(above, mul(below, below))))]
    if isinstance(expr, sp.Mul):
        return [expr.args[1], expr.args[0]]
    names = {"y": own, "a": expr.args[0], "b": expr.args[-1]}
    return [fold(_read(text, names)) for text in BY_FUNCTION[type(expr)].derivative]


def _read(text: str, names: Mapping[str, sp.Expr]) -> sp.Expr:
    """Reads a derivative of the table of primitives."""
    operators = {ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: div}

    def walk(tree: ast.expr) -> sp.Expr:
        match tree:
            case ast.Constant(value=float() | int() as value):
                return constant(Fraction(str(value)))
            case ast.Name(id=name):
                return names[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return neg(walk(operand))
            case ast.BinOp(left=left, op=op, right=right):
                a, b = walk(left), walk(right)
                if isinstance(op, ast.Mult) and a == b and a.args:
                    return PRIMITIVES["square"].function(a)
                return operators[type(op)](a, b)
            case ast.Call(func=ast.Name(id=name), args=args):
                return PRIMITIVES[name].function(*(walk(a) for a in args))
        raise AssertionError(f"cannot read the derivative {text!r}")

    return walk(ast.parse(text, mode="eval").body)


def _product(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """Multiplies from left to right, the sign in front, so that few parentheses are needed."""
    if is_negation(a):
        return fold(neg(_product(a.args[1], b)))
    if is_negation(b):
        return fold(neg(_product(a, b.args[1])))
    if isinstance(b, sp.Mul) and is_reciprocal(b.args[1]):
        return div(_product(a, b.args[0]), b.args[1].args[0])
    if isinstance(b, sp.Mul):
        return _product(_product(a, b.args[0]), b.args[1])
    return fold(mul(a, b))


def _plus(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    if is_negation(a) and not is_negation(b):
        a, b = b, a
    return fold(sub(a, b.args[1]) if is_negation(b) else add(a, b))


def _sum(old: tuple[Term, ...], new: tuple[Term, ...]) -> tuple[Term, ...]:
    """Joins terms; those with the same matrices that differ in the first diagonal become one."""
    found = list(old)
    for term in new:
        for place, other in enumerate(found):
            alike = other.matrices == term.matrices
            if alike and other.diagonals[1:] == term.diagonals[1:]:
                first = _plus(other.diagonals[0], term.diagonals[0])
                found[place] = Term((first, *term.diagonals[1:]), term.matrices)
                break
        else:
            found.append(term)
    return tuple(found)
