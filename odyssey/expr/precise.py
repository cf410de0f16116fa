"""Runs a cell in arithmetic of any precision, for values that float64 cannot settle.

One member, one row of the batch; every value is a list with one number a unit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import mpmath

from odyssey.expr.arithmetic import ARITHMETIC
from odyssey.expr.primitives import PRIMITIVES, Array
from odyssey.expr.program import MAIN_INPUT, Node, Program
from odyssey.expr.reductions import REDUCTIONS, RESHAPINGS
from odyssey.expr.sizes import is_matrix

MAX_EXPONENT = 10_000  # numbers beyond 2 to this power have no value here

Number = Any  # of mpmath, which has no types
PreciseVector = list[Number]


class UndefinedError(ArithmeticError):
    """Says that a value is undefined: by nothing but rounding, out of the domain, or too large."""


def run_precisely(
    program: Program,
    weights: Mapping[str, Array],
    inputs: Mapping[str, Array],
    start: Mapping[str, Array],
    *,
    bits: int,
    rng: random.Random,
) -> list[PreciseVector]:
    """Runs a cell in numbers of so many bits, with an error in the last ones of every result.

    Without these errors a sum that loses its small terms loses them in every precision alike, and
    nothing would tell.

    Args:
        program: The cell, of which nothing is dead.
        weights: Name -> (N, M) for a matrix, (N,) for a vector.
        inputs: Name of an input -> (T, N); the main one has no name.
        start: What each state starts at, (N,).
        bits: Of a number.
        rng: For the errors.

    Returns:
        The output after each step, up to the first in which something is undefined.
    """
    context = mpmath.MPContext()
    context.prec = bits
    errors = [1 + context.ldexp(rng.uniform(-1.0, 1.0), 6 - bits) for _ in range(97)]
    turn = 0
    exact = {name: _exact(context, w.tolist()) for name, w in weights.items()}
    states = {name: _exact(context, start[name].tolist()) for name in program.states}
    moving = program.reached(["input", "previous"])
    values: list[PreciseVector] = [[]] * len(program.nodes)
    outputs: list[PreciseVector] = []
    numbers = {name: x.tolist() for name, x in inputs.items()}
    for t in range(len(inputs[MAIN_INPUT])):
        read = {name: _exact(context, x[t]) for name, x in numbers.items()}
        leaves = {"input": read, "previous": states, "vector": exact}
        try:
            for number, node in enumerate(program.nodes):
                if moving[number] or not t:
                    operands = [values[a] for a in node.args]
                    if node.op in leaves:
                        values[number] = leaves[node.op][node.name]
                    elif node.op == "constant":
                        above, below = node.value.as_integer_ratio()
                        values[number] = [context.mpf(above) / below]
                    else:
                        result = _apply(context, node, operands, exact)
                        values[number] = _with_errors(result, errors, turn)
                        turn += len(result)
        except (UndefinedError, ZeroDivisionError):
            return outputs
        outputs.append(values[program.output])
        states = {s: values[k] for s, k in zip(program.states, program.updates, strict=True)}
    return outputs


def _with_errors(values: PreciseVector, errors: Sequence[Number], turn: int) -> PreciseVector:
    return [
        _with_errors(v, errors, turn + k) if isinstance(v, list) else v * errors[(turn + k) % 97]
        for k, v in enumerate(values)
    ]


def _exact(context: Any, numbers: Sequence[Any]) -> Any:
    return [
        _exact(context, n) if isinstance(n, list) else context.mpf(n) for n in numbers
    ]  # a float64 is a number of few bits


def _apply(
    context: Any, node: Node, inputs: list[PreciseVector], weights: Mapping[str, Any]
) -> PreciseVector:
    if node.op == "matmul":
        rows = weights[node.name]
        rows = list(zip(*rows, strict=True)) if node.transposed else rows
        result = [context.fdot(zip(row, inputs[0], strict=True)) for row in rows]
    elif node.op in REDUCTIONS:
        result = REDUCTIONS[node.op].mpmath(context, inputs[0])
    elif node.op in RESHAPINGS:
        result = RESHAPINGS[node.op].mpmath(context, inputs[0])
    elif is_matrix(node.size):
        return _rows_of_matrix(context, node, inputs, weights)
    elif node.op in ARITHMETIC:
        if node.op == "div" and any(_is_rounding(context, b) for b in inputs[1]):
            raise UndefinedError
        result = [ARITHMETIC[node.op].apply(*row) for row in _rows(inputs)]
    else:
        row = PRIMITIVES[node.op]
        function = row.mpmath
        if row.edge and any(v != 0 and _is_rounding(context, v) for v in inputs[0]):
            raise UndefinedError
        result = [function(context, *row) for row in _rows(inputs)]
    if not all(context.mag(value) <= MAX_EXPONENT for value in _flat(result)):  # of NaN it is NaN
        raise UndefinedError
    return result


def _rows_of_matrix(
    context: Any, node: Node, inputs: list[PreciseVector], weights: Mapping[str, Any]
) -> PreciseVector:
    """Computes a matrix elementwise, row by row; a number of a row meets all of it."""
    matrices = [v if isinstance(v[0], list) else [v] for v in inputs]
    vectors = replace(node, size="")
    return [_apply(context, vectors, list(rows), weights) for rows in _rows(matrices)]


def _flat(values: PreciseVector) -> Iterator[Number]:
    for value in values:
        yield from value if isinstance(value, list) else (value,)


def _rows(inputs: list[PreciseVector]) -> Iterator[tuple[Number, ...]]:
    """Gives the operands unit by unit; a single number meets all units of the others."""
    units = max(map(len, inputs))
    return zip(*(v * units if len(v) == 1 else v for v in inputs), strict=True)


def _is_rounding(context: Any, value: Number) -> bool:
    """Says whether a number is so small that it may be what is left of a - a."""
    small: bool = context.mag(value) < -(context.prec // 2)
    return small
