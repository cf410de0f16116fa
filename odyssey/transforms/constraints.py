"""Measures of a cell, and the limits that a search sets on them.

A *node* is an operation of the graph (`odyssey.expr.program`): a sum, a difference, a product, a
quotient, a sign, a function or a linear map that the output depends on. Equal values count once;
inputs, states, weights and numbers do not count. The LSTM has 25 nodes, the GRU 20.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from odyssey.errors import ConfigError, suggest
from odyssey.expr.algebra import normalise
from odyssey.expr.bounds import output_is_bounded
from odyssey.expr.cell import Cell
from odyssey.expr.counts import layer_operations, layer_parameters
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.program import Program, reach
from odyssey.registry import subset
from odyssey.wording import quoted

_FLAT = subset(PRIMITIVES, lambda name, row: row.is_flat)


@dataclass(frozen=True)
class Rejection:
    """Why a cell is not wanted.

    Attributes:
        code: One word that rejections are counted by, such as `max_nodes` or `constant`.
        text: The reason, in a line.
    """

    code: str
    text: str


@dataclass(frozen=True)
class Constraints:
    """Limits on a cell; None or False sets none.

    Attributes:
        max_nodes: Nodes, see above.
        max_depth: Nodes in the longest chain of one step.
        max_parameters: Weights of one layer.
        max_flops: Floating-point operations of one layer for one character, forward.
        max_states: States.
        max_dependent_products: Matrix products of one step that wait for each other.
        gradient_path: Whether a state must reach its own later values.
        bounded: Whether the output must stay bounded for all weights and times.
    """

    max_nodes: int | None = None
    max_depth: int | None = None
    max_parameters: int | None = None
    max_flops: int | None = None
    max_states: int | None = None
    max_dependent_products: int | None = None
    gradient_path: bool = False
    bounded: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("max_"):
                whole = isinstance(value, int) and not isinstance(value, bool)
                if value is not None and not (whole and value >= 1):
                    raise ConfigError(
                        f"constraint {field.name}: expected a whole number >= 1,"
                        f" got {quoted(value)}"
                    )
            elif not isinstance(value, bool):
                raise ConfigError(
                    f"constraint {field.name}: expected true or false, got {quoted(value)}"
                )

    @classmethod
    def from_mapping(cls, given: Mapping[str, object]) -> Constraints:
        """Reads constraints from plain data, such as a table of a study.

        Raises:
            ConfigError: There is no such constraint, or a value makes no sense.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        for name in given:
            if name not in known:
                raise ConfigError(suggest(str(name), known, what="constraint"))
        return cls(**given)  # type: ignore[arg-type]


def nodes(cell: Cell) -> int:
    """Counts the nodes of a cell."""
    return _nodes(cell.live)


def _nodes(program: Program) -> int:
    return sum(not o.is_leaf for o in program.nodes)


def depth(cell: Cell) -> int:
    """Counts the nodes in the longest chain of one step."""
    return _depth(cell.live)


def _depth(program: Program) -> int:
    return max(program.longest(lambda _, o: int(not o.is_leaf)))


def parameters(cell: Cell, input_size: int, hidden_size: int) -> int:
    """Counts the weights of one layer; dead ones do not count.

    A square cell reads an embedding of hidden size, so `input_size` does not matter for it; the
    embedding itself belongs to the model.
    """
    return layer_parameters(cell.live, cell.shapes, input_size, hidden_size)


def flops(cell: Cell, input_size: int, hidden_size: int) -> int:
    """Counts the floating-point operations of one layer for one character, forward.

    `odyssey.expr.counts` says what counts how much.
    """
    return layer_operations(cell.live, cell.shapes, input_size, hidden_size)


def _dependent_products(program: Program) -> int:
    """Counts the matrix products in the longest chain that starts at a previous state.

    They run one after the other in every step: 1 in the LSTM, 2 in the GRU. Products of the
    input alone are computed for all steps at once and do not count.
    """
    waits = program.reached(["previous"])
    return max(program.longest(lambda k, o: int(o.op == "matmul" and waits[k])))


def has_gradient_path(cell: Cell) -> bool:
    """Says whether a state reaches its own later values, and the output, with a gradient.

    Decided on the normal form, where `h[t-1] - h[t-1]` is gone; functions whose derivative is zero
    everywhere do not pass anything on. A delay line that nothing feeds back has no such path.
    """
    normal, flat = normalise(cell, cell.shapes), frozenset(_FLAT)
    reads = {s: normal.states_in(poly, blocked=flat) for s, poly in normal.updates.items()}
    return any(state in reach(reads[state], reads.__getitem__) for state in reads)


def is_bounded(cell: Cell) -> bool:
    """Says whether the output is bounded for all weights, times and bounded inputs.

    Sound, not complete: True is a proof by interval arithmetic with blends
    (`odyssey.expr.bounds`), False only says that there is none. The LSTM is bounded (its output,
    not its cell state), the GRU is, an Elman cell with `relu` is not.
    """
    return output_is_bounded(cell)


def reject(
    cell: Cell, constraints: Constraints, *, input_size: int, hidden_size: int
) -> Rejection | None:
    """Gives the first constraint that a cell violates, or None.

    Args:
        cell: The cell.
        constraints: The limits.
        input_size: I, of a one-hot input: the number of symbols.
        hidden_size: H, at which parameters and operations are counted.
    """
    program, shapes = cell.live, cell.shapes
    measured: dict[str, int] = {
        "max_nodes": _nodes(program),
        "max_depth": _depth(program),
        "max_parameters": layer_parameters(program, shapes, input_size, hidden_size),
        "max_flops": layer_operations(program, shapes, input_size, hidden_size),
        "max_states": len(program.states),
        "max_dependent_products": _dependent_products(program),
    }
    for name, value in measured.items():
        most = getattr(constraints, name)
        if most is not None and value > most:
            what = name.removeprefix("max_").replace("_", " ")
            return Rejection(name, f"{value:,} {what}; at most {most:,} are allowed")
    if constraints.gradient_path and not has_gradient_path(cell):
        return Rejection("gradient_path", "no state reaches its own later values")
    if constraints.bounded and not is_bounded(cell):
        return Rejection("bounded", "the output may grow without bound")
    return None
