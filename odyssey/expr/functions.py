"""The closed table of primitives, and the leaves that expressions are made of.

A primitive is an atomic sympy function: `sigmoid` is never `1/(1 + exp(-x))`, which has NaN
gradients in float32 and makes sympy slow. Sums, products and quotients are sympy's own `Add`,
`Mul` and `Pow(_, -1)`, built unevaluated and binary, so that a cell keeps the form it was written
in. `a @ b` is `matmul(a, b)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp

Array = np.ndarray[Any, np.dtype[np.float64]]


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


@dataclass(frozen=True)
class Primitive:
    """One row of the table of primitives.

    Attributes:
        name: Name in cell text.
        arity: Number of arguments.
        function: The atomic sympy function.
        numpy: The function on float64 arrays.
        mpmath: The function on numbers of any precision, given mpmath's context.
        torch: The function in torch, by dotted name, or an expression in `{0}`, `{1}`.
        derivative: For each argument the derivative, written in cell text with `y` for the
            output and `a`, `b` for the arguments. At kinks `step(0) = sign(0) = 0` decides.
        latex: LaTeX with `{0}`, `{1}` for the arguments.
        parity: -1 for odd functions, 1 for even ones, 0 for neither.
        at_zero: Exact value at zero arguments, or None where there is none.
        internal: Occurs in derivatives only; cell text may not use it.
    """

    name: str
    arity: int
    function: type[sp.Function]
    numpy: Callable[..., Array]
    mpmath: Callable[..., Any]
    torch: str
    derivative: tuple[str, ...]
    latex: str
    parity: int = 0
    at_zero: Fraction | None = None
    internal: bool = False


def _sigmoid(a: Array) -> Array:
    positive = a >= 0
    e = np.exp(np.where(positive, -a, a))
    return np.where(positive, 1.0 / (1.0 + e), e / (1.0 + e))


def _row(
    name: str,
    numpy: Callable[..., Array],
    mpmath: Callable[..., Any],
    torch: str,
    derivative: tuple[str, ...],
    latex: str,
    *,
    parity: int = 0,
    at_zero: Fraction | int | None = 0,
    internal: bool = False,
) -> Primitive:
    function = type(name, (sp.Function,), {"nargs": len(derivative), "__module__": __name__})
    zero = None if at_zero is None else Fraction(at_zero)
    return Primitive(
        name=name,
        arity=len(derivative),
        function=function,
        numpy=numpy,
        mpmath=mpmath,
        torch=torch,
        derivative=derivative,
        latex=latex,
        parity=parity,
        at_zero=zero,
        internal=internal,
    )


LEAKY_SLOPE = 0.01  # of leaky_relu for negative arguments, torch's default

_ROWS = (
    _row(
        "sigmoid",
        _sigmoid,
        lambda m, a: 1 / (1 + m.exp(-a)),
        "torch.sigmoid",
        ("y * (1 - y)",),
        r"\sigma({0})",
        at_zero=Fraction(1, 2),
    ),
    _row(
        "tanh",
        np.tanh,
        lambda m, a: m.tanh(a),
        "torch.tanh",
        ("1 - y * y",),
        r"\tanh({0})",
        parity=-1,
    ),
    _row(
        "relu",
        lambda a: np.maximum(a, 0.0),
        lambda m, a: max(a, m.zero),
        "torch.relu",
        ("step(a)",),
        r"\operatorname{{relu}}({0})",
    ),
    _row(
        "identity",
        lambda a: a,
        lambda m, a: a,
        "{0}",
        ("1",),
        r"\operatorname{{id}}({0})",
        parity=-1,
    ),
    _row("exp", np.exp, lambda m, a: m.exp(a), "torch.exp", ("y",), r"\exp({0})", at_zero=1),
    _row(
        "softplus",
        lambda a: np.logaddexp(a, 0.0),
        lambda m, a: max(a, m.zero) + m.log1p(m.exp(-abs(a))),
        "torch.nn.functional.softplus",
        ("sigmoid(a)",),
        r"\operatorname{{softplus}}({0})",
        at_zero=None,
    ),
    _row("sin", np.sin, lambda m, a: m.sin(a), "torch.sin", ("cos(a)",), r"\sin({0})", parity=-1),
    _row(
        "abs", np.abs, lambda m, a: abs(a), "torch.abs", ("sign(a)",), r"\left|{0}\right|", parity=1
    ),
    _row("square", np.square, lambda m, a: a * a, "torch.square", ("2 * a",), r"({0})^2", parity=1),
    _row(
        "leaky_relu",
        lambda a: np.where(a > 0, a, LEAKY_SLOPE * a),
        lambda m, a: a if a > 0 else a * m.mpf(str(LEAKY_SLOPE)),
        "torch.nn.functional.leaky_relu",
        ("0.01 + 0.99 * step(a)",),
        r"\operatorname{{lrelu}}({0})",
    ),
    _row(
        "minimum",
        np.minimum,
        lambda m, a, b: min(a, b),
        "torch.minimum",
        ("step(b - a)", "1 - step(b - a)"),
        r"\min({0}, {1})",
    ),
    _row(
        "maximum",
        np.maximum,
        lambda m, a, b: max(a, b),
        "torch.maximum",
        ("step(a - b)", "1 - step(a - b)"),
        r"\max({0}, {1})",
    ),
    _row(
        "cos",
        np.cos,
        lambda m, a: m.cos(a),
        "torch.cos",
        ("-sin(a)",),
        r"\cos({0})",
        parity=1,
        at_zero=1,
        internal=True,
    ),
    _row(
        "step",
        lambda a: np.where(a > 0, 1.0, 0.0),
        lambda m, a: m.mpf(a > 0),
        "({0} > 0).to({0}.dtype)",
        ("0 * a",),
        r"\mathbb{{1}}[{0} > 0]",
        internal=True,
    ),
    _row(
        "sign",
        np.sign,
        lambda m, a: m.sign(a),
        "torch.sign",
        ("0 * a",),
        r"\operatorname{{sign}}({0})",
        parity=-1,
        internal=True,
    ),
)

PRIMITIVES: dict[str, Primitive] = {row.name: row for row in _ROWS}
BY_FUNCTION: dict[type, Primitive] = {row.function: row for row in _ROWS}

sigmoid = PRIMITIVES["sigmoid"].function


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
