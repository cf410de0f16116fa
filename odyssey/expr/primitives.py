"""The closed table of primitives, one complete row each.

Functions that a formula in others defines, such as `silu`, are rows of `forms.py`.

A primitive is an atomic sympy function: `sigmoid` is never `1/(1 + exp(-x))`, which has NaN
gradients in float32 and makes sympy slow. Everything that any room needs to know of a primitive
stands in its row: how to compute it in NumPy, torch, C, intervals and any precision, its
derivative, how it is printed, and what algebra may do with it. A row may leave `c` empty: the
native backend then says that it cannot run the cell, and `auto` takes eager.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
import sympy as sp

from odyssey.registry import Registry, of_type

Array = np.ndarray[Any, np.dtype[np.float64]]
Interval = tuple[float, float]

ANYTHING: Interval = (-math.inf, math.inf)
FLAT = "0 * a"  # the derivative of what has none but zero
LEAKY_SLOPE = 0.01  # of leaky_relu for negative arguments, torch's default


def _nowhere(value: Fraction) -> Fraction | None:
    del value
    return None


def _at_zero(result: Fraction | int) -> Callable[[Fraction], Fraction | None]:
    return lambda value: Fraction(result) if value == 0 else None


_ZERO_AT_ZERO = _at_zero(0)


@dataclass(frozen=True, kw_only=True)
class Function:
    """What every row has, of this table and of the one of named forms.

    Attributes:
        name: Name in cell text.
        interval: Bounds of the value from bounds of the arguments, never too narrow.
        latex: LaTeX with `{0}`, `{1}` for the arguments.
        html: Name in HTML; empty for `name`.
        parity: 1 where f(-a) = f(a); -1 where f(-a) = 2 f(0) - f(a), as in odd functions and
            sigmoid; else 0.
        same_as: A formula of `a`, `b` that is the same function by algebra, or empty.
        share: How often random cells use it, relative to the others.
        edge: `jump` where it jumps at 0, `end` where no number below 0 has a value, else empty.
            There, rounding decides what comes of an argument that is nothing but rounding.
        internal: Occurs in derivatives only; cell text may not use it.
    """

    name: str
    interval: Callable[..., Interval]
    latex: str
    html: str = ""
    parity: int = 0
    same_as: str = ""
    share: float = 0.0
    edge: Literal["", "jump", "end"] = ""
    internal: bool = False

    @cached_property
    def function(self) -> type[sp.Function]:
        """The atomic sympy function."""
        return type(self.name, (sp.Function,), {"nargs": self.arity, "__module__": __name__})

    @property
    def arity(self) -> int:
        """Number of arguments."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Primitive(Function):
    """One row of the table of primitives.

    Attributes:
        numpy: The function on float64 arrays.
        mpmath: The function on numbers of any precision, given mpmath's context; NaN where it has
            no value.
        torch: The function in torch, by dotted name, or an expression in `{0}`, `{1}`.
        torch_body: The same as the lines of a function, where one is too long to read; or empty.
        c: The function in C on vectors of the argument `x`, or of `a` and `b`: an expression, or
            the lines of a body. It may call other primitives, as `vexp(x)`, and the blocks of
            `native/source/functions.py`. Empty where there is none.
        onnx: The function in ONNX, a formula of its operators of `a` and `b`. Empty where there is
            none: then a cell with it does not go there.
        exact: The value at a rational argument where that is rational, else None.
        derivative: For each argument the derivative: a formula of `y`, the output, and `a`, `b`,
            the arguments. At kinks `heaviside(0) = sign(0) = 0` decides.
        surrogate: A formula of `a` whose derivative stands in `derivative`, where that of the
            function itself is zero wherever it has one; or empty.
        cheap: Whether it costs less to compute it twice than to store it.
    """

    numpy: Callable[..., Array]
    mpmath: Callable[..., Any]
    torch: str
    torch_body: str = ""
    c: str = ""
    onnx: str = ""
    exact: Callable[[Fraction], Fraction | None] = _ZERO_AT_ZERO
    derivative: tuple[str, ...]
    surrogate: str = ""
    cheap: bool = False

    @property
    def arity(self) -> int:
        """Number of arguments."""
        return len(self.derivative)

    @property
    def is_flat(self) -> bool:
        """Whether it passes no gradient on."""
        return all(rule == FLAT for rule in self.derivative)

    @property
    def at_zero(self) -> Fraction | None:
        """The exact value at zero, or None where there is none."""
        return self.exact(Fraction(0))


