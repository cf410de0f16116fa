"""Judges the symbolic Jacobian of a cell by numerical differentiation of the oracle."""

import re

import numpy as np

from odyssey.expr.jacobian import symbolic_jacobian
from odyssey.expr.shapes import infer_shapes
from odyssey.expr.text import format_expression
from support import oracle

UNITS = 3
FUNCTIONS = oracle.FUNCTIONS | {
    "heaviside": lambda a: np.where(a > 0, 1.0, 0.0),
}


def point(cell, seed):
    """Weights, an input and a state at which to differentiate."""
    rng = np.random.default_rng(seed)
    shapes = infer_shapes(cell)
    inputs = UNITS if shapes.square else 2

    def units(size):
        return max(1, int(eval(size, {}, {"I": inputs, "H": UNITS})))

    weights = {n: rng.normal(size=tuple(map(units, s))) for n, s in shapes.matrices.items()}
    weights |= {n: rng.normal(size=units(s)) for n, s in shapes.vectors.items()}
    state = {s: rng.normal(0, 0.5, size=units(shapes.states[s])) for s in cell.states}
    return weights, rng.normal(size=inputs), state


def numerical(cell, weights, x, state, old):
    """d (states, output) / d old[t-1] by central differences of the oracle, by column."""

    def step(values):
        output, final = oracle.run(
            cell.text, weights, x[None, None], {s: v[None] for s, v in values.items()}
        )
        return {**{f"{s}[t]": final[s][0] for s in final}, cell.output: output[0, 0]}

    columns = []
    units = len(state[old])
    for unit in range(units):

        def at(k, unit=unit):
            moved = state | {old: state[old] + k * 1e-4 * np.eye(units)[unit]}
            return step(moved)

        low2, low, high, high2 = at(-2), at(-1), at(1), at(2)
        columns.append({n: (8 * (high[n] - low[n]) - (high2[n] - low2[n])) / 12e-4 for n in high})
    return {n: np.stack([c[n] for c in columns], 1) for n in columns[0]}


def evaluated(cell, weights, x, state):
    env = FUNCTIONS | weights | {"t": 0, cell.input: {0: x}}
    env |= {name: float(value) for name, value in cell.constants.items()}
    env |= {s: {-1: v} for s, v in state.items()}
    for equation in cell.equations:
        value = np.asarray(eval(format_expression(equation.value), env), float)
        if equation.updates_state:
            env[equation.target][0] = value
        else:
            env[equation.target] = value
    found = {}
    for block, terms in symbolic_jacobian(cell).items():
        total = np.zeros(1)
        for term in terms:
            product = np.eye(len(state[block[1]]))
            for place, v in reversed(list(enumerate(term.diagonals))):
                value = np.asarray(eval(format_expression(v), env), float)
                product = np.reshape(value, (-1, 1)) * product
                if place:
                    product = mapped(term.matrices[place - 1], product, env)
            total = total + product
        found[block] = total
    return found


def mapped(matrix, product, env):
    """Multiplies by a factor of a Jacobian from the left."""
    if re.fullmatch(r"ones(\(.*\))?", matrix):
        sizes = {"I": len(env["x"][0]), "H": UNITS}
        units = max(1, int(eval(matrix[5:-1] or "H", {}, sizes)))
        return np.ones((units, 1)) @ product
    if matrix.startswith("argmax("):
        values = np.asarray(eval(matrix.removeprefix("arg").removesuffix(".T")[3:], env))
        return product[[int(np.argmax(values))]]
    own = {
        "ones.T": lambda p: p.sum(0, keepdims=True),
        "mean.T": lambda p: p.mean(0, keepdims=True),
        "cumsum": lambda p: np.cumsum(p, 0),
    }
    if matrix in own:
        return own[matrix](product)
    name, transposed = matrix.removesuffix(".T"), matrix.endswith(".T")
    return (env[name].T if transposed else env[name]) @ product


def agrees(cell, seed=1):
    """Asserts that all blocks of the Jacobian are those of the oracle at a random point."""
    weights, x, state = point(cell, seed)
    found = evaluated(cell, weights, x, state)
    for old in cell.states:
        truth = numerical(cell, weights, x, state, old)
        for (new, by), value in found.items():
            if by == old:
                value = np.broadcast_to(value, truth[new].shape)
                np.testing.assert_allclose(
                    value, truth[new], rtol=1e-5, atol=1e-7, err_msg=f"{new} {old}"
                )
