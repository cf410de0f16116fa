"""The closed table of primitives, one complete row each, and the arithmetic of the language.

A primitive is an atomic sympy function: `sigmoid` is never `1/(1 + exp(-x))`, which has NaN
gradients in float32 and makes sympy slow. Everything that any room needs to know of a primitive
stands in its row: how to compute it in NumPy, torch, C, intervals and any precision, its
derivative, how it is printed, and what algebra may do with it. A row may leave `c` empty: the
native backend then says that it cannot run the cell, and `auto` takes eager.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import sympy as sp

Value = TypeVar("Value")
Array = np.ndarray[Any, np.dtype[np.float64]]
Interval = tuple[float, float]

ANYTHING: Interval = (-math.inf, math.inf)
LEAKY_SLOPE = 0.01  # of leaky_relu for negative arguments, torch's default


@dataclass(frozen=True)
class Operator:
    """An operation of arithmetic.

    Attributes:
        symbol: As Python and C write it.
        apply: The operation on numbers, arrays and tensors of any kind.
        arity: Number of operands.
    """

    symbol: str
    apply: Callable[..., Any]
    arity: int = 2


ARITHMETIC: dict[str, Operator] = {
    "add": Operator("+", operator.add),
    "sub": Operator("-", operator.sub),
    "mul": Operator("*", operator.mul),
    "div": Operator("/", operator.truediv),
    "neg": Operator("-", operator.neg, arity=1),
}


# As the language and derivatives, both read as Python, write them.
BY_SYNTAX: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
}


def read_formula(
    text: str,
    *,
    names: Mapping[str, Value],
    number: Callable[[Fraction], Value],
    apply: Callable[..., Value],
) -> Value:
    """Reads a formula of the table: a derivative, or what a primitive is the same as.

    Args:
        text: Numbers, names, arithmetic and calls of primitives, in Python's grammar.
        names: What the names stand for.
        number: Makes a constant.
        apply: Applies an operation, given its name and its operands.
    """

    def walk(tree: ast.expr) -> Value:
        match tree:
            case ast.Constant(value=float() | int() as value):
                return number(Fraction(str(value)))
            case ast.Name(id=name):
                return names[name]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return apply("neg", walk(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return apply(BY_SYNTAX[type(op)], walk(left), walk(right))
            case ast.Call(func=ast.Name(id=name), args=args):
                return apply(name, *map(walk, args))
        raise AssertionError(f"cannot read the formula {text!r}")

    return walk(ast.parse(text, mode="eval").body)


def _nowhere(value: Fraction) -> Fraction | None:
    del value
    return None


def _at_zero(result: Fraction | int) -> Callable[[Fraction], Fraction | None]:
    return lambda value: Fraction(result) if value == 0 else None


_ZERO_AT_ZERO = _at_zero(0)


@dataclass(frozen=True, kw_only=True)
class Primitive:
    """One row of the table of primitives.

    Attributes:
        name: Name in cell text.
        numpy: The function on float64 arrays.
        mpmath: The function on numbers of any precision, given mpmath's context.
        torch: The function in torch, by dotted name, or an expression in `{0}`, `{1}`.
        c: The function in C on vectors of the argument `x`, or of `a` and `b`: an expression, or
            the lines of a body. It may call other primitives, as `vexp(x)`, and the blocks of
            `native/source/functions.py`. Empty where there is none.
        interval: Bounds of the value from bounds of the arguments, never too narrow.
        exact: The value at a rational argument where that is rational, else None.
        derivative: For each argument the derivative: a formula of `y`, the output, and `a`, `b`,
            the arguments. At kinks `step(0) = sign(0) = 0` decides.
        latex: LaTeX with `{0}`, `{1}` for the arguments.
        html: Name in HTML; empty for `name`.
        parity: 1 where f(-a) = f(a); -1 where f(-a) = 2 f(0) - f(a), as in odd functions and
            sigmoid; else 0.
        same_as: A formula of `a`, `b` that is the same function by algebra, or empty.
        cheap: Whether it costs less to compute it twice than to store it.
        share: How often random cells use it, relative to the others.
        internal: Occurs in derivatives only; cell text may not use it.
    """

    name: str
    numpy: Callable[..., Array]
    mpmath: Callable[..., Any]
    torch: str
    c: str = ""
    interval: Callable[..., Interval]
    exact: Callable[[Fraction], Fraction | None] = _ZERO_AT_ZERO
    derivative: tuple[str, ...]
    latex: str
    html: str = ""
    parity: int = 0
    same_as: str = ""
    cheap: bool = False
    share: float = 0.0
    internal: bool = False

    @cached_property
    def function(self) -> type[sp.Function]:
        """The atomic sympy function."""
        return type(self.name, (sp.Function,), {"nargs": self.arity, "__module__": __name__})

    @property
    def arity(self) -> int:
        """Number of arguments."""
        return len(self.derivative)

    @property
    def at_zero(self) -> Fraction | None:
        """The exact value at zero, or None where there is none."""
        return self.exact(Fraction(0))


def _sigmoid(a: Array) -> Array:
    positive = a >= 0
    e = np.exp(np.where(positive, -a, a))
    return np.where(positive, 1.0 / (1.0 + e), e / (1.0 + e))


def _increasing(function: Callable[[float], float]) -> Callable[[Interval], Interval]:
    return lambda a: (function(a[0]), function(a[1]))


def _around_zero(function: Callable[[float], float]) -> Callable[[Interval], Interval]:
    """Bounds an even function that grows with the size of its argument, from 0 at 0."""

    def interval(a: Interval) -> Interval:
        ends = [function(a[0]), function(a[1])]
        return (0.0 if a[0] <= 0 <= a[1] else min(ends)), max(ends)

    return interval


_ROWS = (
    Primitive(
        name="sigmoid",
        numpy=_sigmoid,
        mpmath=lambda m, a: 1 / (1 + m.exp(-a)),
        torch="torch.sigmoid",
        c="""\
  const vec y = at_most(splat(LARGE), at_least(splat(-LARGE), x));
  ivec n;
  const vec p = reduced(y, -LOG2E, &n) + 1;
  return 1 / (p * power_of_two(n) + 1);
