"""What is read off the graph of a cell, on cells whose numbers are counted by hand."""

import math

import pytest

from odyssey.cells import LIBRARY
from odyssey.expr import parse_cell
from odyssey.specs import get_cell
from odyssey.transforms.features import (
    FEATURES,
    count_maps,
    count_products,
    count_states,
    gates_on_path,
    has_additive_path,
    maps_on_return,
    saturations_on_return,
)


def cell(*lines, states="h"):
    body = "\n".join(lines)
    return parse_cell(f"cell mine\ninput x\nstate {states}\n{body}\noutput h\n")


COUNTED = {
    # maps, products, states, additive path, maps and saturations on the return, gates
    "elman": (2, 0, 1, False, 1, 1, 0),
    "elman_relu": (2, 0, 1, False, 1, 0, 0),
    "indrnn": (1, 0, 1, False, 0, 0, 0),
    "lstm": (8, 3, 2, True, 0, 0, 1),
    "lstm:no_forget_gate": (6, 2, 2, True, 0, 0, 0),
    "lstm_1997": (6, 2, 2, True, 0, 0, 0),
    "gru": (6, 3, 1, True, 0, 0, 1),
    "mgu": (4, 3, 1, True, 0, 0, 1),
    "cfn": (5, 2, 1, False, 0, 1, 0),
    "antisymmetric": (2, 0, 1, True, 0, 0, 0),
}


@pytest.mark.parametrize("spec", COUNTED)
def test_cells_have_the_features_that_are_counted_by_hand(spec):
    found = get_cell(spec)
    assert COUNTED[spec] == (
        count_maps(found),
        count_products(found),
        count_states(found),
        has_additive_path(found),
        maps_on_return(found),
        saturations_on_return(found),
        gates_on_path(found),
    )


def test_a_sum_is_additive_also_where_its_parts_have_names():
    named = cell(
        "z    = sigmoid(W_z @ x[t] + U_z @ h[t-1])",
        "k    = z * h[t-1]",
        "s    = k + tanh(W @ x[t])",
        "h[t] = 0.5 * s",
    )
    assert has_additive_path(named)
    assert gates_on_path(named) == 1


def test_a_state_in_a_function_or_below_the_line_is_no_additive_path():
    assert not has_additive_path(cell("h[t] = tanh(h[t-1] + W @ x[t])"))
    assert not has_additive_path(cell("h[t] = W @ x[t] / (2 + h[t-1]) + 1"))
    assert has_additive_path(cell("h[t] = h[t-1] / (2 + W @ x[t]) + 1"))


def test_a_state_that_is_only_multiplied_is_no_term_of_a_sum():
    product = cell("h[t] = h[t-1] * tanh(W @ x[t])")
    assert not has_additive_path(product)
    assert maps_on_return(product) == 0


def test_a_state_returns_through_other_states():
    lagged = cell("m[t] = h[t-1] + W @ x[t]", "h[t] = m[t-1]", states="h, m")
    assert has_additive_path(lagged)
    delayed = cell("m[t] = h[t-1]", "h[t] = tanh(W @ x[t] + U @ m[t-1])", states="h, m")
    assert not has_additive_path(delayed)
    assert (maps_on_return(delayed), saturations_on_return(delayed)) == (1, 1)


def test_without_a_return_there_is_no_least_one():
    line = cell("m[t] = W @ x[t]", "h[t] = m[t-1] + W @ x[t]", states="h, m")
    assert not has_additive_path(line)
    assert maps_on_return(line) == saturations_on_return(line) == math.inf


def test_one_minus_a_gate_is_that_gate_and_a_tanh_is_none():
    assert gates_on_path(get_cell("gru:no_reset_gate")) == 1
    blend = cell(
        "z    = sigmoid(W @ x[t])",
        "g    = tanh(V @ x[t])",
        "h[t] = z * h[t-1] + (1 - z) * h[t-1] + g * h[t-1] + x[t]",
    )
    assert gates_on_path(blend) == 1


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_is_a_number_of_every_cell(name):
    for spec in LIBRARY:
        value = float(FEATURES[name].of(get_cell(spec)))
        assert value >= 0, spec


def test_names_of_equations_and_weights_decide_no_feature():
    text = get_cell("gru").text
    other = parse_cell(text.replace("_z", "_u").replace("z ", "u ").replace("z)", "u)"))
    assert other.text != text
    for row in FEATURES.values():
        assert row.of(other) == row.of(get_cell("gru"))
