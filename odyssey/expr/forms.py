"""Named forms: functions that a formula in other functions defines; and all functions by name.

A form keeps its name wherever a cell is read, printed or changed: in text, LaTeX and HTML,
ablations and mutations. Wherever a value is computed, and in algebra, its formula stands for it:
`silu(v)` and `v * sigmoid(v)` are one program, have one gradient and one key. So a form needs
neither C nor a derivative. Its formula may call any function, other forms included, but for itself.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

import numpy as np
import sympy as sp

from odyssey.expr.arithmetic import ARITHMETIC, read_formula
from odyssey.expr.primitives import PRIMITIVES, Array, Function, Interval, increasing
from odyssey.registry import View

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class NamedForm(Function):
    """One row of the table of named forms; `same_as` is what defines it.

    Attributes:
        cite: Where it was published, or who uses it.
        torch: The same in one call of torch, as of a `Primitive`, with `{1}` for the size of the
            argument where there is one; empty where torch has none.
    """

    cite: str
    torch: str = ""

    @cached_property
    def arity(self) -> int:
        """Number of arguments."""
        names = {n.id for n in ast.walk(ast.parse(self.same_as)) if isinstance(n, ast.Name)}
        return len(names & set("ab"))

    @cached_property
    def nodes(self) -> int:
        """Number of operations in the formula, forms in it written out and equal ones once."""
        found: set[Hashable] = set()

        def apply(op: str, *args: Hashable) -> Hashable:
            if op in NAMED_FORMS:
                return NAMED_FORMS[op].expand(*args, number=str, apply=apply)
            found.add((op, args))
            return op, args

        self.expand(*"ab"[: self.arity], number=str, apply=apply)
        return len(found)

    def expand(
        self,
        *args: Value,
        number: Callable[[Fraction], Value],
        apply: Callable[..., Value],
    ) -> Value:
        """Reads the formula; see `read_formula`. Forms in it reach `apply` as they are."""
        names = dict(zip("ab", args, strict=False))
        return read_formula(self.same_as, names=names, number=number, apply=apply)


def _valley(
    function: Callable[[float], float], *, at: float, least: float
) -> Callable[[Interval], Interval]:
    """Bounds a function that falls from 0 down to its least value, and grows from there on."""

    def value(a: float) -> float:
        return 0.0 if a == -math.inf else function(a)

    def interval(a: Interval) -> Interval:
        ends = [value(a[0]), value(a[1])]
        return (least if a[0] <= at <= a[1] else min(ends)), max(ends)

    return interval


def _modrelu_interval(a: Interval, b: Interval) -> Interval:
    size = max(0.0, max(-a[0], a[1]) + b[1])
    return (-size if a[0] < 0 else 0.0), (size if a[1] > 0 else 0.0)


_ROWS = (
    NamedForm(
        name="silu",
        same_as="a * sigmoid(a)",
        interval=_valley(
            lambda v: v / (1 + math.exp(-v)) if v > -700 else 0.0,
            at=-1.2784645427610738,
            least=-0.2784645427610739,
        ),
        latex=r"\operatorname{{silu}}({0})",
        share=0.05,
        cite="Elfwing et al. 2018",
        torch="torch.nn.functional.silu",
    ),
    NamedForm(
        name="gelu",
        same_as="0.5 * a * (1 + erf(a / sqrt(2)))",
        interval=_valley(
            lambda v: 0.5 * v * math.erfc(-v / math.sqrt(2)),
            at=-0.7517915246935645,
            least=-0.1699712074799037,
        ),
        latex=r"\operatorname{{gelu}}({0})",
        share=0.03,
        cite="Hendrycks & Gimpel 2016, the exact form",
        torch="torch.nn.functional.gelu",
    ),
    NamedForm(
        name="elu",
        same_as="relu(a) + exp(a - relu(a)) - 1",  # with the slope 1 at 0, whatever relu's is
        interval=increasing(lambda v: v if v > 0 else math.expm1(v)),
        latex=r"\operatorname{{elu}}({0})",
        share=0.03,
        cite="Clevert et al. 2016, with alpha 1",
        torch="torch.nn.functional.elu",
    ),
    NamedForm(
        name="softsign",
        same_as="a / (1 + abs(a))",
        interval=increasing(
            lambda v: v / (1 + abs(v)) if math.isfinite(v) else math.copysign(1.0, v)
        ),
        latex=r"\operatorname{{softsign}}({0})",
        parity=-1,
        share=0.03,
        cite="Bergstra et al. 2009",
        torch="torch.nn.functional.softsign",
    ),
    NamedForm(
        name="hard_sigmoid",
        same_as="minimum(maximum(a / 6 + 0.5, 0), 1)",
        interval=increasing(lambda v: min(max(v / 6 + 0.5, 0.0), 1.0)),
        latex=r"\operatorname{{hardsigmoid}}({0})",
        parity=-1,
        share=0.03,
        cite="torch.nn.Hardsigmoid; Theano and Keras had 0.2 a + 0.5 inside",
        torch="torch.nn.functional.hardsigmoid",
    ),
    NamedForm(
        name="hard_tanh",
        same_as="maximum(minimum(a, 1), -1)",
        interval=increasing(lambda v: min(max(v, -1.0), 1.0)),
        latex=r"\operatorname{{hardtanh}}({0})",
        parity=-1,
        share=0.03,
        cite="Collobert 2004",
        torch="torch.nn.functional.hardtanh",
    ),
    NamedForm(
        name="modrelu",
        same_as="sign(a) * relu(abs(a) + b)",
        interval=_modrelu_interval,
        latex=r"\operatorname{{modrelu}}({0}, {1})",
        cite="Arjovsky et al. 2016",
    ),
)

NAMED_FORMS: dict[str, NamedForm] = {row.name: row for row in _ROWS}
ALL_FUNCTIONS: View[str, Function] = View(lambda: {**PRIMITIVES, **NAMED_FORMS}, PRIMITIVES)
BY_FUNCTION: View[type[sp.Function], Function] = View(
    lambda: {row.function: row for row in ALL_FUNCTIONS.values()}, PRIMITIVES
)
LANGUAGE: View[str, Function] = View(
    lambda: {name: row for name, row in ALL_FUNCTIONS.items() if not row.internal}, PRIMITIVES
)


def _constant(value: Fraction) -> Array:
    return np.asarray(float(value))


def computed(op: str, *args: Array) -> Array:
    """Computes an operation of arithmetic, a primitive or a form, by its name, in NumPy."""
    if op in NAMED_FORMS:
        return NAMED_FORMS[op].expand(*args, number=_constant, apply=computed)
    value: Array = (ARITHMETIC[op].apply if op in ARITHMETIC else PRIMITIVES[op].numpy)(*args)
    return value
