"""Runs a cell in arithmetic of any precision, for values that float64 cannot settle.

One member, one row of the batch; every value is a list with one number a unit.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import mpmath

from odyssey.expr.primitives import PRIMITIVES, Array
from odyssey.expr.running import Graph, Operation

MAX_EXPONENT = 10_000  # numbers beyond 2 to this power have no value here

Number = Any  # of mpmath, which has no types
Vector = list[Number]


class UndefinedError(ArithmeticError):
    """Says that a value is undefined: a quotient by nothing but rounding, or a number too large."""


def run_precisely(
    graph: Graph,
    weights: Mapping[str, Array],
    x_TI: Array,
    start: Array,
    *,
    bits: int,
    rng: random.Random,
) -> list[Vector]:
    """Runs a cell in numbers of so many bits, with an error in the last ones of every result.

    Without these errors a sum that loses its small terms loses them in every precision alike, and
    nothing would tell.

    Args:
        graph: The cell.
        weights: Name -> (N, N) for a matrix, (N,) for a vector; all sizes are N.
        x_TI: The inputs.
        start: What every state starts at, (N,).
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
    states = dict.fromkeys(graph.updates, _exact(context, start.tolist()))
    moving = graph.reached(["input", "state"])
    values: list[Vector] = [[]] * len(graph.operations)
    outputs: list[Vector] = []
    for t, x in enumerate(x_TI.tolist()):
        known = {"input": {"": _exact(context, x)}, "state": states, "vector": exact}
        try:
            for number, operation in enumerate(graph.operations):
                if moving[number] or not t:
                    inputs = [values[a] for a in operation.args]
                    if operation.kind in known:
                        values[number] = known[operation.kind][operation.name]
                    elif operation.kind == "constant":
                        value = context.mpf(operation.value.numerator)
                        values[number] = [value / operation.value.denominator] * len(x)
                    else:
                        found = _apply(context, operation, inputs, exact)
                        values[number] = [v * errors[(turn + k) % 97] for k, v in enumerate(found)]
                        turn += len(found)
        except (UndefinedError, ZeroDivisionError):
            return outputs
        outputs.append(values[graph.output])
        states = {state: values[k] for state, k in graph.updates.items()}
    return outputs


def _exact(context: Any, numbers: Sequence[Any]) -> Any:
    return [
        _exact(context, n) if isinstance(n, list) else context.mpf(n) for n in numbers
    ]  # a float64 is a number of few bits


def _apply(
    context: Any, operation: Operation, inputs: list[Vector], weights: Mapping[str, Any]
) -> Vector:
    if operation.kind == "map":
        rows = weights[operation.name]
        result = [context.fdot(zip(row, inputs[0], strict=True)) for row in rows]
    else:
        result = [_element(context, operation.kind, *row) for row in zip(*inputs, strict=True)]
    if any(context.mag(value) > MAX_EXPONENT for value in result):
        raise UndefinedError
    return result


def _element(context: Any, kind: str, a: Number, b: Number | None = None) -> Number:
    match kind:
        case "add":
            return a + b
        case "sub":
            return a - b
        case "mul":
            return a * b
        case "neg":
            return -a
        case "div":
            if context.mag(b) < -(context.prec // 2):
                raise UndefinedError
            return a / b
    function = PRIMITIVES[kind].mpmath
    return function(context, a) if b is None else function(context, a, b)
