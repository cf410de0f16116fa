"""The symbolic Jacobian against numerical differentiation of the oracle."""

import numpy as np
import pytest
from support.jacobians import agrees
from support.random_cells import random_cell, random_wide_cell
from support.representatives import REPRESENTATIVES

from odyssey.errors import CellError
from odyssey.expr import parse_cell
from odyssey.expr.forms import LANGUAGE, NAMED_FORMS
from odyssey.expr.jacobian import format_jacobian, symbolic_jacobian
from odyssey.expr.primitives import PRIMITIVES
from odyssey.specs import CELL_SETS, get_cell


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