""",
        interval=_increasing(lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0),
        exact=_at_zero(Fraction(1, 2)),
        derivative=("y * (1 - y)",),
        latex=r"\sigma({0})",
        html="σ",
        parity=-1,
        share=0.3,
    ),
    Primitive(
        name="tanh",
        numpy=np.tanh,
        mpmath=lambda m, a: m.tanh(a),
        torch="torch.tanh",
        c="""\
  const vec y = at_most(splat(20), at_least(splat(-20), x));
  ivec n;
  const vec p = reduced(y, 2 * LOG2E, &n);
  const vec scale = power_of_two(n);
  const vec m = p * scale + (scale - 1); /* exp(2x) - 1 */
  return m / (m + 2);
""",
        interval=_increasing(math.tanh),
        derivative=("1 - y * y",),
        latex=r"\tanh({0})",
        parity=-1,
        share=0.35,
    ),
    Primitive(
        name="relu",
        numpy=lambda a: np.maximum(a, 0.0),
        mpmath=lambda m, a: max(a, m.zero),
        torch="torch.relu",
        c="pick(x <= 0, splat(0), x)",
        interval=_increasing(lambda v: max(v, 0.0)),
        exact=lambda v: max(v, Fraction(0)),
        derivative=("step(a)",),
        latex=r"\operatorname{{relu}}({0})",
        cheap=True,
        share=0.12,
    ),
    Primitive(
        name="identity",
        numpy=lambda a: a,
        mpmath=lambda m, a: a,
        torch="{0}",
        c="x",
        interval=lambda a: a,
        derivative=("1",),
        latex=r"\operatorname{{id}}({0})",
        parity=-1,
        same_as="a",
    ),
    Primitive(
        name="exp",
        numpy=np.exp,
        mpmath=lambda m, a: m.exp(a),
        torch="torch.exp",
        c="""\
  x = at_most(splat(HIGHEST), at_least(splat(LOWEST), x));
  const vec rounded = x * LOG2E + TO_POWER, whole = rounded - TO_POWER;
  const vec p = exp2m1(((x - whole * LN2_HIGH) - whole * LN2_LOW) * LOG2E) + 1;
  /* in two factors, for 2^n may be out of range where exp(x) is not */
  const ivec n = (ivec)rounded, half = (n - TO_POWER_BITS) >> 1;
  return p * power_of_two(half + BIAS) * power_of_two(n - half);
""",
        interval=_increasing(lambda v: math.exp(v) if v < 700 else math.inf),
        exact=_at_zero(1),
        derivative=("y",),
        latex=r"\exp({0})",
    ),
    Primitive(
        name="softplus",
        numpy=lambda a: np.logaddexp(a, 0.0),
        mpmath=lambda m, a: max(a, m.zero) + m.log1p(m.exp(-abs(a))),
        torch="torch.nn.functional.softplus",
        c="""\
  const vec e = vexp(-vabs(x));
  const vec s = e / (e + 2), q = s * s;
  {artanh}
  return pick((x > 0) | (x != x), x, splat(0)) + 2 * s * p;
