"""Recurrent maps, and masks of what they read, by the oracle that executes a cell's text."""

import ast
import re

import numpy as np
import pytest
from support.drawing import ROWS, UNITS, drawn
from support.oracle import run
from support.representatives import REPRESENTATIVES

from odyssey.cells import LIBRARY, library_cell
from odyssey.expr import parse_cell
from odyssey.expr.sizes import resolve
from odyssey.expr.text import format_expression
from odyssey.transforms.recurrent_maps import mask_recurrent_maps, recurrent_matrices

TWO_STEPS = """cell deep
input x
size R = H / 2
state h
state c : R
state d

r    = sigmoid(W_r @ x[t] + P @ c[t-1])
q    = r * h[t-1]
a    = tanh(W @ x[t] + U @ q + U_c @ c[t-1])
b    = tanh(V @ a + V_d @ d[t-1] + U_x @ x[t])
c[t] = 0.5 * c[t-1] + V_c.T @ (a * h[t-1])
d[t] = b
h[t] = 0.5 * h[t-1] + b

output h
"""
CELLS = {**{name: library_cell(name) for name in REPRESENTATIVES}, "deep": parse_cell(TWO_STEPS)}


def masked_run(cell, mask):
    """Runs the masked cell; masks are drawn by a function of a shape."""
    masked = mask_recurrent_maps(cell)
    parameters, x, state = drawn(cell)
    for name in masked.states[len(cell.states) :]:
        size = resolve(masked.shapes.states[name], x.shape[-1], UNITS)
        state[name] = mask((ROWS, size))
    return run(masked.text, parameters, x, state)


@pytest.mark.parametrize("name", CELLS)
def test_masks_of_ones_change_nothing(name):
    cell = CELLS[name]
    output, state = masked_run(cell, np.ones)
    plain, final = run(cell.text, *drawn(cell))
    assert np.array_equal(output, plain)
    assert all(np.array_equal(state[s], final[s]) for s in cell.states)


@pytest.mark.parametrize("name", CELLS)
def test_masks_of_zeros_are_recurrent_matrices_of_zeros(name):
    cell = CELLS[name]
    output, state = masked_run(cell, np.zeros)
    parameters, x, start = drawn(cell)
    for matrix in recurrent_matrices(cell):
        parameters[matrix][:] = 0
    plain, final = run(cell.text, parameters, x, start)
    assert np.array_equal(output, plain)
    assert all(np.array_equal(state[s], final[s]) for s in cell.states)


@pytest.mark.parametrize("name", CELLS)
def test_masks_are_kept_and_a_cell_is_left_as_it_is(name):
    cell = CELLS[name]
    text, masks = cell.text, lambda shape: np.random.default_rng(1).random(shape)
    _, state = masked_run(cell, masks)
    assert cell.text == text
    masked = mask_recurrent_maps(cell)
    assert masked.states[: len(cell.states)] == cell.states
    for mask in masked.states[len(cell.states) :]:
        assert np.array_equal(state[mask], masks(state[mask].shape))
    assert masked.parameters == cell.parameters
    assert masked.output == cell.output


def test_maps_of_the_same_states_share_a_mask():
    cell = mask_recurrent_maps(CELLS["deep"])
    values = {e.label: format_expression(e.value) for e in cell.equations}
    assert cell.shapes.states == {
        "h": "H", "c": "H/2", "d": "H", "m": "H/2", "m2": "H", "m3": "H", "m4": "H",
    }  # fmt: skip
    for label, read in {
        "r": {"P @ (m[t-1] * c[t-1])", "W_r @ x[t]"},
        "a": {"U @ (m2[t-1] * q)", "U_c @ (m[t-1] * c[t-1])"},
        "b": {"V @ (m3[t-1] * a)", "V_d @ (m4[t-1] * d[t-1])", "U_x @ x[t]"},
        "c[t]": {"V_c.T @ (m2[t-1] * (a * h[t-1]))"},
    }.items():
        for part in read:
            assert part in values[label]
    assert "m" not in values["d[t]"] + values["h[t]"]  # what no map reads has no mask


# where the past reaches other matrices than those called U, or does not reach one of them
BY_HAND = {
    "gru_d": {f"{m}_{k}" for m in "WU" for k in "rzn"},  # maps of x, where x may be what it was
    "minimalrnn": {"U_h"},
    "mogrifier_lstm": {
        *("Q_1", "W_r2", "Q_3", "W_r4", "Q_5"),
        *(f"{m}_{k}" for m in "WU" for k in "ifog"),
    },
    "rwkv4": {"W_r", "W_k", "W_v", "U_o"},
}


def by_text(text):
    """What stands left of @ where the right side reads the past, by the lines as Python."""
    lines = [re.sub(r"(?<=\w) *: [^=]*(?= = )", "", line) for line in text.splitlines()]
    lines = [line for line in lines if re.match(r"\w+(\[t\])? += ", line)]
    found, past = set(), set()
    for line in lines:
        target, _, value = line.partition("=")
        tree = ast.parse(value.strip(), mode="eval")

        def reads(node):
            inner = (ast.unparse(n) for n in ast.walk(node))
            return any(part.endswith("[t - 1]") or part in past for part in inner)

        for node in ast.walk(tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
                left = node.left.value if isinstance(node.left, ast.Attribute) else node.left
                if reads(node.right):
                    found.add(ast.unparse(left))
        if reads(tree):
            past.add(target.strip())
    return found


def test_matrices_by_hand():
    for name in LIBRARY:
        found, matrices = recurrent_matrices(library_cell(name)), library_cell(name).matrices
        assert set(found) == by_text(library_cell(name).text) & set(matrices)
        if name in BY_HAND:
            assert set(found) == BY_HAND[name]
    assert recurrent_matrices(CELLS["deep"]) == ("P", "U", "U_c", "V", "V_d", "V_c")
    still = parse_cell("cell s\ninput x\nstate h\nh[t] = tanh(W @ x[t] + u * h[t-1])\noutput h\n")
    assert recurrent_matrices(still) == ()
    assert mask_recurrent_maps(still) == still


def test_names_of_the_cell_are_not_taken():
    text = "cell s\ninput x\nstate h\nm2 = h[t-1]\nh[t] = tanh(m3 @ x[t] + m @ m2)\noutput h\n"
    assert mask_recurrent_maps(parse_cell(text)).states == ("h", "m4")
