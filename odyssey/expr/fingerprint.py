"""The numeric fingerprint: a second opinion on whether two cells are the same function.

A few steps in float64 on fixed inputs, at three units. Names must not matter, so no parameter may
have weights of its own: every matrix is the same fixed matrix A and every vector the same fixed
vector a, except for one parameter at a time, which is B or b. All states start at one fixed vector,
since many a cell stays at zero when it starts there. The outputs of all these runs, rounded and
sorted, make the fingerprint; how the output reacts to each parameter alone tells where that
parameter is used.
"""

from __future__ import annotations

import hashlib

import numpy as np
import sympy as sp

from odyssey.expr.cell import Cell
from odyssey.expr.functions import BY_FUNCTION, Array, Leaf, Matrix, Vector, is_reciprocal, matmul

UNITS = 3  # input size and hidden size
STEPS = 4
# float64 rounding differs between rewrites near the 14th digit, and after cancellation earlier
DIGITS = 7  # significant digits kept
DECIMALS = 9  # decimals kept


def _fixed() -> tuple[Array, ...]:
    rng = np.random.default_rng(20150319)
    a, b = rng.normal(0.0, 0.6, (2, UNITS, UNITS))
    u, v, start = rng.normal(0.0, 0.6, (3, UNITS))
    return a, b, u, v, start, rng.normal(0.0, 1.0, (STEPS, UNITS))


def fingerprint(cell: Cell) -> str:
    """Gives the fingerprint, 16 hex digits; equal functions have equal ones.

    Initial values are not part of it; cells that differ in `init` lines only share it.
    """
    parameters = cell.parameters
    runs = len(parameters) + 1
    a, b, u, v, start, x_TI = _fixed()
    values: dict[str, Array] = {}
    matrices = set(cell.matrices)
    for number, name in enumerate(parameters, start=1):
        base, other = (a, b) if name in matrices else (u, v)
        value = np.repeat(base[None], runs, axis=0)
        value[number] = other
        values[name] = value
    outputs = []
    state = {s: np.repeat(start[None], runs, axis=0) for s in cell.states}
    with np.errstate(all="ignore"):
        for x in x_TI:
            env = values | {f"{cell.input}[t]": np.repeat(x[None], runs, axis=0)}
            env |= {f"{s}[t-1]": value for s, value in state.items()}
            for equation in cell.equations:
                env[equation.label] = np.broadcast_to(_evaluate(equation.value, env), (runs, UNITS))
            state = {s: env[f"{s}[t]"] for s in cell.states}
            outputs.append(env[f"{cell.output}[t]" if cell.output in cell.states else cell.output])
    rows = [" ".join(_round(n) for n in run.ravel()) for run in np.stack(outputs, axis=1)]
    # A parameter that the output does not see says nothing: dead equations do not count.
    seen = sorted(row for row in rows[1:] if row != rows[0])
    return hashlib.sha256("\n".join([rows[0], *seen]).encode()).hexdigest()[:16]


def _round(value: float) -> str:
    if not np.isfinite(value):
        return "nan" if np.isnan(value) else ("inf" if value > 0 else "-inf")
    return f"{round(value, DECIMALS) + 0.0:.{DIGITS - 1}e}"  # + 0.0: no minus zero


def _evaluate(expr: sp.Expr, env: dict[str, Array]) -> Array:
    if isinstance(expr, Matrix | Vector | Leaf):
        return env[expr.name]
    if isinstance(expr, sp.Rational):
        return np.asarray(float(expr))
    if isinstance(expr, matmul):
        operand = _evaluate(expr.args[1], env)
        matrix = env[expr.args[0].name]
        return np.einsum("rij,rj->ri", matrix, np.broadcast_to(operand, (len(matrix), UNITS)))
    if is_reciprocal(expr):
        return 1.0 / _evaluate(expr.args[0], env)
    args = [_evaluate(arg, env) for arg in expr.args]
    if isinstance(expr, sp.Add):
        return args[0] + args[1]
    if isinstance(expr, sp.Mul):
        return args[0] * args[1]
    return BY_FUNCTION[type(expr)].numpy(*args)
