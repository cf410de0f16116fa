"""Functions over the units of one row: reductions, as the sum, and forms made of them.

A reduction reads all numbers that a value has in a row of the batch. It gives one number, which
broadcasts (size 1), or, as `cumsum`, as many as it read. With members of fewer units than the
tensor has, the units that a member does not have must not count: `padding` is what stands for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from odyssey.expr.forms import NAMED_FORMS, NamedForm
from odyssey.expr.primitives import ANYTHING, Array, Function, Interval


@dataclass(frozen=True, kw_only=True)
class Reduction(Function):
    """One row of the table of reductions.

    Attributes:
        numpy: The function on float64 arrays, over the last axis, which stays.
        mpmath: The function on a list of numbers of any precision, given mpmath's context.
        torch: The function in torch, with `{0}` for the argument and `{1}` for how many count.
        padding: What stands for units that do not count, in torch; empty where they do no harm.
        matrix: As a factor of a Jacobian; a row (1, n), or (n, n). Empty: it depends on the values.
        keeps_size: Whether it gives as many numbers as it reads.
    """

    numpy: Callable[[Array], Array]
    mpmath: Callable[[Any, Sequence[Any]], list[Any]]
    torch: str
    padding: str
    matrix: str
    keeps_size: bool = False

    @property
    def arity(self) -> int:
        """Number of arguments: one."""
        return 1


def _summed(interval: Interval) -> Interval:
    """Bounds a sum of one or more numbers, of unknown number."""
    low, high = interval
    return (low if low >= 0 else ANYTHING[0]), (high if high <= 0 else ANYTHING[1])


def _running(context: Any, values: Sequence[Any]) -> list[Any]:
    totals = [values[0]]
    for value in values[1:]:
        totals.append(totals[-1] + value)
    return totals


_ROWS = (
    Reduction(
        name="sum",
        numpy=lambda a: a.sum(axis=-1, keepdims=True),
        mpmath=lambda m, a: [m.fsum(a)],
        torch="{0}.sum(-1, keepdim=True)",
        padding="0.0",
        interval=_summed,
        latex=r"\textstyle\sum({0})",
        html="Σ",
        matrix="ones.T",
    ),
    Reduction(
        name="mean",
        numpy=lambda a: a.mean(axis=-1, keepdims=True),
        mpmath=lambda m, a: [m.fsum(a) / len(a)],
        torch="{0}.sum(-1, keepdim=True) / {1}",
        padding="0.0",
        interval=lambda a: a,
        latex=r"\operatorname{{mean}}({0})",
        matrix="mean.T",
    ),
    Reduction(
        name="max",
        numpy=lambda a: a.max(axis=-1, keepdims=True),
        mpmath=lambda m, a: [max(a)],
        torch="{0}.amax(-1, keepdim=True)",
        padding="float('-inf')",
        interval=lambda a: a,
        latex=r"\max({0})",
        matrix="",
    ),
    Reduction(
        name="cumsum",
        numpy=lambda a: np.cumsum(a, axis=-1),
        mpmath=_running,
        torch="{0}.cumsum(-1)",
        padding="",
        interval=_summed,
        latex=r"\operatorname{{cumsum}}({0})",
        matrix="cumsum",
        keeps_size=True,
    ),
)

REDUCTIONS: dict[str, Reduction] = {row.name: row for row in _ROWS}

_FORMS = (
    NamedForm(
        name="softmax",
        same_as="exp(a - max(a)) / sum(exp(a - max(a)))",
        interval=lambda a: (0.0, 1.0),
        latex=r"\operatorname{{softmax}}({0})",
        cite="Bridle 1990",
    ),
    NamedForm(
        name="cumax",
        same_as="cumsum(softmax(a))",
        interval=lambda a: (0.0, 1.0 + 1e-9),  # sums of rounded numbers may pass 1
        latex=r"\operatorname{{cumax}}({0})",
        cite="Shen et al. 2019",
    ),
    NamedForm(
        name="layer_norm",
        same_as="(a - mean(a)) / sqrt(mean(square(a - mean(a))) + 0.00001)",
        interval=lambda a: ANYTHING,
        latex=r"\operatorname{{LN}}({0})",
        cite="Ba et al. 2016, without gain and bias; epsilon is torch's",
    ),
    NamedForm(
        name="rms_norm",
        same_as="a / sqrt(mean(square(a)) + 0.00001)",
        interval=lambda a: ANYTHING,
        latex=r"\operatorname{{RMSN}}({0})",
        cite="Zhang & Sennrich 2019, without gain",
    ),
)

UNIT_FORMS: dict[str, NamedForm] = {row.name: row for row in _FORMS}
FORMS: dict[str, NamedForm] = {**NAMED_FORMS, **UNIT_FORMS}
OVER_UNITS: dict[str, Reduction | NamedForm] = {**REDUCTIONS, **UNIT_FORMS}
BY_REDUCTION: dict[type, Reduction | NamedForm] = {r.function: r for r in OVER_UNITS.values()}


def keeps_size(name: str) -> bool:
    """Says whether a function over units gives as many numbers as it reads."""
    return name in UNIT_FORMS or REDUCTIONS[name].keeps_size
