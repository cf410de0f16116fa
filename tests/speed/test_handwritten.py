"""The loop written by hand computes what the cell says, or speed beside it would mean nothing."""

import numpy as np
import pytest
import torch
from support.random_cells import random_cell
from support.representatives import REPRESENTATIVES

import odyssey
from odyssey.cells import LIBRARY
from odyssey.compiler import lower
from odyssey.compiler.backends.native.call.layer import has_loop
from odyssey.speed.cells import NAMED, count_operations, random_cells
from odyssey.speed.handwritten import PlainLoop

CELLS = {**{name: odyssey.get_cell(name) for name in REPRESENTATIVES}, **random_cells()}


def check(cell, *, size=3, hidden=5, steps=6, batch=2):
    torch.manual_seed(4)
    size = hidden if lower(cell).square else size
    rnn = odyssey.RNN(cell, size, hidden, backend="eager", dtype=torch.float64)
    with torch.no_grad():
        for p in rnn.parameters():
            p.normal_(0, 0.5)
    loop = PlainLoop(cell, size, hidden, dtype=torch.float64)
    loop.copy_from(rnn)
    x = torch.randn(steps, batch, size, dtype=torch.float64)
    state = tuple(torch.randn(1, batch, hidden, dtype=torch.float64) for _ in cell.states)
    y, final = rnn(x, state)
    got, last = loop(x, tuple(s[0] for s in state))
    close = {"rtol": 1e-10, "atol": 1e-11}
    torch.testing.assert_close(got, y, **close)
    for a, b in zip(last, final, strict=True):
        torch.testing.assert_close(a, b[0], **close)
    weight = torch.randn_like(y)
    for output, states in ((y, final), (got, last)):
        ((output * weight).sum() + sum((s**2).sum() for s in states)).backward()
    found = loop.gradients()
    assert set(found) == set(rnn.layer_parameters()[0])
    for name, p in rnn.layer_parameters()[0].items():
        want = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(found[name], want, **close)


@pytest.mark.parametrize("name", CELLS)
def test_library_and_fixed_random_cells(name):
    check(CELLS[name])


def test_random_cells():
    drawn = (random_cell(np.random.default_rng(s), size=3 + s % 22) for s in range(60))
    looped = [cell for cell in drawn if has_loop(lower(cell))]
    assert len(looped) > 40
    for cell in looped:
        check(cell)


def test_it_is_what_one_writes_by_hand():
    source = PlainLoop(odyssey.get_cell("lstm"), 4, 4).source
    before, _, loop = source.partition("for ")
    assert before.count("functional.linear(x, ") == 1
    assert loop.count("functional.linear(") == 1
    assert loop.count("torch.sigmoid(") == 3
    assert loop.count("torch.tanh(") == 2
    assert ".chunk(4, -1)" in loop
    assert "torch.cat(" not in source  # parameters are held stacked
    assert "torch.stack(outputs)" in source
    gru = PlainLoop(odyssey.get_cell("gru"), 4, 4).source.partition("for ")[2]
    assert gru.count("functional.linear(") == 2  # U_n @ (r * h) waits for r


def test_the_fixed_random_cells():
    counts = {name: count_operations(cell) for name, cell in random_cells().items()}
    assert len(counts) == 21
    assert sorted(counts.values())[-1] == 40
    assert all(5 <= count <= 20 for name, count in counts.items() if name != "random_40_nodes")
    assert len({cell.key for cell in random_cells().values()}) == 21
    for cell in random_cells().values():
        program = lower(cell)
        assert cell.recurrent
        assert set(program.parameters()) == set(cell.parameters), "nothing in them is dead"
        regions = {n.region for n in program.nodes if n.op == "matmul"}
        assert {"sequence", "step"} <= regions
    assert set(NAMED) <= set(LIBRARY)
