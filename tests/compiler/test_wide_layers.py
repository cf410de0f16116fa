"""Declared sizes, reductions, transposes and delays against the oracle, on every backend."""

import numpy as np
import pytest
import torch
from support.judge import check
from support.random_cells import random_wide_cell

import odyssey
from odyssey.compiler.backends import BACKENDS
from odyssey.expr import parse_cell

CELLS = [random_wide_cell(np.random.default_rng([17, n]), size=3 + n % 14) for n in range(40)]


@pytest.mark.parametrize("number", range(len(CELLS)))
def test_values_and_gradients(number):
    cell = CELLS[number]
    for name, backend in BACKENDS.items():
        if not backend.supports(odyssey.RNN(cell, 4, 4, backend="eager").program):
            check(cell, name, seed=3, sizes=(4, 2, 3, 4), layers=1 + number % 2, wild=True)


@pytest.mark.parametrize("cell", CELLS[:12], ids=lambda c: c.key[:8])
def test_members_of_a_population_are_alone(cell):
    """Members of mixed sizes give what each gives by itself."""
    sizes = [4, 7, 5]
    square = odyssey.RNN(cell, 7, 7, backend="eager").program.square
    inputs = 7 if square else 3
    every = odyssey.RNN(cell, inputs, sizes, population=3, dtype=torch.float64)
    x = torch.randn(3, 5, 2, inputs, dtype=torch.float64)
    if square:
        x = torch.where(every.mask[:, None, None], x, 0.0)
    y, _ = every(x)
    for member, hidden in enumerate(sizes):
        own = hidden if square else inputs
        alone = odyssey.RNN(cell, own, hidden, dtype=torch.float64)
        with torch.no_grad():
            for name, parameter in alone.named_parameters():
                whole = every.get_parameter(name)[member]
                parameter.copy_(whole[tuple(slice(n) for n in parameter.shape)])
        expected, _ = alone(x[member, ..., :own])
        torch.testing.assert_close(y[member, ..., :hidden], expected, rtol=1e-9, atol=1e-10)
        assert not y[member, ..., hidden:].any()


LEARNED = """
cell learned
input x
state h, c
c[t] = c[t-1] * sigmoid(W_c @ x[t])
h[t] = tanh(W @ x[t] + U @ h[t-1] + c[t])
start c = 2
start h = h0
init h0 = 0.25
output h
"""


def test_states_start_where_the_cell_says():
    rnn = odyssey.RNN(parse_cell(LEARNED), 3, 4, 2)
    h, c = rnn.start_state(5)
    assert h.shape == c.shape == (2, 5, 4)
    assert (h == 0.25).all()
    assert (c == 2).all()
    y, _ = rnn(torch.randn(6, 5, 3))
    y.sum().backward()
    assert all(w["h0"].grad.abs().sum() > 0 for w in rnn.layers)
    x = torch.randn(6, 5, 3)
    torch.testing.assert_close(rnn(x)[0], rnn(x, rnn.start_state(5))[0])
