"""TODO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import sympy as sp

Array = np.ndarray[Any, np.dtype[np.float64]]


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
