"""The closed table of primitives, and the leaves that expressions are made of.

A primitive is an atomic sympy function: `sigmoid` is never `1/(1 + exp(-x))`, which has NaN
gradients in float32 and makes sympy slow. Sums, products and quotients are sympy's own `Add`,
`Mul` and `Pow(_, -1)`, built unevaluated and binary, so that a cell keeps the form it was written
in. `a @ b` is `matmul(a, b)`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import sympy as sp


class Leaf(sp.Symbol):
    """A named leaf of an expression; its class says what the name stands for."""


class Input(Leaf):
    """The input of this step, printed `x[t]`."""


class Previous(Leaf):
    """A state after the previous step, printed `h[t-1]`."""


class Current(Leaf):
    """A state after this step, printed `h[t]`."""


class Named(Leaf):
    """The value of a named equation, printed as its name."""


class Vector(Leaf):
    """A vector parameter, such as a bias or a peephole."""


class Matrix(Leaf):
    """A weight matrix; it only occurs on the left of `@`."""


class matmul(sp.Function):  # noqa: N801 - sympy functions are named as they print
    """A linear map: `matmul(W, v)` is the product of the matrix W and the vector v."""

    nargs = 2


def constant(value: Fraction) -> sp.Rational:
    """Builds a constant: integers as they are, others as the decimal number that Python prints."""
    exact = value if value.denominator == 1 else Fraction(Decimal(repr(float(value))))
    return sp.Rational(exact.numerator, exact.denominator)


def add(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """Builds `a + b` as written."""
    return sp.Add(a, b, evaluate=False)


def mul(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """Builds `a * b` as written."""
    return sp.Mul(a, b, evaluate=False)


def neg(a: sp.Expr) -> sp.Expr:
    """Builds `-a`."""
    return -a if a.is_Rational else mul(sp.Integer(-1), a)


def sub(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """Builds `a - b`, which is `a + (-1) * b`, or `a + -2` for a constant."""
    if b.is_Rational:
        return add(a, -b)
    return add(a, mul(sp.Integer(-1), b))


def div(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """Builds `a / b`, which is `a * b**-1`."""
    return mul(a, sp.Pow(b, sp.Integer(-1), evaluate=False))


def is_negation(expr: sp.Expr) -> bool:
    """Says whether the expression is `-1 * b`, as `neg` builds it."""
    if not (isinstance(expr, sp.Mul) and len(expr.args) == 2):
        return False
    first, second = expr.args
    return first == sp.S.NegativeOne and not (second.is_Rational or is_reciprocal(second))


def is_reciprocal(expr: sp.Expr) -> bool:
    """Says whether the expression is `b**-1`."""
    return isinstance(expr, sp.Pow) and expr.args[1] == sp.S.NegativeOne


def rebuild(expr: sp.Expr, args: tuple[sp.Expr, ...]) -> sp.Expr:
    """Builds the same operation on other arguments, unevaluated."""
    if isinstance(expr, sp.Add | sp.Mul | sp.Pow):
        return type(expr)(*args, evaluate=False)
    return expr.func(*args)


def replace(expr: sp.Expr, change: Callable[[sp.Expr], sp.Expr | None]) -> sp.Expr:
    """Rewrites an expression from the top: where `change` gives an expression, that is taken.

    Args:
        expr: The expression.
        change: Gives the replacement of a subexpression, or None to look inside it.
    """
    found = change(expr)
    if found is not None:
        return found
    if not expr.args:
        return expr
    args = tuple(replace(a, change) for a in expr.args)
    return expr if args == expr.args else rebuild(expr, args)


def fold(expr: sp.Expr) -> sp.Expr:
    """Folds the zeros and ones an ablation leaves: `1 * a -> a`, `0 * a -> 0`, `a + 0 -> a`."""
    if not expr.args:
        return expr
    args = tuple(fold(a) for a in expr.args)
    if isinstance(expr, sp.Add | sp.Mul) and all(a.is_Rational for a in args):
        value = type(expr)(*args)
        return constant(Fraction(int(value.p), int(value.q)))
    if isinstance(expr, sp.Mul):
        if any(a == 0 for a in args):
            return sp.Integer(0)  # 0 * a -> 0
        if is_reciprocal(args[1]):
            if args[1].args[0] == 1:
                return args[0]  # a / 1 -> a
        else:
            args = tuple(a for a in args if a != 1)  # 1 * a -> a
    elif isinstance(expr, sp.Add):
        args = tuple(a for a in args if a != 0)  # a + 0 -> a
    if isinstance(expr, sp.Add | sp.Mul) and len(args) == 1:
        return args[0]
    if is_negation(expr) and len(args) == 2 and is_negation(args[1]):
        return args[1].args[1]  # -(-a) -> a
    return expr if args == expr.args else rebuild(expr, args)


def subexpressions(expr: sp.Expr) -> list[sp.Expr]:
    """Lists an expression and all that is in it, from the top down."""
    found: list[sp.Expr] = []
    todo = [expr]
    while todo:  # sympy's own traversal, a generator in a generator for every level, is slow
        node = todo.pop()
        found.append(node)
        todo.extend(node.args[::-1])
    return found


def is_constant(expr: sp.Expr) -> bool:
    """Says whether there is no leaf in an expression; looks no further than the first one."""
    if expr.args:
        return all(is_constant(a) for a in expr.args)
    return not isinstance(expr, Leaf)


def leaves(expr: sp.Expr, kind: type[Leaf] = Leaf) -> set[sp.Expr]:
    """Gives the leaves of one kind in an expression."""
    return {node for node in subexpressions(expr) if isinstance(node, kind)}
