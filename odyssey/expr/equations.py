"""The frozen fields of a cell, and what is wrong with them: the ground of the language.

Text, verification, canonical form and notation read `Equations`; `cell.Cell` is what passed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from types import UnionType
from typing import Any, Self

import sympy as sp

from odyssey.errors import CellError
from odyssey.expr.terms import Const, Input, Leaf, Matrix, Vector, leaves, subexpressions


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
        size: The size that a named equation is declared to have, as written, or empty.
    """

    target: str
    value: sp.Expr
    updates_state: bool = False
    size: str = ""

    @property
    def label(self) -> str:
        """The left-hand side as written."""
        return f"{self.target}[t]" if self.updates_state else self.target

    def with_value(self, value: sp.Expr) -> Equation:
        """Gives the equation with another right-hand side."""
        return dataclasses.replace(self, value=value)


@dataclass(frozen=True)
class Init:
    """How a parameter starts.

    Attributes:
        parameter: Name of the parameter.
        kind: A row of the table in `initial.py`, or negated.
        args: The numbers of that row, such as (mean, std) of normal.
        source: For `negated`, the parameter whose initial value is taken with the other sign.
    """

    parameter: str
    kind: str
    args: tuple[float, ...] = ()
    source: str = ""


def without_source(init: Init, others: Iterable[Init], live: Collection[str]) -> Init:
    """Gives what a copy of a dead parameter that starts at a number starts at: the same init else.

    Args:
        init: The initialisation.
        others: All of the cell.
        live: Names of the parameters that count.
    """
    if not init.source or init.source in live:
        return init
    source = next((o for o in others if o.parameter == init.source), None)
    if source is None or source.kind != "constant":
        return init
    return Init(init.parameter, "constant", (0.0 - source.args[0],))


@dataclass(frozen=True)
class Declaration:
    """What a cell declares of a name: a size, that of a state, or the shape of a weight.

    Attributes:
        name: The name.
        sizes: One size, of a matrix two (rows, columns). Of a declared size its text
            (`sizes.parts`); of others as written, so that it may be the name of a declared size.
            None where only properties are said.
        properties: Of a weight, as written; see `properties.py`.
    """

    name: str
    sizes: tuple[str, ...]
    properties: tuple[str, ...] = ()


@dataclass(frozen=True)
class Start:
    """What a state is before the first step; zero where nothing is said.

    Attributes:
        state: Name of the state.
        value: The number.
        weight: Name of the vector of weights that it is instead, or empty.
    """

    state: str
    value: Fraction = Fraction(0)
    weight: str = ""


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
        sizes: Declared sizes, in order.
        state_sizes: Of states that do not have size H.
        weights: Shapes of weights that do not follow from use.
        starts: What states are before the first step, where that is not zero.
        further_inputs: What a step reads besides `input`, each with its one size.
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
    sizes: tuple[Declaration, ...] = ()
    state_sizes: tuple[Declaration, ...] = ()
    weights: tuple[Declaration, ...] = ()
    starts: tuple[Start, ...] = ()
    further_inputs: tuple[Declaration, ...] = ()
    lineage: tuple[str, ...] = field(default=(), compare=False)

    def equation(self, target: str) -> Equation | None:
        """Gives the equation with this name on the left, or None."""
        return next((e for e in self.equations if e.target == target), None)

    @property
    def output_label(self) -> str:
        """The left-hand side of the equation whose value the layer puts out."""
        return f"{self.output}[t]" if self.output in self.states else self.output

    def size(self, written: str) -> str:
        """Gives the text of a size from what a declaration says, which may be a name."""
        return next((d.sizes[0] for d in self.sizes if d.name == written), written)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all inputs, the main one first."""
        return (self.input, *(d.name for d in self.further_inputs))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of all parameters, in order of first use; at last those that states start at."""
        return tuple(dict.fromkeys((*self._names(Matrix | Vector), *self.start_weights)))

    @property
    def start_weights(self) -> tuple[str, ...]:
        """Names of the vectors that states start at."""
        return tuple(s.weight for s in self.starts if s.weight)

    @property
    def names(self) -> frozenset[str]:
        """All names that mean something in the cell: no new one may be one of these."""
        targets = (e.target for e in self.equations)
        said = (*self.constants, *(d.name for d in self.sizes))
        return frozenset((*self.inputs, *self.states, *targets, *self.parameters, *said))

    @property
    def sizes_in_use(self) -> frozenset[str]:
        """The sizes that inputs, states, weights and equations are declared to have, as written."""
        declarations = (*self.further_inputs, *self.state_sizes, *self.weights)
        declared = (s for d in declarations for s in d.sizes)
        return frozenset((*declared, *(e.size for e in self.equations)))

    @property
    def inputs_read(self) -> frozenset[str]:
        """Names of the inputs that an equation reads."""
        return frozenset(n.stem for e in self.equations for n in leaves(e.value, Input))

    @property
    def constants(self) -> dict[str, Fraction]:
        """The named numbers, in order of first use."""
        nodes = (n for e in self.equations for n in subexpressions(e.value))
        return {n.stem: n.value for n in nodes if isinstance(n, Const)}

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
        """Gives a copy with some attributes changed.

        What is said of states, parameters, further inputs and sizes that have vanished goes too.
        """
        draft: dict[str, Any] = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self)
        } | changes
        for name, of in (("starts", "state"), ("state_sizes", "name")):
            draft[name] = tuple(d for d in draft[name] if getattr(d, of) in draft["states"])
        if draft["further_inputs"]:
            read = Equations(**draft).inputs_read
            draft["further_inputs"] = tuple(d for d in draft["further_inputs"] if d.name in read)
        alive = Equations(**draft).parameters
        draft["weights"] = tuple(w for w in draft["weights"] if w.name in alive)
        used = Equations(**draft).sizes_in_use
        draft["sizes"] = tuple(d for d in draft["sizes"] if d.name in used)
        draft["inits"] = tuple(
            i
            for i in draft["inits"]
            if i.parameter in alive and (not i.source or i.source in alive)
        )
        return type(self)(**draft)
