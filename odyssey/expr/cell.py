"""The `Cell`: a recurrent cell's update equations as frozen data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.terms import Leaf, Matrix, Vector, subexpressions

if TYPE_CHECKING:
    from odyssey.expr.shapes import Shapes


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

    def __init__(self, cell: Cell, index: int, reason: str) -> None:
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
class Cell:
    """A legal recurrent cell; building an illegal one raises `CellError`.

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

    def __reduce__(self) -> tuple[object, ...]:
        # sympy would rebuild sums and products evaluated, in an order of its own
        return _from_text, (self.text, self.lineage)

    def __post_init__(self) -> None:
        from odyssey.expr.verify import verify  # verify reads Cell

        verify(self)

    @cached_property
    def shapes(self) -> Shapes:
        """The sizes of all that the cell holds."""
        from odyssey.expr.shapes import infer_shapes

        return infer_shapes(self)

    @cached_property
    def text(self) -> str:
        """The cell in the language's normal layout; `parse_cell` reads it back."""
        from odyssey.expr.text import format_cell

        return format_cell(self)

    @cached_property
    def canonical_text(self) -> str:
        """The canonical form: equal for cells that are the same up to names and algebra."""
        from odyssey.expr.canonical import canonical_text

        return canonical_text(self)

    @cached_property
    def key(self) -> str:
        """The content key: sha256 of the canonical text, 64 hex digits."""
        from odyssey.expr.canonical import content_key

        return content_key(self)

    @cached_property
    def fingerprint(self) -> str:
        """The numeric fingerprint of the cell as a function, 16 hex digits."""
        from odyssey.expr.fingerprint import fingerprint

        return fingerprint(self)

    @cached_property
    def identity(self) -> tuple[str, str]:
        """Key and numeric fingerprint, initial values included in both.

        Two cells that agree in either are the same for a search: neither name, form nor, as far
        as numbers tell, algebra makes a difference.
        """
        from odyssey.expr.identity import identity

        return identity(self)

    def latex(self) -> str:
        """Prints the equations as a LaTeX `aligned` block, as papers print them."""
        from odyssey.expr.notation import to_latex

        return to_latex(self)

    def equation(self, target: str) -> Equation | None:
        """Gives the equation with this name on the left, or None."""
        return next((e for e in self.equations if e.target == target), None)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters, in order of first use."""
        return tuple(dict.fromkeys(leaf.name for leaf in self._parameter_leaves()))

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the weight matrices, in order of first use."""
        found = (leaf.name for leaf in self._parameter_leaves() if isinstance(leaf, Matrix))
        return tuple(dict.fromkeys(found))

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the vector parameters, in order of first use."""
        found = (leaf.name for leaf in self._parameter_leaves() if isinstance(leaf, Vector))
        return tuple(dict.fromkeys(found))

    def _parameter_leaves(self) -> list[Leaf]:
        return [
            node
            for equation in self.equations
            for node in subexpressions(equation.value)
            if isinstance(node, Matrix | Vector)
        ]

    def replace(self, **changes: object) -> Cell:
        """Gives a copy with some attributes changed; inits of vanished parameters go too."""
        draft = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | changes
        alive = {
            node.name
            for equation in draft["equations"]
            for node in subexpressions(equation.value)
            if isinstance(node, Matrix | Vector)
        }
        draft["inits"] = tuple(
            i
            for i in draft["inits"]
            if i.parameter in alive and (not i.source or i.source in alive)
        )
        return Cell(**draft)


def _from_text(text: str, lineage: tuple[str, ...]) -> Cell:
    from odyssey.expr.text import parse_cell

    return dataclasses.replace(parse_cell(text), lineage=lineage)
