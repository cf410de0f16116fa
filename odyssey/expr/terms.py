"""What expressions are made of, and the one walk over them: `term` takes an expression apart.

A primitive is an atomic sympy function: `sigmoid` is never `1/(1 + exp(-x))`, which has NaN
gradients in float32 and makes sympy slow. Sums, products and quotients are sympy's own `Add`,
`Mul` and `Pow(_, -1)`, built unevaluated and binary, so that a cell keeps the form it was written
in. `a @ b` is `matmul(a, b)`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.forms import ALL_FUNCTIONS, BY_FUNCTION
from odyssey.expr.reductions import BY_REDUCTION, OVER_UNITS


class Leaf(sp.Symbol):
    """A named leaf of an expression; its class says what the name stands for."""

    op = ""  # of its `Term`

    @property
    def stem(self) -> str:
        """The name without a time."""
        return str(self.name).partition("[")[0]


class Input(Leaf):
    """An input of this step, printed `x[t]`."""

    op = "input"


class Previous(Leaf):
    """A state after the previous step, printed `h[t-1]`."""

    op = "previous"


class Current(Leaf):
    """A state after this step, printed `h[t]`."""

    op = "value"


class Named(Leaf):
    """The value of a named equation, printed as its name."""

    op = "value"


class Vector(Leaf):
    """A vector parameter, such as a bias or a peephole."""

    op = "vector"


class Matrix(Leaf):
    """A weight matrix; it only occurs on the left of `@`."""

    op = "matrix"


class Const(Leaf):
    """A named number of the cell. Its sympy name holds the value, as in `dt=0.1`."""

    op = "constant"

    @property
    def stem(self) -> str:
        """The name."""
        return str(self.name).partition("=")[0]

    @property
    def value(self) -> Fraction:
        """The number."""
        return Fraction(Decimal(str(self.name).partition("=")[2]))


class matmul(sp.Function):  # noqa: N801 - sympy functions are named as they print
    """A linear map: `matmul(W, v)` is the product of the matrix W and the vector v."""

    nargs = 2


class transposed(sp.Function):  # noqa: N801 - sympy functions are named as they print
    """The map by a transposed matrix: `transposed(W, v)`, written `W.T @ v`."""

    nargs = 2


MAPS: dict[type, str] = {matmul: "matmul", transposed: "transposed"}
"""Linear maps, by the name of their operation."""


class Term(NamedTuple):
    """What an expression is at its top, as it is written: `a - b`, not `a + -1 * b`.

    Attributes:
        op: input, previous (a state), value (of an equation), vector, constant; matmul,
            transposed; add, sub, mul, div, neg; or the name of a function, elementwise or over
            units.
        args: The operands; of a linear map its vector alone.
        name: Of a leaf without its time, of a value its label, of a linear map its matrix.
    """

    op: str
    args: tuple[sp.Expr, ...] = ()
    name: str = ""


@lru_cache(maxsize=4096)
def term(expr: sp.Expr) -> Term:
    """Takes an expression apart; kept, for cells made from one another share most of theirs.

    Raises:
        CellError: It is not of the language.
    """
    if isinstance(expr, Leaf):
        return Term(expr.op, (), expr.name if expr.op == "value" else expr.stem)
    if isinstance(expr, sp.Rational):
        return Term("constant")
    if type(expr) in MAPS:
        return Term(MAPS[type(expr)], expr.args[1:], expr.args[0].name)
    if is_negation(expr):
        return Term("neg", expr.args[1:])
    if isinstance(expr, sp.Add):
        left, right = expr.args
        return Term("sub", (left, right.args[1])) if is_negation(right) else Term("add", expr.args)
    if isinstance(expr, sp.Mul):
        left, right = expr.args
        if is_reciprocal(right):
            return Term("div", (left, right.args[0]))
        return Term("mul", expr.args)
    if type(expr) in BY_FUNCTION:
        return Term(BY_FUNCTION[type(expr)].name, expr.args)
    if type(expr) in BY_REDUCTION:
        return Term(BY_REDUCTION[type(expr)].name, expr.args)
    raise CellError(f"{type(expr).__name__} is not an operation of the language: {expr}")


def exact_value(number: sp.Expr) -> Fraction:
    """Gives the value of a constant, with or without a name."""
    if isinstance(number, Const):
        return number.value
    return Fraction(int(number.p), int(number.q))


def format_number(value: float) -> str:
    """Prints a number so that it reads back the same, integers without a point."""
    return (
        str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
    )


def constant(value: Fraction) -> sp.Rational:
    """Builds a constant: integers as they are, others as the decimal number that Python prints."""
    exact = value if value.denominator == 1 else Fraction(Decimal(repr(float(value))))
    return sp.Rational(exact.numerator, exact.denominator)


def const(name: str, value: sp.Rational) -> Const:
    """Builds a named number."""
    exact = exact_value(value)
    return Const(f"{name}={exact if exact.denominator == 1 else repr(float(exact))}")


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


_BUILDERS: dict[str, Callable[..., sp.Expr]] = {
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "neg": neg,
}


def apply(op: str, *args: sp.Expr) -> sp.Expr:
    """Builds an operation of arithmetic, or a function, by its name."""
    if op in _BUILDERS:
        return _BUILDERS[op](*args)
    return (OVER_UNITS.get(op) or ALL_FUNCTIONS[op]).function(*args)


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


@lru_cache(maxsize=4096)
def subexpressions(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """Lists an expression and all that is in it, from the top down."""
    found: list[sp.Expr] = []
    todo = [expr]
    while todo:  # sympy's own traversal, a generator in a generator for every level, is slow
        node = todo.pop()
        found.append(node)
        todo.extend(node.args[::-1])
    return tuple(found)


def is_constant(expr: sp.Expr) -> bool:
    """Says whether an expression is a number; looks no further than the first other leaf."""
    if expr.args:
        return all(is_constant(a) for a in expr.args)
    return not isinstance(expr, Leaf) or isinstance(expr, Const)


@lru_cache(maxsize=4096)
def leaves(expr: sp.Expr, kind: type[Leaf] = Leaf) -> frozenset[sp.Expr]:
    """Gives the leaves of one kind in an expression."""
    return frozenset(node for node in subexpressions(expr) if isinstance(node, kind))
