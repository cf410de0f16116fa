"""The frozen fields of a cell, and what is wrong with them: the ground of the language.

Text, verification, canonical form and notation read `Equations`; `cell.Cell` is what passed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Self

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.terms import Leaf, Matrix, Vector, subexpressions


class IllegalCellError(CellError):
    """Carries the part of the cell that is to blame, from which the parser tells the line.

    Attributes:
        part: A keyword of the header, "equation 0" or "init 0" with the number of that part.
    """

    def __init__(self, reason: str, part: str) -> None:
        super().__init__(reason)
        self.part = part


class IllegalEquationError(IllegalCellError):
    """Blames one equation, which its message names."""

    def __init__(self, cell: Equations, index: int, reason: str) -> None:
        super().__init__(f"{cell.equations[index].label[:60]}: {reason}", f"equation {index}")


@dataclass(frozen=True)
class Equation:
    """One line of a cell: a named intermediate (`i = ...`) or a state update (`c[t] = ...`).

    Attributes:
        target: The name on the left, without `[t]`.
        value: The right-hand side, as written.
        updates_state: Whether the target is a state.
    """

    target: str
    value: sp.Expr
    updates_state: bool = False

    @property
    def label(self) -> str:
        """The left-hand side as written."""
        return f"{self.target}[t]" if self.updates_state else self.target


@dataclass(frozen=True)
class Init:
    """How a parameter starts.

    Attributes:
        parameter: Name of the parameter.
        kind: constant, uniform, normal, identity, orthogonal, chrono or negated.
        args: Numbers: constant (value), uniform (low, high), normal (mean, std),
            identity (scale), orthogonal (gain), chrono (T_max, in steps).
        source: For `negated`, the parameter whose initial value is taken with the other sign.
    """

    parameter: str
    kind: str
    args: tuple[float, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Equations:
    """The fields of a cell, legal or not.

    Attributes:
        name: Name of the cell.
        input: Name of the input vector, usually `x`.
        states: Names of the states, in declared order.
        equations: The update equations, in order.
        output: Name of the equation or state that the layer puts out.
        inits: How parameters start; others start by the model's default.
        recurrent: False for a cell that says it is `not recurrent`.
        citation: Where the cell was published.
        lineage: How the cell was made from others, oldest first. Not part of text or key.
    """

    name: str
    input: str
    states: tuple[str, ...]
    equations: tuple[Equation, ...]
    output: str
    inits: tuple[Init, ...] = ()
    recurrent: bool = True
    citation: str = ""
    lineage: tuple[str, ...] = field(default=(), compare=False)

    def equation(self, target: str) -> Equation | None:
        """Gives the equation with this name on the left, or None."""
        return next((e for e in self.equations if e.target == target), None)

    @property
    def output_label(self) -> str:
        """The left-hand side of the equation whose value the layer puts out."""
        return f"{self.output}[t]" if self.output in self.states else self.output

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters, in order of first use."""
        return self._names(Matrix | Vector)

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the weight matrices, in order of first use."""
        return self._names(Matrix)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the vector parameters, in order of first use."""
        return self._names(Vector)

    def _names(self, kind: type[Leaf] | UnionType) -> tuple[str, ...]:
        nodes = (n for e in self.equations for n in subexpressions(e.value))
        return tuple(dict.fromkeys(n.name for n in nodes if isinstance(n, kind)))

    def replace(self, **changes: object) -> Self:
        """Gives a copy with some attributes changed; inits of vanished parameters go too."""
        draft: dict[str, Any] = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self)
        } | changes
        alive = Equations(**draft).parameters
        draft["inits"] = tuple(
            i
            for i in draft["inits"]
            if i.parameter in alive and (not i.source or i.source in alive)
        )
        return type(self)(**draft)
