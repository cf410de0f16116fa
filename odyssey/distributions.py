"""What hyperparameters are drawn from: one row a kind of distribution.

In a study a hyperparameter is a number, or a table with one of these names. To add one: a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import NormalDist
from typing import Any

import numpy as np

from odyssey.errors import ConfigError, suggest
from odyssey.ranges import Range
from odyssey.wording import quoted

FIXED, GRID = "fixed", "grid"

Bounds = tuple[float, float]
_Numbers = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class DistributionKind:
    """One row: a distribution that two numbers describe.

    Attributes:
        numbers: What the two are called.
        words: How a report says it.
        rule: What they must satisfy, in words.
        obeys: Whether they do.
        bounds: The bounds of a draw, from the two; None where only the hyperparameter's own range
            bounds it. What they may be is checked at these bounds.
        draw: Draws a number, from the two, within bounds.
    """

    numbers: tuple[str, str] = ("low", "high")
    words: str
    rule: str
    obeys: Callable[[float, float], bool]
    bounds: Callable[[float, float], Bounds] | None
    draw: Callable[[_Numbers, Bounds, np.random.Generator], float]


def _uniform(ends: _Numbers, bounds: Bounds, rng: np.random.Generator) -> float:
    low, high = ends
    return rng.uniform(low, high)


def _log_uniform(ends: _Numbers, bounds: Bounds, rng: np.random.Generator) -> float:
    low, high = ends
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _integers(ends: _Numbers, bounds: Bounds, rng: np.random.Generator) -> float:
    low, high = ends
    return int(rng.integers(int(low), int(high), endpoint=True))


def _normal(numbers: _Numbers, bounds: Bounds, rng: np.random.Generator) -> float:
    """Draws from what of a normal distribution lies between the bounds."""
    normal = NormalDist(*numbers)
    low, high = (normal.cdf(end) for end in bounds)
    share = low + (high - low) * rng.random()
    return min(max(normal.inv_cdf(min(max(share, 1e-300), 1 - 2**-53)), bounds[0]), bounds[1])


def _log_normal(numbers: _Numbers, bounds: Bounds, rng: np.random.Generator) -> float:
    median, deviation = numbers
    low, high = (math.log(end) if end > 0 else -math.inf for end in bounds)
    return math.exp(_normal((math.log(median), deviation), (low, high), rng))


DISTRIBUTION_KINDS: dict[str, DistributionKind] = {
    "uniform": DistributionKind(
        words="uniform from {} to {}",
        rule="low <= high",
        obeys=lambda low, high: low <= high,
        bounds=lambda low, high: (low, high),
        draw=_uniform,
    ),
    "log_uniform": DistributionKind(
        words="log-uniform from {} to {}",
        rule="0 < low <= high",
        obeys=lambda low, high: 0 < low <= high,
        bounds=lambda low, high: (low, high),
        draw=_log_uniform,
    ),
    "one_minus_log_uniform": DistributionKind(
        words="1 minus log-uniform from {} to {}",
        rule="0 < low <= high",
        obeys=lambda low, high: 0 < low <= high,
        bounds=lambda low, high: (1 - high, 1 - low),
        draw=lambda ends, bounds, rng: 1.0 - _log_uniform(ends, bounds, rng),
    ),
    "integers": DistributionKind(
        words="a whole number from {} to {}",
        rule="two whole numbers, low <= high",
        obeys=lambda low, high: low == int(low) and high == int(high) and low <= high,
        bounds=lambda low, high: (low, high),
        draw=_integers,
    ),
    "normal": DistributionKind(
        numbers=("mean", "deviation"),
        words="normal with mean {} and standard deviation {}",
        rule="deviation > 0",
        obeys=lambda mean, deviation: deviation > 0,
        bounds=None,
        draw=_normal,
    ),
    "log_normal": DistributionKind(
        numbers=("median", "deviation"),
        words="log-normal with median {} and standard deviation {} of the logarithm",
        rule="median > 0 and deviation > 0",
        obeys=lambda median, deviation: median > 0 and deviation > 0,
        bounds=None,
        draw=_log_normal,
    ),
}
LISTS = {"choice": "one of", GRID: "each of"}
"""Kinds whose values are legal ones, not numbers that describe a distribution; in words."""

KINDS = (*DISTRIBUTION_KINDS, *LISTS)
STEP = "step"


@dataclass(frozen=True)
class Distribution:
    """Where one hyperparameter is drawn from.

    Attributes:
        kind: `fixed`, or one of `KINDS`.
        values: The numbers of the kind, the choices, the values of a grid, or the one fixed value.
        step: A draw is rounded to a multiple of this; 0 rounds to none.
    """

    kind: str
    values: tuple[Any, ...]
    step: float = 0

    def draw(self, rng: np.random.Generator, *, allowed: Range) -> Any:
        """Draws one value, of anything but a grid; whole numbers are rounded.

        Args:
            rng: The random stream.
            allowed: What the hyperparameter may be.
        """
        assert self.kind != GRID, "a grid is crossed with others: see draw_members"
        if self.kind == FIXED:
            return self.values[0]
        if self.kind in LISTS:
            return self.values[int(rng.integers(len(self.values)))]
        kind = DISTRIBUTION_KINDS[self.kind]
        numbers = self.values[0], self.values[1]
        bounds = _bounds(kind, numbers, allowed)
        value = kind.draw(numbers, bounds, rng)
        if self.step:
            first, last = _multiples(self.step, bounds, allowed)
            # so that the value is what its decimal digits say: 0.3, not 3 * 0.1
            value = float(Decimal(str(self.step)) * min(max(round(value / self.step), first), last))
        return round(value) if allowed.kind is int else float(value)

    @property
    def plain(self) -> Any:
        """What it is in a study, as plain data."""
        if self.kind == FIXED:
            return list(self.values)
        return {self.kind: list(self.values), **({STEP: self.step} if self.step else {})}


def _bounds(kind: DistributionKind, values: _Numbers, allowed: Range) -> Bounds:
    """Gives the bounds of a draw."""
    if kind.bounds:
        return kind.bounds(*values)
    least, most = float(allowed.least), float(allowed.most)
    return (
        math.nextafter(least, math.inf) if allowed.above else least,
        math.nextafter(most, -math.inf) if allowed.below else most,
    )


def _multiples(step: float, bounds: Bounds, allowed: Range) -> tuple[int, int]:
    """Gives the first and the last multiple of a step that a draw may be."""
    first, last = math.ceil(bounds[0] / step - 1e-9), math.floor(bounds[1] / step + 1e-9)
    first += allowed.above and first * step <= allowed.least
    last -= allowed.below and last * step >= allowed.most
    return first, last


def read_distribution(
    name: str,
    table: Mapping[str, Any],
    *,
    allowed: Range,
    check: Callable[[str, object], None] | None = None,
) -> Distribution:
    """Reads the distribution of a hyperparameter.

    Args:
        name: What it is called in messages.
        table: One of `KINDS` with its values, and perhaps `step`.
        allowed: What the hyperparameter may be.
        check: Refuses a value of a list, where that may also be something else than a number.

    Raises:
        ConfigError: It is none, or allows what the hyperparameter may not be.
    """
    given = dict(table)
    step = given.pop(STEP, 0)
    if len(given) != 1:
        raise ConfigError(f"{name}: give one of {', '.join(KINDS)}")
    ((how, values),) = given.items()
    if how not in KINDS:
        raise ConfigError(suggest(str(how), KINDS, what=f"distribution for {name}"))
    if not isinstance(values, list | tuple) or not values:
        raise ConfigError(f"{name}.{how} must be a list, got {quoted(values)}")
    if how in LISTS:
        return _list(f"{name}.{how}", how, values, check or allowed.check, stepped=bool(step))
    kind = DISTRIBUTION_KINDS[how]
    if len(values) != 2 or not all(map(_is_number, values)):
        raise ConfigError(f"{name}.{how} must be [{', '.join(kind.numbers)}], got {quoted(values)}")
    if not all(-math.inf < v < math.inf for v in values) or not kind.obeys(*values):
        raise ConfigError(f"{name}.{how} needs {kind.rule}, got {quoted(list(values))}")
    # a range may end where a value must not lie: no draw does
    closed = replace(allowed, above=False, below=False)
    ends = kind.bounds(*values) if kind.bounds else values[:1]
    for end in ends:
        closed.check(name, closed.kind(end))
    if step:
        _check_step(name, step, _bounds(kind, (values[0], values[1]), allowed), allowed)
    return Distribution(how, tuple(values), step)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(
    name: str,
    how: str,
    values: Sequence[Any],
    check: Callable[[str, object], None],
    *,
    stepped: bool,
) -> Distribution:
    for value in values:
        check(name.rpartition(".")[0], value)
    if how == GRID and len(set(values)) < len(values):
        raise ConfigError(f"{name} has a value twice: {quoted(values)}")
    if stepped:
        raise ConfigError(f"{name} lists its values: {STEP} has no meaning beside it")
    return Distribution(how, tuple(values))


def _check_step(name: str, step: object, bounds: Bounds, allowed: Range) -> None:
    Range(allowed.kind, 0, 1e12, above=True).check(f"{name}.{STEP}", step)
    assert isinstance(step, int | float)
    first, last = _multiples(step, bounds, allowed)
    if first > last:
        raise ConfigError(f"{name}: no multiple of {STEP} = {step} lies within its bounds")
