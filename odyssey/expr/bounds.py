"""Bounds of a cell by interval arithmetic: does its output stay bounded, whatever the weights?

Weights may be any numbers, so a linear map is unbounded and `tanh` of it lies in [-1, 1]. A state
counts as bounded if some bound on it is kept by its update (an invariant). A blend of two values,
`g * a + (1 - g) * b` or `b + g * (a - b)` with g in [0, 1], lies between them; plain interval
arithmetic would lose that, and with it the GRU.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.primitives import BY_FUNCTION, LEAKY_SLOPE
from odyssey.expr.terms import (
    Current,
    Input,
    Named,
    Previous,
    Vector,
    is_negation,
    is_reciprocal,
    matmul,
    sub,
)

Interval = tuple[float, float]

ANYTHING: Interval = (-math.inf, math.inf)
LARGE = 1e9  # the bound that is tried on states; numbers in cells are far below it


def output_is_bounded(cell: Cell) -> bool:
    """Says whether the output is bounded for all weights, all times and inputs in [-1, 1].

    False only says that this method finds no bound.
    """
    output = f"{cell.output}[t]" if cell.output in cell.states else cell.output
    return _within(value_bounds(cell)[output], math.inf)


def value_bounds(cell: Cell) -> dict[str, Interval]:
    """Gives bounds of every equation, by its label, for all weights, all times, inputs in [-1, 1].

    A bound of a million or more only says that there is one; infinite ones, that none was found.
    """
    bounded = set(cell.states)
    while True:
        values = _Intervals(cell, bounded)
        kept = {s for s in bounded if _within(values.labels[f"{s}[t]"], LARGE)}
        if kept == bounded:
            return values.labels
        bounded = kept


def _within(interval: Interval, bound: float) -> bool:
    low, high = interval
    return math.isfinite(low) and math.isfinite(high) and -bound <= low and high <= bound


class _Intervals:
    """The interval of every equation, if the states in `bounded` lie within the bound."""

    def __init__(self, cell: Cell, bounded: set[str]) -> None:
        self.bounded = bounded
        self.labels: dict[str, Interval] = {}
        self.values = {e.label: e.value for e in cell.equations}
        for equation in cell.equations:
            self.labels[equation.label] = self.of(equation.value)

    def of(self, expr: sp.Expr) -> Interval:
        """The interval of an expression; anything where arithmetic gives no number."""
        low, high = self._of(expr)
        return ANYTHING if math.isnan(low) or math.isnan(high) else (low, high)

    def _of(self, expr: sp.Expr) -> Interval:
        if isinstance(expr, sp.Rational):
            return float(expr), float(expr)
        if isinstance(expr, Input):
            return -1.0, 1.0
        if isinstance(expr, Previous):
            return (-LARGE, LARGE) if expr.name.removesuffix("[t-1]") in self.bounded else ANYTHING
        if isinstance(expr, Named | Current):
            return self.labels[expr.name]
        if isinstance(expr, Vector | matmul):
            return ANYTHING
        if isinstance(expr, sp.Add):
            blend = self._blend(expr)
            a, b = (self.of(arg) for arg in expr.args)
            plain = (-_sum_up(-a[0], -b[0]), _sum_up(a[1], b[1]))
            return _meet(plain, blend) if blend else plain
        if isinstance(expr, sp.Mul):
            return _product(*(self.of(arg) for arg in expr.args))
        if is_reciprocal(expr):
            low, high = self.of(expr.args[0])
            if not (low > 0 or high < 0):
                return ANYTHING
            return math.nextafter(1 / high, -math.inf), math.nextafter(1 / low, math.inf)
        return _function(BY_FUNCTION[type(expr)].name, [self.of(arg) for arg in expr.args])

    def _blend(self, expr: sp.Expr) -> Interval | None:
        """The interval of a sum that is a blend, or None."""
        for one, other in (expr.args, expr.args[::-1]):
            for gate, value in _factors(one):
                if not self._is_share(gate):
                    continue
                for rest, end in _factors(other):  # g * a + (1 - g) * b
                    if self._complement(gate, rest):
                        return _hull(self.of(value), self.of(end))
                inner = self._open(value)  # b + g * (a - b)
                if isinstance(inner, sp.Add) and is_negation(inner.args[1]):
                    start, end = inner.args[0], inner.args[1].args[1]
                    if end == other:
                        return _hull(self.of(start), self.of(other))
        return None

    def _open(self, expr: sp.Expr) -> sp.Expr:
        return self.values[expr.name] if isinstance(expr, Named) else expr

    def _is_share(self, gate: sp.Expr) -> bool:
        low, high = self.of(gate)
        return low >= 0.0 and high <= 1.0

    def _complement(self, gate: sp.Expr, rest: sp.Expr) -> bool:
        one = sp.Integer(1)
        return any(
            sub(one, a) == b
            for a, b in (
                (gate, rest),
                (gate, self._open(rest)),
                (self._open(gate), rest),
                (rest, gate),
                (rest, self._open(gate)),
            )
        ) or (gate.is_Rational and rest.is_Rational and gate + rest == 1)


def _factors(expr: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
    if not isinstance(expr, sp.Mul) or is_negation(expr) or is_reciprocal(expr.args[1]):
        return []
    return [expr.args, expr.args[::-1]]


def _hull(a: Interval, b: Interval) -> Interval:
    return min(a[0], b[0]), max(a[1], b[1])


def _meet(a: Interval, b: Interval) -> Interval:
    return max(a[0], b[0]), min(a[1], b[1])


def _sum_up(a: float, b: float) -> float:
    """A sum that is never too small: a bound must not hold by rounding only."""
    total = a + b
    if math.isinf(total) or math.isnan(total):
        return total
    part = total - a
    lost = (a - (total - part)) + (b - part)  # exact (Knuth 1969, two-sum)
    return math.nextafter(total, math.inf) if lost > 0 else total


def _product(a: Interval, b: Interval) -> Interval:
    corners = [_corner(x, y) for x in a for y in b]
    return min(c[0] for c in corners), max(c[1] for c in corners)


def _corner(x: float, y: float) -> Interval:
    if 0.0 in (x, y):
        return 0.0, 0.0  # no value is infinite, so 0 times any of them is 0
    if abs(x) == 1.0 or abs(y) == 1.0:
        return x * y, x * y
    return math.nextafter(x * y, -math.inf), math.nextafter(x * y, math.inf)


def _function(name: str, args: list[Interval]) -> Interval:
    low, high = args[0]
    match name:
        case "sigmoid":
            return _monotone(low, high, lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0)
        case "tanh":
            return math.tanh(low), math.tanh(high)
        case "sin":
            return -1.0, 1.0
        case "identity":
            return low, high
        case "relu":
            return max(low, 0.0), max(high, 0.0)
        case "leaky_relu":
            return _monotone(low, high, lambda v: v if v > 0 else LEAKY_SLOPE * v)
        case "exp":
            return _monotone(low, high, lambda v: math.exp(v) if v < 700 else math.inf)
        case "softplus":
            return _monotone(low, high, lambda v: math.log1p(math.exp(v)) if v < 700 else v)
        case "abs" | "square":
            ends = [abs(low), abs(high)] if name == "abs" else [low * low, high * high]
            return (0.0 if low <= 0 <= high else min(ends)), max(ends)
        case "minimum":
            return min(low, args[1][0]), min(high, args[1][1])
        case "maximum":
            return max(low, args[1][0]), max(high, args[1][1])
    return ANYTHING


def _monotone(low: float, high: float, function: Callable[[float], float]) -> Interval:
    return function(low), function(high)
