"""A cell as a graph of operations: equal ones once, dead ones not at all.

What measures a cell (size, depth, cost) and what runs it in NumPy (fingerprint, degeneracy) reads
this graph, so that neither depends on how the equations are split up and named.

Shapes: T steps, P members with weights of their own, B rows, I input, H units, N any of these two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.primitives import BY_FUNCTION, PRIMITIVES, Array
from odyssey.expr.terms import (
    Current,
    Input,
    Named,
    Previous,
    Vector,
    is_negation,
    is_reciprocal,
    matmul,
)

LEAVES = ("input", "state", "vector", "constant")
NOTHING = 2.0**-26  # a divisor below this may be what is left of a - a
_ARITHMETIC: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
}


@dataclass(frozen=True)
class Operation:
    """One value of a cell.

    Attributes:
        kind: A leaf (input, state, vector, constant), map, add, sub, mul, div, neg, or the name
            of a function.
        args: Numbers of the operands.
        name: Of the state, the vector, or the matrix of a map.
        value: Of a constant, exactly.
    """

    kind: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)

    @property
    def is_leaf(self) -> bool:
        """Whether nothing is computed."""
        return self.kind in LEAVES


@dataclass(frozen=True)
class Graph:
    """What the output of a cell depends on; operands come before what reads them.

    Attributes:
        operations: The values.
        updates: For each live state the number of its new value.
        output: Number of the value that the layer puts out.
    """

    operations: tuple[Operation, ...]
    updates: dict[str, int]
    output: int

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the live parameters, in order of first use."""
        found = (o.name for o in self.operations if o.kind in ("map", "vector"))
        return tuple(dict.fromkeys(found))

    @cached_property
    def biases(self) -> frozenset[str]:
        """Names of the vectors that are only ever added or subtracted."""
        found = {o.name for o in self.operations if o.kind == "vector"}
        for operation in self.operations:
            if operation.kind not in ("add", "sub"):
                found -= {self.operations[a].name for a in operation.args}
        return frozenset(found)

    def reached(self, kinds: Iterable[str]) -> tuple[bool, ...]:
        """Says of each value whether it depends, in this step, on a leaf of these kinds."""
        wanted = frozenset(kinds)
        found: list[bool] = []
        for operation in self.operations:
            found.append(operation.kind in wanted or any(found[a] for a in operation.args))
        return tuple(found)

    def longest(self, cost: Callable[[int, Operation], int]) -> tuple[int, ...]:
        """Gives for each value the largest sum of costs along a chain that ends in it."""
        found: list[int] = []
        for number, operation in enumerate(self.operations):
            below = max((found[a] for a in operation.args), default=0)
            found.append(below + cost(number, operation))
        return tuple(found)


class _Builder:
    def __init__(self, cell: Cell) -> None:
        self.operations: list[Operation] = []
        self.numbers: dict[Operation, int] = {}
        self.values: dict[str, int] = {}
        for equation in cell.equations:
            self.values[equation.label] = self.add(equation.value)

    def emit(self, operation: Operation) -> int:
        if operation not in self.numbers:
            self.numbers[operation] = len(self.operations)
            self.operations.append(operation)
        return self.numbers[operation]

    def add(self, expr: sp.Expr) -> int:
        if isinstance(expr, Named | Current):
            return self.values[expr.name]
        if isinstance(expr, Input):
            return self.emit(Operation("input"))
        if isinstance(expr, Previous):
            return self.emit(Operation("state", name=expr.name.removesuffix("[t-1]")))
        if isinstance(expr, Vector):
            return self.emit(Operation("vector", name=expr.name))
        if isinstance(expr, sp.Rational):
            value = Fraction(int(expr.p), int(expr.q))
            return self.emit(Operation("constant", value=value))
        if isinstance(expr, matmul):
            return self.emit(Operation("map", (self.add(expr.args[1]),), expr.args[0].name))
        kind, operands = _operation(expr)
        return self.emit(Operation(kind, tuple(self.add(a) for a in operands)))


def _operation(expr: sp.Expr) -> tuple[str, tuple[sp.Expr, ...]]:
    """Names an operation and its operands as they are written: `a - b`, not `a + -1 * b`."""
    if is_negation(expr):
        return "neg", (expr.args[1],)
    if isinstance(expr, sp.Add):
        left, right = expr.args
        return ("sub", (left, right.args[1])) if is_negation(right) else ("add", (left, right))
    if isinstance(expr, sp.Mul):
        left, right = expr.args
        return ("div", (left, right.args[0])) if is_reciprocal(right) else ("mul", (left, right))
    return BY_FUNCTION[type(expr)].name, expr.args


