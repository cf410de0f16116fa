"""Bounds of a cell by interval arithmetic: does its output stay bounded, whatever the weights?

Weights may be any numbers, so a linear map is unbounded and `tanh` of it lies in [-1, 1]. A state
counts as bounded if some bound on it is kept by its update (an invariant). A blend of two values,
`g * a + (1 - g) * b` or `b + g * (a - b)` with g in [0, 1], lies between them; plain interval
arithmetic would lose that, and with it the GRU.
"""

from __future__ import annotations

import math

import sympy as sp

from odyssey.expr.equations import Equations
from odyssey.expr.forms import ALL_FUNCTIONS
from odyssey.expr.primitives import ANYTHING, Interval
from odyssey.expr.reductions import OVER_UNITS
from odyssey.expr.terms import Named, exact_value, neg, sub, term

TRIED_BOUND = 1e9  # the bound that is tried on states; numbers in cells are far below it


def output_is_bounded(cell: Equations) -> bool:
    """Says whether the output is bounded for all weights, all times and inputs in [-1, 1].

    False only says that this method finds no bound.
    """
    return _within(value_bounds(cell)[cell.output_label], math.inf)


def value_bounds(cell: Equations) -> dict[str, Interval]:
    """Gives bounds of every equation, by its label, for all weights, all times, inputs in [-1, 1].

    A bound of a million or more only says that there is one; infinite ones, that none was found.
    """
    bounded = set(cell.states)
    while True:
        values = _Intervals(cell, bounded)
        kept = {s for s in bounded if _within(values.labels[f"{s}[t]"], TRIED_BOUND)}
        if kept == bounded:
            return values.labels
        bounded = kept


def _within(interval: Interval, bound: float) -> bool:
    low, high = interval
    return math.isfinite(low) and math.isfinite(high) and -bound <= low and high <= bound


class _Intervals:
    """The interval of every equation, if the states in `bounded` lie within the bound."""

    def __init__(self, cell: Equations, bounded: set[str]) -> None:
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
        op, args, name = term(expr)
        match op:
            case "constant":
                value = float(exact_value(expr))
                return value, value
            case "input":
                return -1.0, 1.0
            case "previous":
                return (-TRIED_BOUND, TRIED_BOUND) if name in self.bounded else ANYTHING
            case "value":
                return self.labels[name]
            case "vector" | "matmul" | "transposed":
                return ANYTHING
        inner = [self.of(arg) for arg in args]
        match op:
            case "add":
                blend = self._blend(*args)
                plain = _sum(*inner)
                return _meet(plain, blend) if blend else plain
            case "sub":
                blend = self._blend(args[0], neg(args[1]))
                plain = _sum(inner[0], _negated(inner[1]))
                return _meet(plain, blend) if blend else plain
            case "neg":
                return _negated(*inner)
            case "mul":
                return _product(*inner)
            case "div":
                return _product(inner[0], _reciprocal(inner[1]))
        return (OVER_UNITS.get(op) or ALL_FUNCTIONS[op]).interval(*inner)

    def _blend(self, left: sp.Expr, right: sp.Expr) -> Interval | None:
        """The interval of a sum that is a blend, or None."""
        for one, other in ((left, right), (right, left)):
            for gate, value in _factors(one):
                if not self._is_share(gate):
                    continue
                for rest, end in _factors(other):  # g * a + (1 - g) * b
                    if self._complement(gate, rest):
                        return _hull(self.of(value), self.of(end))
                op, operands, _ = term(self._open(value))  # b + g * (a - b)
                if op == "sub" and operands[1] == other:
                    return _hull(self.of(operands[0]), self.of(other))
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


def _factors(expr: sp.Expr) -> list[tuple[sp.Expr, ...]]:
    op, args, _ = term(expr)
    return [args, args[::-1]] if op == "mul" else []


def _hull(a: Interval, b: Interval) -> Interval:
    return min(a[0], b[0]), max(a[1], b[1])


def _meet(a: Interval, b: Interval) -> Interval:
    return max(a[0], b[0]), min(a[1], b[1])


def _sum(a: Interval, b: Interval) -> Interval:
    return -_sum_up(-a[0], -b[0]), _sum_up(a[1], b[1])


def _negated(a: Interval) -> Interval:
    return -a[1], -a[0]


def _reciprocal(a: Interval) -> Interval:
    low, high = a
    if not (low > 0 or high < 0):
        return ANYTHING
    return math.nextafter(1 / high, -math.inf), math.nextafter(1 / low, math.inf)


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
