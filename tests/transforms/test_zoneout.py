"""Zoneout beside steps of the plain cell, one by one, whose states are mixed outside of it."""

import numpy as np
import pytest
from support.drawing import drawn
from support.oracle import run
from support.representatives import REPRESENTATIVES

from odyssey.cells import library_cell
from odyssey.expr import parse_cell
from odyssey.transforms.recurrent_maps import mask_recurrent_maps
from odyssey.transforms.zoneout import (
    expect_zoneout,
    mask_states,
    mixed_states,
    schedule_states,
    scheduled,
    steps_of,
)

OTHER = """cell other
input x
size R = H / 2
state h
state c : R
state h_new, d

q    = tanh(W @ x[t] + U @ h[t-1] + u * d[t-1])
c[t] = sigmoid(V @ q) * c[t-1] + V_c @ h_new[t-1]
h[t] = q + P @ c[t]
d[t] = h[t-1]
h_new[t] = tanh(h[t] + q)
y    = h[t] * q

output y
"""
CELLS = {**{name: library_cell(name) for name in REPRESENTATIVES}, "other": parse_cell(OTHER)}


def shares_of(state):
    """A share of the old value for every number of a state."""
    rng = np.random.default_rng(1)
    return {name: rng.random(size=value.shape) for name, value in state.items()}


def stepped(cell, shares):
    """What a cell puts out, and its last state, where `shares` of its old states are kept."""
    parameters, x, state = drawn(cell)
    outputs = []
    for x_BI in x:
        output, new = run(cell.text, parameters, x_BI[None], state)
        state = {n: shares[n] * old + (1 - shares[n]) * new[n] for n, old in state.items()}
        outputs.append(state.get(cell.output, output[0]))
    return np.stack(outputs), state


def same(found, expected, states):
    assert found[0] == pytest.approx(expected[0], abs=1e-12)
    for name in states:
        assert found[1][name] == pytest.approx(expected[1][name], abs=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_masks_mix_states_with_what_they_were(name):
    cell = CELLS[name]
    masked, mixed = mask_states(cell), mixed_states(cell)
    parameters, x, state = drawn(cell)
    shares = shares_of(state)
    masks = dict(zip(masked.states[len(cell.states) :], mixed, strict=True))
    found = run(masked.text, parameters, x, state | {m: shares[s] for m, s in masks.items()})
    expected = stepped(cell, dict.fromkeys(cell.states, 0.0) | {s: shares[s] for s in mixed})
    same(found, expected, cell.states)
    for mask, of in masks.items():
        assert np.array_equal(found[1][mask], shares[of])
    assert masked.states[: len(cell.states)] == cell.states
    assert set(masked.parameters) == set(cell.parameters)


@pytest.mark.parametrize("name", CELLS)
def test_masks_of_many_steps_mix_each_step_by_its_own(name):
    cell = CELLS[name]
    masked, mixed = schedule_states(cell), mixed_states(cell)
    parameters, x, state = drawn(cell)
    rng = np.random.default_rng(3)
    zones = {s: rng.integers(2, size=(len(x), *state[s].shape)).astype(float) for s in mixed}
    numbers = (scheduled(zones[s], 53) for s in mixed)
    masks = dict(zip(masked.states[len(cell.states) :], numbers, strict=True))
    output, last = run(masked.text, parameters, x, state | masks)
    for t, x_BI in enumerate(x):
        expected, new = run(cell.text, parameters, x_BI[None], state)
        keep = dict.fromkeys(cell.states, 0.0) | {s: zones[s][t] for s in mixed}
        state = {n: keep[n] * old + (1 - keep[n]) * new[n] for n, old in state.items()}
        assert output[t] == pytest.approx(state.get(cell.output, expected[0]), abs=1e-12)
    for s in cell.states:
        assert last[s] == pytest.approx(state[s], abs=1e-12)
    assert masked.states[: len(cell.states)] == cell.states
    assert set(masked.parameters) == set(cell.parameters)


@pytest.mark.parametrize(("dtype", "precision"), [(np.float32, 24), (np.float64, 53)])
def test_a_number_holds_a_step_in_each_digit(dtype, precision):
    assert precision == 1 + np.finfo(dtype).nmant
    steps = steps_of(precision)
    rng = np.random.default_rng(4)
    zones = rng.integers(2, size=(steps, 1000)).astype(dtype)
    zones[:, 0], zones[:, 1], zones[:-1, 2] = 0, 1, 0
    number = scheduled(zones, precision)
    assert number.dtype == dtype
    half, two = dtype(0.5), dtype(2)
    for zone in zones:
        found = half + half * np.sign(number - half)
        assert (found == zone).all()
        number = two * number - found
    assert (number == half).all()


@pytest.mark.parametrize("p", [0.05, 1 / 3, 1e-9])
@pytest.mark.parametrize("name", CELLS)
def test_the_expectation(name, p):
    cell = CELLS[name]
    found = run(expect_zoneout(cell, p).text, *drawn(cell))
    shares = {s: p if s in mixed_states(cell) else 0.0 for s in cell.states}
    same(found, stepped(cell, shares), cell.states)


def test_what_is_mixed_by_hand():
    assert mixed_states(CELLS["lstm"]) == ("h", "c")
    assert mixed_states(CELLS["other"]) == ("h", "c", "h_new")  # d is a delay line
    # masks of what maps read are of no concern to it
    both = mask_recurrent_maps(mask_states(CELLS["lstm"]))
    assert both.states == ("h", "c", "z_h", "z_c", "m")


@pytest.mark.parametrize("p", [0.0, 1e-40])
def test_none_is_the_cell_itself(p):
    assert expect_zoneout(CELLS["gru"], p) is CELLS["gru"]


def test_long_names_fit():
    name = "a" * 40
    cell = parse_cell(
        f"cell s\ninput x\nstate {name}\n{name}[t] = tanh(W @ x[t] + {name}[t-1])\noutput {name}"
    )
    assert cell.states == (name,)
    assert len(mask_states(cell).states) == len(schedule_states(cell).states) == 2
