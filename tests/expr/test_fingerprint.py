"""The numeric second opinion."""

import re

import numpy as np
import pytest
from support.deep_cells import chains
from support.lookalikes import rewritten
from support.representatives import REPRESENTATIVES

from odyssey.cells import LIBRARY, library_cell
from odyssey.expr import fingerprint, parse_cell
from odyssey.expr.fingerprint import react


def cell(update):
    return parse_cell(f"cell t1\ninput x\nstate h\nh[t] = {update}\noutput h\n")


@pytest.mark.parametrize("name", LIBRARY)
def test_it_is_16_hex_digits(name):
    assert re.fullmatch(r"[0-9a-f]{16}", library_cell(name).fingerprint)


def test_it_knows_identities_that_the_canonical_form_does_not():
    one = cell("tanh(W @ x[t] + h[t-1])")
    other = cell("2 * sigmoid(2 * (W @ x[t] + h[t-1])) - 1")
    assert one.key != other.key
    assert one.fingerprint == other.fingerprint


def test_it_sees_where_a_parameter_is_used():
    one = cell("tanh(W @ x[t] + U @ h[t-1] + p * h[t-1] + b)")
    assert one.fingerprint != cell("tanh(W @ x[t] + U @ h[t-1] + p * h[t-1] + p)").fingerprint


GROWING = {
    "products": [
        "n = W @ x[t] + U @ h[t-1] + b",
        "m = leaky_relu(n)",
        "h[t] = (V @ m + c) * (h[t-1]*m + (1-h[t-1])*n)",
    ],
    "powers": [
        "n = W @ x[t] + h[t-1]",
        "m = square(square(square(n + U @ h[t-1])))",
        "h[t] = m * h[t-1] + (1 - m) * n",
    ],
    "large numbers that cancel": [
        "n = 1e9 * (W @ x[t])",
        "g = 1e9 * tanh(U @ h[t-1] + b)",
        "h[t] = g * (n - h[t-1]) + (1 - g) * n",
    ],
    "sine of the large": ["h[t] = sin(1e12 * (W @ x[t] + U @ h[t-1]) * (h[t-1] + b))"],
    "beyond float64": [
        "n = 1e29 * (1e29 * (W @ x[t] + h[t-1]))",
        "m = n * n * n * n * n * n",
        "h[t] = sin(m / (n * n * n * n * n * n * (1 + abs(h[t-1])))) * (U @ h[t-1])",
    ],
    "a closed gate times the large": [
        "q = sigmoid(W_q @ x[t] + U_q @ h[t-1])",
        "f = W_l @ (W_f @ x[t] + U_f @ h[t-1] + b_f) - h[t-1]",
        "n = square(W @ x[t] + U_n @ (f * (h[t-1] * f)))",
        "h[t] = q * h[t-1] + (1 - q) * ((1 - f) * h[t-1] + f * n)",
    ],
    "no sign": ["g = sigmoid(1 / (a - b))", "h[t] = g * (W @ x[t]) + (1 - g) * h[t-1]"],
}


@pytest.mark.parametrize("name", GROWING)
def test_growth_does_not_tell_equal_functions_apart(name):
    text = "\n".join(["cell t1", "input x", "state h", *GROWING[name], "output h"])
    one = parse_cell(text)
    changed = 0
    for seed in range(12):
        other = rewritten(one, np.random.default_rng([4, seed]), steps=5)
        changed += other.text != one.text
        assert other.fingerprint == one.fingerprint, other.text
    assert changed == 12
    assert parse_cell(one.canonical_text).fingerprint == one.fingerprint
    different = parse_cell(text.replace("h[t-1]", "tanh(h[t-1])"))
    assert different.fingerprint != one.fingerprint


def rows(cell):
    found = react(cell.live)
    return [found.base, *found.alone.values(), found.together]


@pytest.mark.parametrize("name", [*REPRESENTATIVES, *(f"chain {k}" for k in range(3))])
def test_digits_are_those_of_exact_arithmetic(name, monkeypatch):
    """Whatever float64 does: with no value left to it, the same digits come out."""
    cell = library_cell(name) if name in LIBRARY else list(chains(3, seed=9, nodes=(40, 60)))[-1]
    fast = rows(cell)
    monkeypatch.setattr(fingerprint, "MARGIN", np.inf)
    monkeypatch.setattr(fingerprint, "MAX_WORK", np.inf)
    assert rows(cell) == fast


def test_work_is_bounded(monkeypatch):
    """A cell that needs many bits for many weights is given up, not computed for hours."""
    monkeypatch.setattr(fingerprint, "MAX_WORK", 1000)
    lines = [f"a{k} = 1e12 * sin(1e12 * (U{k} @ h[t-1]) + b{k})" for k in range(20)]
    total = " + ".join(f"a{k}" for k in range(20))
    text = "\n".join(["cell t", "input x", "state h", *lines, f"h[t] = W @ x[t] + {total}"])
    assert "nan" in rows(parse_cell(text + "\noutput h\n"))[0]


def test_overflow_and_undefined_values_do_not_stop_it():
    assert cell("exp(exp(exp(9 * square(W @ x[t])))) + h[t-1]").fingerprint
    assert cell("W @ x[t] + (h[t-1] - h[t-1]) / (h[t-1] - h[t-1])").fingerprint


def test_a_map_of_a_state_whose_update_is_one_number():
    text = (
        "cell c\ninput x\nstate h, c\nc[t] = {}\n"
        "h[t] = tanh(W @ x[t] + U @ c[t-1] + V @ h[t-1])\noutput h\n"
    )
    # the same numbers, one for every unit
    one, each = (parse_cell(text.format(v)) for v in ("0.5", "minimum(maximum(h[t-1], 0.5), 0.5)"))
    assert one.fingerprint == each.fingerprint
    assert one.fingerprint != parse_cell(text.format("0.25")).fingerprint
