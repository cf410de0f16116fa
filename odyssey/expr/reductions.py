"""Functions over the units of one row: reductions, forms made of them, and matrices.

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
from odyssey.expr.sizes import ONE, axes, is_matrix, matrix


@dataclass(frozen=True, kw_only=True)
class Reduction(Function):
    """One row of the table of reductions.

    Attributes:
        numpy: The function on float64 arrays, over the last axis, which stays.
        mpmath: The function on a list of numbers of any precision, given mpmath's context.
        torch: The function in torch, with `{0}` for the argument and `{1}` for how many count.
        onnx: The function in ONNX, a formula of its operators of `a` and `last`, the last axis
            (`axis` as a number), or empty.
        padding: What stands for units that do not count, in torch; empty where they do no harm.
        matrix: As a factor of a Jacobian; a row (1, n), or (n, n). Empty: it depends on the values.
        keeps_size: Whether it gives as many numbers as it reads.
    """

    numpy: Callable[[Array], Array]
    mpmath: Callable[[Any, Sequence[Any]], list[Any]]
    torch: str
    onnx: str = ""
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
        onnx="ReduceSum(a, last)",
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
        onnx="ReduceMean(a, last)",
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
        onnx="ReduceMax(a, last)",
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
        onnx="CumSum(a, axis)",
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
        torch="{0}.softmax(-1)",
    ),
    NamedForm(
        name="cumax",
        same_as="cumsum(softmax(a))",
        interval=lambda a: (0.0, 1.0 + 1e-9),  # sums of rounded numbers may pass 1
        latex=r"\operatorname{{cumax}}({0})",
        cite="Shen et al. 2019",
        torch="{0}.softmax(-1).cumsum(-1)",
    ),
    NamedForm(
        name="layer_norm",
        same_as="(a - mean(a)) / sqrt(mean(square(a - mean(a))) + 0.00001)",
        interval=lambda a: ANYTHING,
        latex=r"\operatorname{{LN}}({0})",
        cite="Ba et al. 2016, without gain and bias; epsilon is torch's",
        torch="torch.nn.functional.layer_norm({0}, [{1}])",
    ),
    NamedForm(
        name="rms_norm",
        same_as="a / sqrt(mean(square(a)) + 0.00001)",
        interval=lambda a: ANYTHING,
        latex=r"\operatorname{{RMSN}}({0})",
        cite="Zhang & Sennrich 2019, without gain",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Reshaping(Function):
    """One row of the table of functions between vectors and matrices.

    Attributes:
        numpy: The function on arrays whose last axis, or two, are those of the value.
        torch: The function in torch, with `{0}` for the argument.
        onnx: As of a `Reduction`; `above` is the axis before the last.
        mpmath: The function on a list of numbers, or of rows.
        reads_matrix: Whether it takes a matrix, and gives a vector.
        size: The size of the value, from those of the argument's axes.
    """

    numpy: Callable[[Array], Array]
    torch: str
    onnx: str = ""
    mpmath: Callable[[Any, Sequence[Any]], list[Any]]
    reads_matrix: bool
    size: Callable[..., str]

    @property
    def arity(self) -> int:
        """Number of arguments: one."""
        return 1


_RESHAPINGS = (
    Reshaping(
        name="column",
        numpy=lambda a: a[..., None],
        torch="{0}.unsqueeze(-1)",
        onnx="Unsqueeze(a, last)",
        mpmath=lambda m, a: [[v] for v in a],
        interval=lambda a: a,
        latex=r"\operatorname{{column}}({0})",
        reads_matrix=False,
        size=lambda units: matrix(units, ONE),
    ),
    Reshaping(
        name="row",
        numpy=lambda a: a[..., None, :],
        torch="{0}.unsqueeze(-2)",
        onnx="Unsqueeze(a, above)",
        mpmath=lambda m, a: [list(a)],
        interval=lambda a: a,
        latex=r"\operatorname{{row}}({0})",
        reads_matrix=False,
        size=lambda units: matrix(ONE, units),
    ),
    Reshaping(
        name="across",
        numpy=lambda a: a.sum(axis=-1),
        torch="{0}.sum(-1)",
        onnx="Squeeze(ReduceSum(a, last), last)",
        mpmath=lambda m, a: [m.fsum(row) for row in a],
        interval=_summed,
        latex=r"\operatorname{{across}}({0})",
        reads_matrix=True,
        size=lambda rows, columns: rows,
    ),
    Reshaping(
        name="down",
        numpy=lambda a: a.sum(axis=-2),
        torch="{0}.sum(-2)",
        onnx="Squeeze(ReduceSum(a, above), above)",
        mpmath=lambda m, a: [m.fsum(column) for column in zip(*a, strict=True)],
        interval=_summed,
        latex=r"\operatorname{{down}}({0})",
        reads_matrix=True,
        size=lambda rows, columns: columns,
    ),
)

_MATRIX_FORMS = (
    NamedForm(
        name="outer",
        same_as="column(a) * row(b)",
        interval=lambda a, b: ANYTHING,
        latex=r"{0} {1}^\top",
        cite="the outer product",
        torch='torch.einsum("...i,...j->...ij", {0}, {1})',
    ),
    NamedForm(
        name="read",
        same_as="across(a * row(b))",
        interval=lambda a, b: ANYTHING,
        latex=r"{0} \, {1}",
        cite="the product of a matrix and a vector, written S[t-1] @ q",
        torch='torch.einsum("...ij,...j->...i", {0}, {1})',
    ),
    NamedForm(
        name="read_transposed",
        same_as="down(a * column(b))",
        interval=lambda a, b: ANYTHING,
        latex=r"{0}^\top \, {1}",
        cite="that of the transposed matrix, written S[t-1].T @ q",
        torch='torch.einsum("...ij,...i->...j", {0}, {1})',
    ),
)

RESHAPINGS: dict[str, Reshaping] = {row.name: row for row in _RESHAPINGS}
MATRIX_FORMS: dict[str, NamedForm] = {row.name: row for row in _MATRIX_FORMS}
UNIT_FORMS: dict[str, NamedForm] = {row.name: row for row in _FORMS}
FORMS: dict[str, NamedForm] = {**NAMED_FORMS, **UNIT_FORMS, **MATRIX_FORMS}
OVER_UNITS: dict[str, Function] = {**REDUCTIONS, **UNIT_FORMS, **RESHAPINGS, **MATRIX_FORMS}
BY_REDUCTION: dict[type, Function] = {r.function: r for r in OVER_UNITS.values()}


class WrongSizeError(ValueError):
    """Says that a function does not take a value of such a size."""


def size_over_units(name: str, sizes: Sequence[str]) -> str:
    """Gives the size of the value of a function over units.

    Args:
        name: The function.
        sizes: Those of its arguments; unknown ones may be any text.

    Raises:
        WrongSizeError: It takes no such arguments.
    """
    first = axes(sizes[0])
    matrices = name in ("read", "read_transposed") or (
        name in RESHAPINGS and RESHAPINGS[name].reads_matrix
    )
    if len(first) != 1 + matrices or (len(sizes) > 1 and is_matrix(sizes[1])):
        raise WrongSizeError(
            f"{name} takes a {'matrix' if matrices else 'vector'}"
            + (" and a vector" if len(sizes) > 1 else "")
        )
    if name in RESHAPINGS:
        return RESHAPINGS[name].size(*first)
    if name == "outer":
        return matrix(*sizes)
    if name in MATRIX_FORMS:
        return first[0] if name == "read" else first[1]
    return sizes[0] if name in UNIT_FORMS or REDUCTIONS[name].keeps_size else ONE
