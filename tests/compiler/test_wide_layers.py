"""Declared sizes, reductions, transposes and delays against the oracle, on every backend."""

from functools import partial

import numpy as np
import pytest
import torch
from support.judge import check
from support.random_cells import random_wide_cell
from support.wide_cells import WIDE_CELLS

import odyssey
from odyssey.compiler import layers
from odyssey.compiler.backends import BACKENDS
from odyssey.compiler.backends.native import toolchain
from odyssey.compiler.backends.native.call import kernel
from odyssey.compiler.lowering import lower
from odyssey.expr import parse_cell

CELLS = [random_wide_cell(np.random.default_rng([17, n]), size=3 + n % 14) for n in range(24)]

NAMED = [parse_cell(text) for text in WIDE_CELLS.values()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", range(len(CELLS)))
def test_values_and_gradients(number, backend):
    cell = CELLS[number]
    assert not BACKENDS[backend].supports(lower(cell))
    check(cell, backend, seed=3, sizes=(4, 2, 3, 4), layers=1 + number % 2, wild=True)


@pytest.mark.parametrize("number", range(20))
def test_values_and_gradients_with_matrix_states(number):
    rng = np.random.default_rng([18, number])
    cell = random_wide_cell(rng, size=3 + number % 14, matrices=True)
    check(cell, "auto", seed=3, sizes=(4, 2, 3, 4), layers=1 + number % 2, wild=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reads", ["x[t]", "h[t-1]"])  # before the loop, and in it
@pytest.mark.parametrize("size", ["2 * H", "3 * H / 2", "H / 2", "2 * I", "5"])
def test_a_mean_is_over_all_units_of_a_declared_size(size, reads, backend):
    cell = parse_cell(
        f"cell c\ninput x\nsize R = {size}\nstate h\nq : R = tanh(V @ {reads})\n"
        "h[t] = sin(mean(q) + W @ layer_norm(q) + U @ rms_norm(q)) + 0.5 * h[t-1] + P @ x[t]\n"
        "output h"
    )
    check(cell, backend, seed=5, sizes=(4, 2, 3, 4), layers=2)


@pytest.mark.parametrize("cell", CELLS[:8], ids=lambda c: c.key[:8])
def test_whole_vectors_and_what_is_left(cell):
    """Sizes beyond a vector, and batches beyond one where batch rows are its lanes."""
    check(cell, "native", seed=4, sizes=(3, 19, 5, 21), wild=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", [*CELLS[:12], *NAMED], ids=lambda c: c.key[:8])
def test_members_of_a_population_are_alone(cell, backend):
    """Members of mixed sizes give what each gives by itself, gradients included."""
    sizes, largest = [1, 19, 9], 19
    square = lower(cell).square
    inputs = largest if square else 3
    make = partial(odyssey.RNN, cell, backend=backend, dtype=torch.float64)
    every = make(inputs, sizes, population=3)
    x = torch.randn(3, 5, 2, inputs, dtype=torch.float64)
    if square:
        x = torch.where(every.mask[:, None, None], x, 0.0)
    weights = torch.randn(3, 5, 2, largest, dtype=torch.float64)
    y, _ = every(x)
    (y * weights).sum().backward()
    for member, hidden in enumerate(sizes):
        own = hidden if square else inputs
        alone = make(own, hidden)
        with torch.no_grad():
            for name, parameter in alone.named_parameters():
                whole = every.get_parameter(name)[member]
                parameter.copy_(whole[tuple(slice(n) for n in parameter.shape)])
        expected, _ = alone(x[member, ..., :own])
        torch.testing.assert_close(y[member, ..., :hidden], expected, rtol=1e-9, atol=1e-10)
        assert not y[member, ..., hidden:].any()
        (expected * weights[member, ..., :hidden]).sum().backward()
        for name, parameter in alone.named_parameters():
            whole = every.get_parameter(name).grad
            if parameter.grad is None:
                continue
            inside = tuple(slice(n) for n in parameter.shape)
            torch.testing.assert_close(whole[member][inside], parameter.grad, rtol=1e-8, atol=1e-9)
            padding = whole[member].clone()
            padding[inside] = 0.0
            assert not padding.any()


@pytest.mark.parametrize("cell", CELLS[12:20], ids=lambda c: c.key[:8])
def test_class_indices_are_one_hot_vectors(cell):
    size = 5
    found = []
    model = odyssey.RNN(cell, size, size, backend="native", dtype=torch.float64)
    x = torch.randint(size, (4, 3))
    for given in (x, torch.nn.functional.one_hot(x, size).double()):
        model.zero_grad()
        y, state = model(given)
        (y.square().sum() + sum(s.square().sum() for s in state)).backward()
        found.append([y, *state, *(p.grad for p in model.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


BEFORE_THE_LOOP = {
    "transposed maps of inputs": """
a    = tanh(W @ x[t] + b)
h[t] = tanh(S.T @ a + S @ h[t-1] + V.T @ x[t] + V.T @ sin(x[t]))
""",
    "a number beside a product": """
weight alpha : 1
h[t] = tanh(W @ x[t] + alpha + U @ h[t-1])
""",
    "a product of one number beside a vector": """
s : 1 = w @ x[t]
h[t]  = tanh(s + b + U @ h[t-1])
""",
    "reductions of inputs": """
m    = max(x[t])
e    = tanh(W @ x[t])
h[t] = tanh(m * (U @ h[t-1]) + e - mean(e) + cumsum(e) * mean(h[t-1] * e))
""",
    "reductions of reductions": """
n    = sum(mean(h[t-1]) + max(h[t-1]))
h[t] = tanh(W @ x[t] + cumsum(n) * h[t-1] + max(n) - n)
""",
    "updates that no step computes": """
state c : 1
state d : 2 * H
h[t] = tanh(W @ x[t] + c[t-1] * (U @ h[t-1]) + P @ d[t-1])
c[t] = 0.5
d[t] = p
""",
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", BEFORE_THE_LOOP)
def test_what_stands_beside_the_loop(name, backend):
    lines = BEFORE_THE_LOOP[name].strip()
    cell = parse_cell(f"cell one\ninput x\nstate h\n{lines}\noutput h\n")
    for depth in (1, 2):
        check(cell, backend, seed=5, sizes=(4, 3, 3, 5), layers=depth, wild=True)


@pytest.fixture
def new_code():
    """Code is made anew, and again for whoever comes next."""
    forget()
    yield
    forget()


def forget():
    kernel.forget()
    layers._built.cache_clear()


@pytest.mark.parametrize("target", toolchain.able_targets())
@pytest.mark.parametrize("name", WIDE_CELLS)
def test_named_cells_on_every_kind_of_vectors(name, target, monkeypatch, new_code):
    monkeypatch.setenv("ODYSSEY_TARGET", target)
    found = []
    x = torch.randn(4, 6, 3)
    for backend in ("native", "eager"):
        torch.manual_seed(0)
        model = odyssey.RNN(parse_cell(WIDE_CELLS[name]), 3, 37, backend=backend)
        y, state = model(x)
        (y.square().sum() + sum(s.square().sum() for s in state)).backward()
        found.append([y, *state, *(p.grad for p in model.parameters())])
        assert backend == "eager" or f"{target} vectors" in model.implementation.source
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-5)


TIES = """
cell ties
input x
state h
h[t] = 0.5 * h[t-1] + max(relu(W @ x[t] + U @ h[t-1])) * relu(W @ x[t])
output h
"""


def test_the_gradient_of_max_is_shared_where_several_are_greatest():
    models = [odyssey.RNN(parse_cell(TIES), 3, 6, backend=b) for b in BACKENDS]
    weights = torch.randn(3, 3)
    for model in models:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            model.layers[0]["W"].copy_(torch.cat([weights, weights]))  # each unit twice
    x = torch.randn(7, 2, 3)
    grads = []
    for model in models:
        model(x)[0].sum().backward()
        grads.append(model.layers[0]["W"].grad)
    torch.testing.assert_close(*grads)
    torch.testing.assert_close(grads[0][:3], grads[0][3:])


def test_a_number_that_is_none_stays_one():
    text = "cell n\ninput x\nstate h\nh[t] = max(W @ x[t]) + 0 * h[t-1] + max(h[t-1])\noutput h\n"
    for backend in BACKENDS:
        model = odyssey.RNN(parse_cell(text), 2, 20, backend=backend)
        for unit in (0, 7, 19):  # of a vector's lanes, and of what is left
            h = torch.zeros(1, 1, 20)
            h[0, 0, unit] = torch.nan
            assert model(torch.zeros(1, 1, 2), (h,))[0].isnan().all()


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
