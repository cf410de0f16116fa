"""Runs a program in NumPy, in float64: what fingerprints and degenerate cells are judged by.

Shapes: T steps, P members with weights of their own, B rows, I input, H units, N any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.primitives import PRIMITIVES, Array
from odyssey.expr.program import MAIN_INPUT, Node, Program
from odyssey.expr.reductions import REDUCTIONS, RESHAPINGS
from odyssey.expr.sizes import UNITS, is_matrix

LEAST_DIVISOR = 2.0**-26  # a divisor below this may be what is left of a - a


def run_program(
    program: Program,
    weights: Mapping[str, Array],
    inputs: Mapping[str, Array],
    start: Mapping[str, Array],
    *,
    jitter_KPBN: Array | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Runs a cell in float64.

    Args:
        program: The cell, of which nothing is dead.
        weights: Name -> (P, N, N) for a matrix, (P, N) for a vector.
        inputs: Name of an input -> (T, P, B, N); the main one has no name.
        start: Name of a state -> (P, B, N), of a matrix (P, B, N, N).
        jitter_KPBN: K factors near 1, by which the results of operations are multiplied in turn,
            to see what rounding does to the output; a quotient by next to nothing, which may be
            nothing but rounding, is then NaN, and so is a function of it that jumps or ends there.

    Returns:
        The outputs (T, P, B, H), and for each live state its values after each step (T, P, B, N).
    """
    steps, members, rows, _ = inputs[MAIN_INPUT].shape
    careful = jitter_KPBN is not None
    factors: Sequence[Array | float] = (1.0,) if jitter_KPBN is None else tuple(jitter_KPBN)
    turns = len(factors)
    timed, carried = program.reached(["input"]), program.reached(["previous"])
    updates = dict(zip(program.states, program.updates, strict=True))
    leaves: dict[str, Callable[[Node], Array]] = {
        "input": lambda node: inputs[node.name],
        "vector": lambda node: weights[node.name][:, None],
        "constant": lambda node: np.full((members, 1, 1), float(node.value)),
        "previous": lambda node: start[node.name],
    }
    values: list[Array] = []
    code: list[tuple[Callable[..., Array], int, tuple[int, ...]]] = []
    for number, node in enumerate(program.nodes):
        if node.op in leaves:
            values.append(leaves[node.op](node))
            continue
        function = _function(node, weights, careful=careful)
        if is_matrix(node.size) and node.op not in RESHAPINGS:
            numbers = [not is_matrix(program.nodes[a].size) for a in node.args]
            function = _among_matrices(function, numbers)
        if carried[number]:
            values.append(np.empty(0))
            code.append((function, number, node.args))
        else:  # known before the loop, for all steps at once
            value = function(*(values[a] for a in node.args))
            values.append(_shaken(value, factors[number % turns], node))
    wanted = [*program.updates, program.output]
    read = {a for _, _, args in code for a in args} | set(wanted)
    moving = [(k, values[k]) for k in sorted(read) if timed[k] and not carried[k]]
    old = ((k, n.name) for k, n in enumerate(program.nodes) if n.op == "previous")
    previous = [(k, updates[name], start[name].shape[2:]) for k, name in old]
    history: dict[int, list[Array]] = {number: [] for number in wanted}
    for t in range(steps):
        for number, series in moving:
            values[number] = series[t]
        for function, number, args in code:
            value = function(*[values[a] for a in args])
            factor = factors[(number + 7 * t) % turns]
            values[number] = _shaken(value, factor, program.nodes[number])
        for number, past in history.items():
            past.append(values[number])
        after = [values[update] for _, update, _ in previous]
        for (number, _, own), value in zip(previous, after, strict=True):
            # an update may be one number, as in c[t] = 0, where a map reads a state
            values[number] = np.broadcast_to(value, (*value.shape[:2], *own))
    units = next((v.shape[2:] for s, v in start.items() if program.state_size(s) == UNITS), None)
    shapes = {program.output: units or values[program.output].shape[2:]}
    shapes |= {k: start[s].shape[2:] for s, k in updates.items()}
    found = {}
    for number, past in history.items():
        found[number] = np.empty((steps, members, rows, *shapes[number]))
        for t, value in enumerate(past):
            found[number][t] = value
    return found[program.output], {s: found[k] for s, k in updates.items()}


def _shaken(value: Array, factor: Array | float, node: Node) -> Array:
    """Multiplies by a factor near 1, of as many units as the value has."""
    if isinstance(factor, float):
        return value * factor
    if is_matrix(node.size):
        factor = factor[..., None, :]
    return value * factor[..., : value.shape[-1]]


def _careful_quotient(a: Array, b: Array) -> Array:
    return a / np.where(np.abs(b) < LEAST_DIVISOR, np.nan, b)


def _careful(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def value(a: Array) -> Array:
        return function(np.where((a != 0) & (np.abs(a) < LEAST_DIVISOR), np.nan, a))

    return value


def _function(node: Node, weights: Mapping[str, Array], *, careful: bool) -> Callable[..., Array]:
    if node.op == "matmul":
        matrix_PNM = weights[node.name]
        if not node.transposed:
            matrix_PNM = np.swapaxes(matrix_PNM, -1, -2)
        return lambda value: np.matmul(value, matrix_PNM)
    if node.op == "div" and careful:
        return _careful_quotient
    if node.op in REDUCTIONS:
        return REDUCTIONS[node.op].numpy
    if node.op in RESHAPINGS:
        return RESHAPINGS[node.op].numpy
    if node.op in ARITHMETIC:
        return ARITHMETIC[node.op].apply
    row = PRIMITIVES[node.op]
    return _careful(row.numpy) if row.edge and careful else row.numpy


def _among_matrices(function: Callable[..., Array], numbers: list[bool]) -> Callable[..., Array]:
    """Lets a number of a row meet all numbers of a matrix; `numbers` says which operands are."""

    def value(*args: Array) -> Array:
        return function(*(a[..., None] if n else a for a, n in zip(args, numbers, strict=True)))

    return value