""",
        interval=_increasing(lambda v: math.log1p(math.exp(v)) if v < 700 else v),
        exact=_nowhere,
        derivative=("sigmoid(a)",),
        latex=r"\operatorname{{softplus}}({0})",
        share=0.05,
    ),
    Primitive(
        name="sin",
        numpy=np.sin,
        mpmath=lambda m, a: m.sin(a),
        torch="torch.sin",
        c="turned(x, 0)",
        interval=lambda a: (-1.0, 1.0),
        derivative=("cos(a)",),
        latex=r"\sin({0})",
        parity=-1,
        share=0.05,
    ),
    Primitive(
        name="abs",
        numpy=np.abs,
        mpmath=lambda m, a: abs(a),
        torch="torch.abs",
        c="(vec)((ivec)x & ~SIGN)",
        interval=_around_zero(abs),
        exact=abs,
        derivative=("sign(a)",),
        latex=r"\left|{0}\right|",
        parity=1,
        cheap=True,
        share=0.05,
    ),
    Primitive(
        name="square",
        numpy=np.square,
        mpmath=lambda m, a: a * a,
        torch="torch.square",
        c="x * x",
        interval=_around_zero(lambda v: v * v),
        derivative=("2 * a",),
        latex=r"({0})^2",
        parity=1,
        same_as="a * a",
        cheap=True,
        share=0.03,
    ),
    Primitive(
        name="leaky_relu",
        numpy=lambda a: np.where(a > 0, a, LEAKY_SLOPE * a),
        mpmath=lambda m, a: a if a > 0 else a * m.mpf(str(LEAKY_SLOPE)),
        torch="torch.nn.functional.leaky_relu",
        c=f"pick(x > 0, x, x * (real){LEAKY_SLOPE})",
        interval=_increasing(lambda v: v if v > 0 else LEAKY_SLOPE * v),
        exact=lambda v: v if v > 0 else v * Fraction(str(LEAKY_SLOPE)),
        derivative=("0.01 + 0.99 * step(a)",),
        latex=r"\operatorname{{lrelu}}({0})",
        cheap=True,
        share=0.05,
    ),
    Primitive(
        name="minimum",
        numpy=np.minimum,
        mpmath=lambda m, a, b: min(a, b),
        torch="torch.minimum",
        c="pick((a < b) | (a != a), a, b)",
        interval=lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
        derivative=("step(b - a)", "1 - step(b - a)"),
        latex=r"\min({0}, {1})",
        same_as="-maximum(-a, -b)",
        cheap=True,
    ),
    Primitive(
        name="maximum",
        numpy=np.maximum,
        mpmath=lambda m, a, b: max(a, b),
        torch="torch.maximum",
        c="pick((a > b) | (a != a), a, b)",
        interval=lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
        derivative=("step(a - b)", "1 - step(a - b)"),
        latex=r"\max({0}, {1})",
        cheap=True,
    ),
    Primitive(
        name="cos",
        numpy=np.cos,
        mpmath=lambda m, a: m.cos(a),
        torch="torch.cos",
        c="turned(x, 1)",
        interval=lambda a: (-1.0, 1.0),
        exact=_at_zero(1),
        derivative=("-sin(a)",),
        latex=r"\cos({0})",
        parity=1,
        internal=True,
    ),
    Primitive(
        name="step",
        numpy=lambda a: np.where(a > 0, 1.0, 0.0),
        mpmath=lambda m, a: m.mpf(a > 0),
        torch="({0} > 0).to({0}.dtype)",
        c="pick(x > 0, splat(1), splat(0))",
        interval=lambda a: (0.0, 1.0),
        derivative=("0 * a",),
        latex=r"\mathbb{{1}}[{0} > 0]",
        cheap=True,
        internal=True,
    ),
    Primitive(
        name="sign",
        numpy=np.sign,
        mpmath=lambda m, a: m.sign(a),
        torch="torch.sign",
        c="pick(x > 0, splat(1), pick(x < 0, splat(-1), splat(0)))",
        interval=lambda a: (-1.0, 1.0),
        derivative=("0 * a",),
        latex=r"\operatorname{{sign}}({0})",
        parity=-1,
        cheap=True,
        internal=True,
    ),
)

PRIMITIVES: dict[str, Primitive] = {row.name: row for row in _ROWS}
BY_FUNCTION: dict[type, Primitive] = {row.function: row for row in _ROWS}
LANGUAGE: dict[str, Primitive] = {row.name: row for row in _ROWS if not row.internal}

sigmoid = PRIMITIVES["sigmoid"].function