def _sigmoid(a: Array) -> Array:
    positive = a >= 0
    e = np.exp(np.where(positive, -a, a))
    return np.where(positive, 1.0 / (1.0 + e), e / (1.0 + e))


@np.vectorize(otypes=[np.float64])
def _erf(a: float) -> float:
    return math.erf(a)


def _exact_root(value: Fraction) -> Fraction | None:
    if value < 0:
        return None
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    return root if root * root == value else None


def increasing(function: Callable[[float], float]) -> Callable[[Interval], Interval]:
    """Bounds a function that never falls."""
    return lambda a: (function(a[0]), function(a[1]))


def _around_zero(function: Callable[[float], float]) -> Callable[[Interval], Interval]:
    """Bounds an even function that grows with the size of its argument, from 0 at 0."""

    def interval(a: Interval) -> Interval:
        ends = [function(a[0]), function(a[1])]
        return (0.0 if a[0] <= 0 <= a[1] else min(ends)), max(ends)

    return interval


# What `step` has the gradient of: from -1/2 at -1 to 1/2 at 1, with the slope 1 - |a|.
_RAMP = "{0}.clamp(-1, 1) * (1 - 0.5 * {0}.clamp(-1, 1).abs())"
_STEP = "torch.heaviside({0}.detach(), torch.zeros_like({0}))"

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
        onnx="Sigmoid(a)",
        interval=increasing(lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0),
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
        onnx="Tanh(a)",
        interval=increasing(math.tanh),
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
        onnx="Relu(a)",
        interval=increasing(lambda v: max(v, 0.0)),
        exact=lambda v: max(v, Fraction(0)),
        derivative=("heaviside(a)",),
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
        onnx="a",
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
        onnx="Exp(a)",
        interval=increasing(lambda v: math.exp(v) if v < 700 else math.inf),
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
        onnx="Softplus(a)",
        interval=increasing(lambda v: math.log1p(math.exp(v)) if v < 700 else v),
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
        onnx="Sin(a)",
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
        onnx="Abs(a)",
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
        onnx="a * a",
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
        onnx=f"Where(Greater(a, 0), a, a * {LEAKY_SLOPE})",
        interval=increasing(lambda v: v if v > 0 else LEAKY_SLOPE * v),
        exact=lambda v: v if v > 0 else v * Fraction(str(LEAKY_SLOPE)),
        derivative=("0.01 + 0.99 * heaviside(a)",),
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
        onnx="Min(a, b)",
        interval=lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
        derivative=("heaviside(b - a)", "1 - heaviside(b - a)"),
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
        onnx="Max(a, b)",
        interval=lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
        derivative=("heaviside(a - b)", "1 - heaviside(a - b)"),
        latex=r"\max({0}, {1})",
        cheap=True,
    ),
    Primitive(
        name="cos",
        numpy=np.cos,
        mpmath=lambda m, a: m.cos(a),
        torch="torch.cos",
        c="turned(x, 1)",
        onnx="Cos(a)",
        interval=lambda a: (-1.0, 1.0),
        exact=_at_zero(1),
        derivative=("-sin(a)",),
        latex=r"\cos({0})",
        parity=1,
        share=0.03,
    ),
    Primitive(
        name="sqrt",
        numpy=np.sqrt,
        mpmath=lambda m, a: m.nan if a < 0 else m.sqrt(a),
        torch="torch.sqrt",
        c="rooted(x)",
        onnx="Sqrt(a)",
        interval=lambda a: (math.sqrt(a[0]), math.sqrt(a[1])) if a[0] >= 0 else ANYTHING,
        exact=_exact_root,
        derivative=("0.5 / y",),
        latex=r"\sqrt{{{0}}}",
        html="√",
        edge="end",
    ),
    Primitive(
        name="log",
        numpy=np.log,
        mpmath=lambda m, a: m.nan if a < 0 else m.log(a),
        torch="torch.log",
        c="""\
  const ivec tiny = (x < TINY) & (x > 0);
  const vec y = pick(tiny, x * GROWN, x);
  /* y = 2^n m with m in [sqrt(1/2), sqrt(2)), and f = m - 1 is exact */
  const ivec n = ((ivec)y - ROOT_HALF_BITS) >> MANTISSA;
  const vec f = (vec)((ivec)y - (n << MANTISSA)) - 1;
  const vec exponent = (vec)(n + MAGIC_BITS) - MAGIC;
  const vec whole = exponent - pick(tiny, splat(GROWTH), splat(0));
  /* 2 artanh(s) = 2s + s r = f - f^2 / 2 + s (f^2 / 2 + r), where the largest term is exact */
  const vec s = f / (f + 2), q = s * s, half = (real)0.5 * f * f;
  {log}
  const vec r = q * p, low = s * (half + r) + whole * LN2_LOW;
  const vec value = whole * LN2_HIGH - ((half - low) - f);
  const vec end = pick(x == 0, splat(-(real)__builtin_inf()), splat((real)__builtin_nan("")));
  return pick(x > 0, pick(x > LARGEST, x, value), end);
""",
        onnx="Log(a)",
        interval=lambda a: (math.log(a[0]), math.log(a[1])) if a[0] > 0 else ANYTHING,
        exact=lambda v: Fraction(0) if v == 1 else None,
        derivative=("1 / a",),
        latex=r"\ln({0})",
        edge="end",
    ),
    Primitive(
        name="erf",
        numpy=_erf,
        mpmath=lambda m, a: m.erf(a),
        torch="torch.erf",
        c="""\
  const vec size = at_most(splat(ERF_ONE), vabs(x)), q = size * size, u = size - 1;
  {erf}
  {tail}
  return (vec)((ivec)pick(size < 1, p * size, 1 - vexp(-t)) | ((ivec)x & SIGN));
""",
        onnx="Erf(a)",
        interval=increasing(math.erf),
        derivative=("1.1283791670955126 * exp(-(a * a))",),
        latex=r"\operatorname{{erf}}({0})",
        parity=-1,
        share=0.02,
    ),
    Primitive(
        name="sign",
        numpy=np.sign,
        mpmath=lambda m, a: m.sign(a),
        torch="torch.where({0}.isnan(), {0}, torch.sign({0}))",  # sign alone makes 0 of NaN
        c="pick(x > 0, splat(1), pick(x < 0, splat(-1), x))",
        onnx="Sign(a)",
        interval=lambda a: (-1.0, 1.0),
        exact=lambda v: Fraction((v > 0) - (v < 0)),
        derivative=(FLAT,),
        latex=r"\operatorname{{sign}}({0})",
        parity=-1,
        cheap=True,
        share=0.01,
        edge="jump",
    ),
    Primitive(
        name="step",
        numpy=lambda a: np.heaviside(a, 0.0),
        mpmath=lambda m, a: m.nan if a != a else m.mpf(a > 0),
        torch=f"{_STEP} + ({_RAMP} - ({_RAMP}).detach())",
        torch_body=f"slope = {_RAMP}\nreturn {_STEP} + (slope - slope.detach())",
        c="pick(x > 0, splat(1), pick(x <= 0, splat(0), x))",
        onnx="CastLike(Greater(a, 0), a)",
        interval=lambda a: (0.0, 1.0),
        exact=lambda v: Fraction(v > 0),
        derivative=("relu(1 - abs(a))",),  # the triangle of Bellec et al. 2018
        surrogate=("maximum(minimum(a, 1), -1) * (1 - 0.5 * abs(maximum(minimum(a, 1), -1)))"),
        latex=r"\mathbb{{1}}[{0} > 0]",
        cheap=True,
        share=0.01,
        edge="jump",
    ),
    Primitive(
        name="heaviside",
        numpy=lambda a: np.where(a > 0, 1.0, 0.0),
        mpmath=lambda m, a: m.mpf(a > 0),
        torch="({0} > 0).to({0}.dtype)",
        c="pick(x > 0, splat(1), splat(0))",
        onnx="CastLike(Greater(a, 0), a)",
        interval=lambda a: (0.0, 1.0),
        exact=lambda v: Fraction(v > 0),
        derivative=(FLAT,),
        latex=r"\mathbb{{1}}[{0} > 0]",
        cheap=True,
        internal=True,
    ),
)

PRIMITIVES: Registry[Primitive] = Registry(
    "primitive",
    {row.name: row for row in _ROWS},
    problem=of_type(Primitive, "a Primitive (odyssey.expr.primitives)"),
)

sigmoid = PRIMITIVES["sigmoid"].function