def build_graph(cell: Cell) -> Graph:
    """Builds the graph of what the output of a cell depends on, through time."""
    builder = _Builder(cell)
    rows = builder.operations
    output = builder.values[f"{cell.output}[t]" if cell.output in cell.states else cell.output]
    live: set[int] = set()
    states: list[str] = []
    todo = [output]
    while todo:
        number = todo.pop()
        if number in live:
            continue
        live.add(number)
        operation = rows[number]
        todo += operation.args
        if operation.kind == "state":
            states.append(operation.name)
            todo.append(builder.values[f"{operation.name}[t]"])
    new = {old: k for k, old in enumerate(sorted(live))}
    return Graph(
        tuple(
            Operation(o.kind, tuple(new[a] for a in o.args), o.name, o.value)
            for o in (rows[old] for old in new)
        ),
        {s: new[builder.values[f"{s}[t]"]] for s in cell.states if s in states},
        new[output],
    )


def run_graph(
    graph: Graph,
    weights: Mapping[str, Array],
    x_TPBI: Array,
    start: Mapping[str, Array],
    *,
    jitter_KPBN: Array | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Runs a cell in float64.

    Args:
        graph: The cell.
        weights: Name -> (P, N, N) for a matrix, (P, N) for a vector.
        x_TPBI: The inputs.
        start: Name of a state -> (P, B, H).
        jitter_KPBN: K factors near 1, by which the results of operations are multiplied in turn,
            to see what rounding does to the output; a quotient by next to nothing, which may be
            nothing but rounding, is then NaN.

    Returns:
        The outputs (T, P, B, H), and for each live state its values after each step, same shape.
    """
    steps, members, rows, _ = x_TPBI.shape
    turns = 1 if jitter_KPBN is None else len(jitter_KPBN)
    timed, carried = graph.reached(["input"]), graph.reached(["state"])
    values: list[Array] = []
    code: list[tuple[Callable[..., Array], int, tuple[int, ...]]] = []
    for number, operation in enumerate(graph.operations):
        function = _function(operation, weights)
        if jitter_KPBN is not None and operation.kind == "div":
            function = _careful_quotient
        if operation.kind == "input":
            values.append(x_TPBI)
        elif operation.kind == "vector":
            values.append(weights[operation.name][:, None])
        elif operation.kind == "constant":
            values.append(np.full((members, 1, 1), float(operation.value)))
        elif carried[number]:
            values.append(np.empty(0))
            if operation.kind != "state":
                code.append((function, number, operation.args))
        else:  # known before the loop, for all steps at once
            value = function(*(values[a] for a in operation.args))
            values.append(value if jitter_KPBN is None else value * jitter_KPBN[number % turns])
    units = next(iter(start.values())).shape[-1] if start else None
    shape = (members, rows, units or values[graph.output].shape[-1])
    kept = [*graph.updates.values(), graph.output]
    read = {a for _, _, args in code for a in args} | set(kept)
    moving = [(k, values[k]) for k in sorted(read) if timed[k] and not carried[k]]
    previous = [
        (k, graph.updates[o.name]) for k, o in enumerate(graph.operations) if o.kind == "state"
    ]
    for number, _ in previous:
        values[number] = start[graph.operations[number].name]
    history = {number: np.empty((steps, *shape)) for number in kept}
    for t in range(steps):
        for number, series in moving:
            values[number] = series[t]
        for function, number, args in code:
            if len(args) == 1:
                values[number] = function(values[args[0]])
            else:
                values[number] = function(values[args[0]], values[args[1]])
            if jitter_KPBN is not None:
                values[number] = values[number] * jitter_KPBN[(number + 7 * t) % turns]
        for number, past in history.items():
            past[t] = values[number]
        after = [values[update] for _, update in previous]
        for (number, _), value in zip(previous, after, strict=True):
            values[number] = value
    return history[graph.output], {s: history[k] for s, k in graph.updates.items()}


def _careful_quotient(a: Array, b: Array) -> Array:
    return a / np.where(np.abs(b) < NOTHING, np.nan, b)


def _function(operation: Operation, weights: Mapping[str, Array]) -> Callable[..., Array]:
    if operation.kind in _ARITHMETIC:
        return _ARITHMETIC[operation.kind]
    if operation.kind == "map":
        matrix_PNM = np.swapaxes(weights[operation.name], -1, -2)
        return lambda value: np.matmul(value, matrix_PNM)
    return PRIMITIVES[operation.kind].numpy if operation.kind in PRIMITIVES else np.empty
