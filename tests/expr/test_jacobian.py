"""The symbolic Jacobian against numerical differentiation of the oracle."""

import re

import numpy as np
import pytest
from support import oracle
from support.random_cells import random_cell, random_wide_cell
from support.representatives import REPRESENTATIVES

from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.forms import LANGUAGE, NAMED_FORMS
from odyssey.expr.jacobian import format_jacobian, symbolic_jacobian
from odyssey.expr.primitives import PRIMITIVES
from odyssey.expr.shapes import infer_shapes
from odyssey.expr.text import format_expression
from odyssey.specs import CELL_SETS, get_cell

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


@pytest.mark.parametrize("spec", [*REPRESENTATIVES, *CELL_SETS["odyssey9"], "lstm:forget_bias=2"])
def test_library_cells(spec):
    agrees(get_cell(spec))


@pytest.mark.parametrize("seed", range(40))
def test_random_cells(seed):
    agrees(random_cell(np.random.default_rng(seed), size=12), seed)


@pytest.mark.parametrize("seed", range(40))
def test_random_cells_with_sizes_and_reductions(seed):
    cell = random_wide_cell(np.random.default_rng([3, seed]), size=8)
    if any(";" in size for size in cell.shapes.states.values()):
        with pytest.raises(CellError, match="a state that is a matrix"):
            format_jacobian(cell)
    elif len(format_jacobian(cell)) < 20_000:
        agrees(cell, seed)


@pytest.mark.parametrize(
    "name", [n for n in LANGUAGE if n not in PRIMITIVES or not PRIMITIVES[n].surrogate]
)
def test_every_function(name):
    inside = "1 + square({})" if LANGUAGE[name].edge == "end" else "{}"
    one, other = "U @ h[t-1] + W @ x[t]", "V @ q + 0.1 * h[t-1]"
    rest = ", 0.3 * h[t-1]" * (LANGUAGE[name].arity - 1)
    agrees(
        parse_cell(
            f"cell c\ninput x\nstate h\nq = {name}({inside.format(one)}{rest})\n"
            f"p = {name}({inside.format(other)}{rest})\n"
            "h[t] = 0.5 * p / (1 + square(h[t-1]))\noutput h\n"
        )
    )


def test_a_surrogate_is_what_stands_in_the_jacobian():
    text = "cell c\ninput x\nstate h\nh[t] = step(W @ x[t] + p * h[t-1])\noutput h\n"
    printed = format_jacobian(parse_cell(text))
    assert "d h[t] / d h[t-1] = D(relu(1 - abs(W @ x[t] + p * h[t-1])) * p)\n" in printed


@pytest.mark.parametrize("name", NAMED_FORMS)
def test_a_form_in_a_form_makes_a_jacobian_of_bounded_size(name):
    value = "W @ x[t] + U @ h[t-1]"
    sizes = []
    for _ in range(8):
        value = f"{name}({value}{', b' * (LANGUAGE[name].arity - 1)})"
        text = f"cell c\ninput x\nstate h\nh[t] = {value}\noutput h\n"
        sizes.append(len(format_jacobian(parse_cell(text))))
    assert sizes[7] / sizes[3] < 8  # quadratic at most: every derivative holds its argument


def test_it_reads_like_the_textbook():
    text = format_jacobian(get_cell("lstm"))
    assert "d c[t] / d c[t-1] = D(f)\n" in text
    assert "= D(tanh(c[t]) * o * (1 - o)) U_o\n" in text
    assert "+ D(i * (1 - g * g)) U_g\n" in text
    blocks = symbolic_jacobian(get_cell("lstm"))
    assert set(blocks) == {("h[t]", "h"), ("h[t]", "c"), ("c[t]", "h"), ("c[t]", "c")}


def test_an_empty_block_prints_as_zero():
    text = (
        "cell c\ninput x\nstate h, m\nm[t] = h[t-1]\nh[t] = tanh(W @ x[t] + U @ m[t-1])\noutput h\n"
    )
    printed = format_jacobian(parse_cell(text))
    assert "d m[t] / d m[t-1] = 0\n" in printed
    assert "d m[t] / d h[t-1] = I\n" in printed


def test_what_has_no_jacobian_says_so():
    with pytest.raises(CellError, match="no recurrence"):
        format_jacobian(parse_cell("cell f\ninput x\nnot recurrent\ny = W @ x[t]\noutput y\n"))
    lines = ["a0 = U @ h[t-1] + W @ x[t]"]
    for k in range(10):
        lines.append(f"a{k + 1} = V{k} @ sin(a{k}) + Q{k} @ tanh(a{k})")
    text = "cell c\ninput x\nstate h\n" + "\n".join(lines) + "\nh[t] = tanh(a10)\noutput h\n"
    with pytest.raises(CellError, match="more than 500 terms"):
        symbolic_jacobian(parse_cell(text))
